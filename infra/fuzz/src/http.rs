//! What comes with a request: the gateway's event as a whole, and each part that we read ourselves.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bitflow_realtime::auth::App;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag::{self, IfMatch};
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::read_event;
use bitflow_runtime::http::repeat::{self, IdempotencyKey};
use bitflow_runtime::http::signed::SignedFields;
use bitflow_store::page;
use futures_util::FutureExt;
use serde_json::{Map, Value};

use crate::functions::{Answer, answer, ask};
use crate::{SECRET, first_line};

/// An API Gateway event, as Lambda hands it over: nobody is an admin whom the gateway's authorizer
/// did not name, nobody has a scope that the token has not, and every function answers as it promises.
pub fn gateway_event(data: &[u8]) {
    let sent: Value = serde_json::from_slice(data).unwrap_or_default();
    // What the gateway says it encoded it did encode; lambda_http panics where that is not so.
    let body = sent["body"].as_str().unwrap_or_default();
    if sent["isBase64Encoded"] == true && STANDARD.decode(body).is_err() {
        return;
    }
    let claims = sent["requestContext"]["authorizer"]["jwt"]["claims"].clone();
    let Ok(event) = read_event(sent.clone()) else {
        return;
    };
    let request: lambda_http::Request = event.into();
    let request = request.map(|body| Body::from(body.as_ref().to_vec()));
    let (mut parts, body) = request.into_parts();
    let admin = now(Admin::from_request_parts(&mut parts, &()));
    let route = (parts.method.clone(), parts.uri.path().to_owned());
    let given = answer(sent).expect("it was read before");
    is_answered_to_whom_it_may(&route, admin.as_ref().ok(), &given);
    if let Ok(admin) = admin {
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

/// With no table to be had, nothing is done; and whoever is nobody, or has no scope, is told just that,
/// where the path is an admin's.
fn is_answered_to_whom_it_may(
    (method, path): &(Method, String),
    admin: Option<&Admin>,
    answer: &Answer,
) {
    let public = ["/api/health", "/api/openapi.json"];
    let signed = ["/api/webhooks/stripe", "/api/webhooks/university-sync"];
    let is_alert = method == Method::POST && path == "/api/admin/alerts";
    if public.contains(&path.as_str()) {
        assert!(answer.is_of(&[200, 405]), "{answer:?}");
    } else if is_alert || signed.contains(&path.as_str()) {
        assert!(!answer.is_of(&[200, 401, 403]), "{answer:?}");
    } else if admin.is_none() {
        assert!(answer.is_of(&[401, 404, 405]), "{answer:?}");
    } else if answer.is_of(&[200]) {
        assert_eq!(path, "/broadcasting/auth", "{answer:?}");
    }
    if admin.is_some_and(|it| held(it).next().is_none()) && !is_alert {
        let nothing = answer.is_of(&[503]) || answer.is_of(&[200]);
        let open = public.contains(&path.as_str()) || signed.contains(&path.as_str());
        assert!(open || !nothing, "without any scope: {answer:?}");
    }
}

/// Those of the scopes that there are that an admin has.
fn held(admin: &Admin) -> impl Iterator<Item = &'static str> {
    let all = [
        "universities:read",
        "universities:write",
        "billing:read",
        "billing:write",
        "alerts:read",
        "alerts:write",
        "notifications:write",
        "broadcasting",
    ];
    all.into_iter().filter(|it| admin.needs(it).is_ok())
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

/// A cursor: what a list takes is written as a cursor that it takes for the same, and says all of what
/// was taken.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(written) = page::rewritten(text) {
        let again = page::rewritten(&written).expect("a cursor of our own");
        assert_eq!(again, written);
        let says = |cursor: &str| -> BTreeMap<String, String> {
            let json = URL_SAFE_NO_PAD.decode(cursor).expect("it was read before");
            serde_json::from_slice(&json).expect("it was read before")
        };
        assert_eq!(says(&written), says(text));
    }
}

/// A body of `/broadcasting/auth`: of the same pairs, a form and JSON are answered the same; what is
/// signed is one socket on one of the owner's channels, for whoever has the scope.
pub fn broadcasting(data: &[u8]) {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";
    let of = |kind: &str, body: &[u8], scopes| {
        let path = ("POST", "/broadcasting/auth");
        ask(path, &[("content-type", kind)], body, scopes)
    };
    let scope = Some("broadcasting");
    let pairs: Map<String, Value> = url::form_urlencoded::parse(data)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    let sent = serde_json::from_slice(data).unwrap_or_default();
    let (form, json) = (of(FORM, data, scope), of(JSON, data, scope));
    // serde_json reads an object of this one name as the JSON in its text, which is what it says.
    if !pairs.contains_key("$serde_json::private::RawValue") {
        let same = of(
            JSON,
            Value::Object(pairs.clone()).to_string().as_bytes(),
            scope,
        );
        assert_eq!((form.status, &form.body), (same.status, &same.body));
    }
    for (kind, answer, sent) in [(FORM, form, Value::Object(pairs)), (JSON, json, sent)] {
        assert!(answer.is_of(&[200, 400, 403, 413, 422]), "{answer:?}");
        if answer.is_of(&[200]) {
            is_signed(&sent, &answer.json());
            for (scopes, status) in [(None, 401), (Some("broadcast universities:read"), 403)] {
                let refused = of(kind, data, scopes);
                assert!(refused.is_of(&[status]), "{scopes:?}: {refused:?}");
            }
        }
    }
}

/// Whether what was answered is the signature of what was asked for, and that may be asked for.
fn is_signed(sent: &Value, answer: &Value) {
    let text = |it: &Value| it.as_str().map(str::to_owned).expect("a text");
    let (socket, channel) = (text(&sent["socket_id"]), text(&sent["channel_name"]));
    let numbers: Vec<&str> = socket.split('.').collect();
    let is_number = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    assert!(
        numbers.len() == 2 && numbers.iter().all(is_number),
        "{socket}"
    );
    let who = match channel.as_str() {
        "private-bitflow-admin" => None,
        "presence-bitflow-admin" => Some(text(&answer["channel_data"])),
        other => panic!("{other} is nobody's to listen on"),
    };
    let app = App {
        id: String::new(),
        key: "pusher_app_key".to_owned(),
        secret: SECRET.to_owned().into(),
    };
    let expected = app.sign_subscription(&socket, &channel, who.as_deref());
    assert_eq!(answer["auth"], expected);
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
