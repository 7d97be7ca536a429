//! What comes with a request: the gateway's event as a whole, and each part that we read ourselves.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitflow_realtime::auth::{App, is_socket_id};
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag::{self, IfMatch};
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::form::FormFields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::read_event;
use bitflow_runtime::http::repeat::{self, IdempotencyKey};
use bitflow_runtime::http::signed::SignedFields;
use bitflow_store::page;
use futures_util::FutureExt;
use serde_json::Value;

use crate::first_line;

/// An API Gateway event, as Lambda hands it over: nobody is an admin whom the gateway's authorizer
/// did not name, and nobody has a scope that his token has not.
pub fn gateway_event(data: &[u8]) {
    let sent: Value = serde_json::from_slice(data).unwrap_or_default();
    // What the gateway says it encoded it did encode; lambda_http panics where that is not so.
    let body = sent["body"].as_str().unwrap_or_default();
    if sent["isBase64Encoded"] == true && STANDARD.decode(body).is_err() {
        return;
    }
    let claims = sent["requestContext"]["authorizer"]["jwt"]["claims"].clone();
    let Ok(event) = read_event(sent) else {
        return;
    };
    let request: lambda_http::Request = event.into();
    let request = request.map(|body| Body::from(body.as_ref().to_vec()));
    let (mut parts, body) = request.into_parts();
    if let Ok(admin) = now(Admin::from_request_parts(&mut parts, &())) {
        assert_eq!(claims["sub"], admin.subject, "nobody named him");
        assert!(!admin.subject.is_empty() && admin.name.as_deref() != Some(""));
        let held = [&claims["scope"], &claims["scp"]].map(|it| it.as_str().unwrap_or_default());
        for scope in ["", " ", "[", "]", "universities:write", "billing:read"] {
            let is_in_token = !scope.trim().is_empty() && held.iter().any(|it| it.contains(scope));
            let is_taken = admin.needs(scope).is_ok();
            assert!(
                is_in_token || !is_taken,
                "{admin:?} has the scope {scope:?}"
            );
        }
    }
    let _ = now(IfMatch::from_request_parts(&mut parts, &()));
    let _ = now(IdempotencyKey::from_request_parts(&mut parts, &()));
    if let Ok(parameters) = now(Parameters::from_request_parts(&mut parts, &())) {
        let _ = parameters.finish_list();
    }
    let request = Request::from_parts(parts, body);
    if let Ok(signed) = now(SignedFields::from_request(request, &())) {
        // The fields are those of the bytes that are verified.
        let again = now(Fields::from_request(json(&signed.body), &())).expect("read before");
        assert_eq!(again.fingerprint(), signed.fields.fingerprint());
    }
}

/// `If-Match` in the first line, `Idempotency-Key` in the rest: a version is asked for only by its
/// own ETag, every ETag of ours asks for its version, and a key is visible text or refused.
pub fn headers(data: &[u8]) {
    let (tags, key) = first_line(data);
    let mut request = Request::new(Body::empty());
    let (Ok(tags), Ok(key)) = (HeaderValue::from_bytes(tags), HeaderValue::from_bytes(key)) else {
        return;
    };
    request.headers_mut().insert(IF_MATCH, tags.clone());
    request.headers_mut().insert(repeat::HEADER, key.clone());
    let (mut parts, _) = request.into_parts();
    if let Ok(IfMatch::OneOf(versions)) = now(IfMatch::from_request_parts(&mut parts, &())) {
        let sent = String::from_utf8_lossy(tags.as_bytes()).into_owned();
        for version in &versions {
            assert!(sent.contains(&etag::of(*version)), "{version} of {sent}");
        }
        let longer = format!("{sent}, {}", etag::of(7));
        let value = HeaderValue::from_str(&longer).expect("it was a header before");
        parts.headers.insert(IF_MATCH, value);
        let with_seven = now(IfMatch::from_request_parts(&mut parts, &()));
        let expected = [&versions[..], &[7]].concat();
        assert_eq!(with_seven.ok(), Some(IfMatch::OneOf(expected)), "{longer}");
    }
    match now(IdempotencyKey::from_request_parts(&mut parts, &())) {
        Ok(IdempotencyKey(read)) => {
            let read = read.expect("it is there");
            assert_eq!(read.as_bytes(), key.as_bytes());
            assert!(
                (1..=255).contains(&read.len()) && read.bytes().all(|it| it.is_ascii_graphic())
            );
        }
        Err(problem) => assert_eq!(problem.status(), 400),
    }
}

/// A query string: a page has 1 to 100 entries.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(request) = Request::get(format!("/?{text}")).body(Body::empty()) else {
        return;
    };
    let (mut parts, _) = request.into_parts();
    let Ok(mut parameters) = now(Parameters::from_request_parts(&mut parts, &())) else {
        return;
    };
    parameters.optional("status", str::parse::<u8>);
    match parameters.finish_list() {
        Ok(wanted) => assert!((1..=100).contains(&wanted.limit)),
        Err(problem) => assert_eq!(problem.status(), 422),
    }
}

/// A cursor: what a list takes is written as a cursor that it takes for the same.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(written) = page::rewritten(text) {
        let again = page::rewritten(&written).expect("a cursor of our own");
        assert_eq!(again, written);
    }
}

/// A body of `/broadcasting/auth`: of the same pairs, a form and JSON say the same; what is signed
/// names one socket and one channel, whatever is in them.
pub fn broadcasting(data: &[u8]) {
    let form = request(data, "application/x-www-form-urlencoded");
    let form = now(FormFields::from_request(form, &()));
    let read = form.and_then(|FormFields(fields)| subscription(fields));
    let pairs: serde_json::Map<_, _> = url::form_urlencoded::parse(data)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    // serde_json reads an object of this one name as the JSON in its text, which is what it says.
    if !pairs.contains_key("$serde_json::private::RawValue") {
        let same = Value::Object(pairs).to_string();
        let same = now(FormFields::from_request(json(same.as_bytes()), &()));
        let same = same.and_then(|FormFields(fields)| subscription(fields));
        let status = |it: &Result<_, Problem>| it.as_ref().map_err(Problem::status).cloned();
        assert_eq!(status(&read), status(&same));
    }

    let given = now(FormFields::from_request(json(data), &()));
    let given = given.and_then(|FormFields(fields)| subscription(fields));
    for (socket, channel) in [read, given].into_iter().flatten() {
        assert!(!socket.contains(':'), "{socket}");
        let app = App {
            id: "1".to_owned(),
            key: "key".to_owned(),
            secret: "of the fuzzer".to_owned().into(),
        };
        let auth = app.sign_subscription(&socket, &channel, None);
        let signature = app.sign(&format!("{socket}:{channel}"));
        assert_eq!(auth, format!("key:{signature}"));
    }
}

/// Socket and channel, as `broadcasting-auth` takes them.
fn subscription(mut fields: Fields) -> Result<(String, String), Problem> {
    let socket = fields.text("socket_id", |text| {
        is_socket_id(text).then(|| text.to_owned()).ok_or("is none")
    });
    let channel = fields.text("channel_name", |text| Ok::<_, &str>(text.to_owned()));
    fields.finish(|| Some((socket?, channel?)))
}

fn json(body: &[u8]) -> Request {
    request(body, "application/json")
}

fn request(body: &[u8], kind: &'static str) -> Request {
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::POST;
    let kind = HeaderValue::from_static(kind);
    request.headers_mut().insert(CONTENT_TYPE, kind);
    request
}

/// What a future is that waits for nothing: bodies here are whole.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}
