//! JSON request bodies: every wrong field is found before any is refused.

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bitflow_fault::Violation;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Largest JSON body, bytes.
pub const MAX_BODY: usize = 256 * 1024;

const NOT_A_COUNT: &str = "must be a whole number that is not negative";

/// The fields of a JSON object in a request body. Take each, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Fields {
    /// Where the object is in the body: nothing, or e.g. `items.0.`.
    at: String,
    left: Map<String, Value>,
    wrong: Vec<Violation>,
    fingerprint: String,
}

impl Fields {
    pub(super) fn new(object: Map<String, Value>) -> Self {
        // Keys come sorted, so that the same object is the same text however it was written.
        let text = serde_json::to_vec(&object).expect("an object is JSON");
        Self {
            fingerprint: hex::encode(Sha256::digest(text)),
            ..Self::below(String::new(), object)
        }
    }

    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.len() > MAX_BODY {
            return Err(too_large());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self::new(object)),
            Ok(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "The body must be a JSON object.",
            )),
            Err(error) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "The body is not JSON: line {}, column {}.",
                    error.line(),
                    error.column()
                ),
            )),
        }
    }

    fn below(at: String, left: Map<String, Value>) -> Self {
        Self {
            at,
            left,
            wrong: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// A digest of the whole object: the same for the same content.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether the field is there, even if it is null.
    pub fn names(&self, field: &str) -> bool {
        self.left.contains_key(field)
    }

    /// Whether the field is there, and not null.
    pub fn has(&self, field: &str) -> bool {
        self.left.get(field).is_some_and(|value| !value.is_null())
    }

    /// A string that must be there and that `parse` must take.
    pub fn text<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(field)? {
            Value::String(text) => self.parsed(field, parse(&text)),
            _ => self.refuse(field, "must be a string"),
        }
    }

    /// Likewise, where it is there.
    pub fn optional_text<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.has(field).then(|| self.text(field, parse)).flatten()
    }

    /// A string that may be left out, but that is not null where it is there.
    pub fn changed_text<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.left.remove(field)? {
            Value::String(text) => self.parsed(field, parse(&text)),
            _ => self.refuse(field, "must be a string"),
        }
    }

    /// A whole number, not negative, likewise.
    pub fn changed_count<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        match self.left.remove(field)?.as_u64() {
            Some(number) => self.parsed(field, parse(number)),
            None => self.refuse(field, NOT_A_COUNT),
        }
    }

    /// Likewise, where it is there.
    pub fn optional_count<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        self.has(field).then(|| self.count(field, parse)).flatten()
    }

    /// A whole number of either sign that must be there and that `parse` must take.
    pub fn integer<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(i64) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(field)?.as_i64() {
            Some(number) => self.parsed(field, parse(number)),
            None => self.refuse(field, "must be a whole number"),
        }
    }

    /// A list of objects that must be there; `each` reads one. Nothing where one was refused.
    pub fn objects<T>(
        &mut self,
        field: &'static str,
        mut each: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(values) = self.take(field)? else {
            return self.refuse(field, "must be a list");
        };
        let wrong_before = self.wrong.len();
        let mut read = Vec::with_capacity(values.len());
        for (number, value) in values.into_iter().enumerate() {
            let at = format!("{}{field}.{number}", self.at);
            let Value::Object(object) = value else {
                self.wrong.push(Violation::new(at, "must be an object"));
                continue;
            };
            let mut fields = Self::below(format!("{at}."), object);
            read.extend(each(&mut fields));
            fields.refuse_rest();
            self.wrong.append(&mut fields.wrong);
        }
        (self.wrong.len() == wrong_before).then_some(read)
    }

    /// What a rule says of `field` as a whole.
    pub fn check<T, E: Display>(&mut self, field: &'static str, rule: Result<T, E>) -> Option<T> {
        self.parsed(field, rule)
    }

    /// A whole number, not negative, that must be there and that `parse` must take.
    pub fn count<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(field)?.as_u64() {
            Some(number) => self.parsed(field, parse(number)),
            None => self.refuse(field, NOT_A_COUNT),
        }
    }

    /// What `build` makes of the fields, or 422 with all that is wrong. `build` sees `None` for
    /// each field that was refused.
    pub fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        self.refuse_rest();
        match build() {
            Some(value) if self.wrong.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.wrong)),
        }
    }

    fn refuse_rest(&mut self) {
        for (field, _) in std::mem::take(&mut self.left) {
            self.refuse::<()>(&field, "is not a field of this request");
        }
    }

    /// The value of a field that must be there.
    fn take(&mut self, field: &'static str) -> Option<Value> {
        match self.left.remove(field) {
            None | Some(Value::Null) => self.refuse(field, "is required"),
            some => some,
        }
    }

    fn parsed<T, E: Display>(&mut self, field: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed
            .or_else(|error| self.refuse(field, &error.to_string()).ok_or(()))
            .ok()
    }

    fn refuse<T>(&mut self, field: &str, message: &str) -> Option<T> {
        let field = format!("{}{field}", self.at);
        self.wrong.push(Violation::new(field, message));
        None
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        is_json(request.headers())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| too_large())?;
        Self::parse(&body)
    }
}

