//! What pages of other origins may do with a bucket.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html>

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::template::model::CorsRule;

/// The answer to a preflight; nothing where the request is none.
pub(super) fn preflight(
    rules: &[CorsRule],
    method: &Method,
    headers: &HeaderMap,
) -> Option<Response> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if method != Method::OPTIONS {
        return None;
    }
    let origin = text(header::ORIGIN)?;
    let wanted = text(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let asked = text(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let named: Vec<_> = asked
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let allows = |rule: &&CorsRule| {
        let allowed = |name: &String| {
            let patterns = rule.headers.iter().map(|it| it.to_ascii_lowercase());
            patterns.into_iter().any(|pattern| matches(&pattern, name))
        };
        rule.allows(origin, wanted) && named.iter().all(allowed)
    };
    let Some(rule) = rules.iter().find(allows) else {
        let refusal = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessForbidden</Code>\
            <Message>CORSResponse: This CORS request is not allowed.</Message></Error>";
        let kind = [(header::CONTENT_TYPE, "application/xml")];
        return Some((StatusCode::FORBIDDEN, kind, refusal).into_response());
    };
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    rule.tell(origin, answer);
    set(
        answer,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        &rule.methods.join(", "),
    );
    set(
        answer,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        &named.join(", "),
    );
    if let Some(seconds) = rule.max_age {
        set(answer, header::ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
    }
    Some(response)
}

/// Adds to an answer what lets the page read it.
pub(super) fn tell(
    rules: &[CorsRule],
    method: &Method,
    origin: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) {
    let Some(origin) = origin.and_then(|origin| origin.to_str().ok()) else {
        return;
    };
    let rule = rules
        .iter()
        .find(|rule| rule.allows(origin, method.as_str()));
    if let Some(rule) = rule {
        rule.tell(origin, headers);
    }
}

impl CorsRule {
    fn allows(&self, origin: &str, method: &str) -> bool {
        self.origins.iter().any(|it| matches(it, origin))
            && self.methods.iter().any(|it| it == method)
    }

    fn tell(&self, origin: &str, headers: &mut HeaderMap) {
        let everyone = self.origins.iter().any(|it| it == "*");
        let allowed = if everyone { "*" } else { origin };
        set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        set(
            headers,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &self.exposed.join(", "),
        );
        set(headers, header::VARY, "Origin");
    }
}

/// One `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            text.len() >= before.len() + after.len()
                && text.starts_with(before)
                && text.ends_with(after)
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> CorsRule {
        let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        CorsRule {
            origins: texts(&["https://admin.example", "https://*.dev.example"]),
            methods: texts(&["GET", "PUT"]),
            headers: texts(&["Content-Type"]),
            exposed: texts(&["etag"]),
            max_age: Some(600),
        }
    }

    fn check(origin: &str, method: &str, asked: &str, expect: u16) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::ORIGIN, origin),
            (header::ACCESS_CONTROL_REQUEST_METHOD, method),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, asked),
        ] {
            set(&mut headers, name, value);
        }
        let answer = preflight(&[rule()], &Method::OPTIONS, &headers).unwrap();
        assert_eq!(
            answer.status().as_u16(),
            expect,
            "{origin} {method} {asked}"
        );
        if expect == 200 {
            assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        }
    }

    #[test]
    fn origin_method_and_headers_must_be_allowed() {
        check("https://admin.example", "PUT", "content-type", 200);
        check("https://a.dev.example", "GET", "", 200);
        check("https://evil.example", "PUT", "content-type", 403);
        check("https://admin.example", "DELETE", "", 403);
        check("https://admin.example", "PUT", "content-type, x-other", 403);
        assert!(preflight(&[rule()], &Method::GET, &HeaderMap::new()).is_none());
    }
}