/// 415 where the body is said to be something else.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let json = kind.is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    json.then_some(()).ok_or_else(|| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The Content-Type must be application/json.",
        )
    })
}

pub(super) fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body must have at most {MAX_BODY} bytes."),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: Value, expect: &[(&str, &str)]) {
        let Value::Object(object) = body else {
            panic!("an object")
        };
        let mut fields = Fields::new(object);
        let name = fields.text("name", |text| {
            if text.is_empty() {
                Err("is empty")
            } else {
                Ok(())
            }
        });
        let quota = fields.count(
            "quota",
            |number| if number == 0 { Err("is zero") } else { Ok(()) },
        );
        let seen = match fields.finish(|| Some((name?, quota?))) {
            Ok(_) => Vec::new(),
            Err(problem) => {
                assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
                problem.errors().to_vec()
            }
        };
        let expect: Vec<_> = expect
            .iter()
            .map(|(field, what)| Violation::new(*field, *what))
            .collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        const COUNT: &str = "must be a whole number that is not negative";
        check(json!({ "name": "x", "quota": 1 }), &[]);
        check(
            json!({}),
            &[("name", "is required"), ("quota", "is required")],
        );
        check(
            json!({ "name": 7, "quota": "1", "nmae": "x" }),
            &[
                ("name", "must be a string"),
                ("quota", COUNT),
                ("nmae", "is not a field of this request"),
            ],
        );
        check(
            json!({ "name": "", "quota": 0 }),
            &[("name", "is empty"), ("quota", "is zero")],
        );
        check(
            json!({ "name": "", "quota": -1 }),
            &[("name", "is empty"), ("quota", COUNT)],
        );
        check(
            json!({ "name": null, "quota": 1.5 }),
            &[("name", "is required"), ("quota", COUNT)],
        );
    }

    fn fields(body: Value) -> Fields {
        let Value::Object(object) = body else {
            panic!("an object")
        };
        Fields::new(object)
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named_by_its_place() {
        let read = |body: Value| {
            let mut fields = fields(body);
            let items = fields.objects("items", |item| item.integer("amount", Ok::<_, &str>));
            match fields.finish(|| items) {
                Ok(items) => format!("{items:?}"),
                Err(problem) => {
                    let said = |it: &Violation| format!("{} {}", it.field, it.message);
                    let errors: Vec<_> = problem.errors().iter().map(said).collect();
                    errors.join("; ")
                }
            }
        };
        assert_eq!(read(json!({ "items": [{ "amount": -1 }] })), "[-1]");
        assert_eq!(read(json!({ "items": [] })), "[]");
        assert_eq!(read(json!({})), "items is required");
        assert_eq!(read(json!({ "items": {} })), "items must be a list");
        assert_eq!(
            read(json!({ "items": [{ "amount": 1 }, 7, { "amount": 1.5, "x": 1 }], "y": 1 })),
            "items.1 must be an object; items.2.amount must be a whole number; \
             items.2.x is not a field of this request; y is not a field of this request",
        );
    }

    #[test]
    fn what_is_changed_may_be_left_out_but_is_not_null() {
        let read = |body: Value| {
            let mut fields = fields(body);
            let name = fields.changed_text("name", |text| Ok::<_, &str>(text.to_owned()));
            let quota = fields.changed_count("quota", Ok::<_, &str>);
            match fields.finish(|| Some((name, quota))) {
                Ok(read) => format!("{read:?}"),
                Err(problem) => {
                    let said = |it: &Violation| format!("{} {}", it.field, it.message);
                    let errors: Vec<_> = problem.errors().iter().map(said).collect();
                    errors.join("; ")
                }
            }
        };
        assert_eq!(read(json!({})), "(None, None)");
        assert_eq!(
            read(json!({ "name": "x", "quota": 1 })),
            "(Some(\"x\"), Some(1))"
        );
        assert_eq!(
            read(json!({ "name": null, "quota": null, "x": null })),
            "name must be a string; quota must be a whole number that is not negative; \
             x is not a field of this request"
        );
    }

    #[test]
    fn a_fingerprint_is_of_the_content() {
        let of = |text: &str| fields(serde_json::from_str(text).unwrap()).fingerprint;
        assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{ "b": [2], "a": 1 }"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":"1"}"#));
    }
}
