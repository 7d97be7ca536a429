//! Payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::routing::Target;

/// A request that a route was found for.
pub(super) struct Asked<'a> {
    pub(super) request_id: &'a str,
    pub(super) parts: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) target: &'a Target,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) claims: Option<Claims>,
    pub(super) host: &'a str,
    pub(super) now: Timestamp,
}

/// A verified token, and the scopes that the route asks for.
pub(super) struct Claims {
    pub(super) claims: Map<String, Value>,
    pub(super) scopes: Vec<String>,
}

/// The event that the function is invoked with.
pub(super) fn event(asked: &Asked<'_>) -> Value {
    let Parts {
        method,
        uri,
        headers,
        ..
    } = asked.parts;
    let route_key = format!("{} {}", asked.target.route.method, asked.target.route.path);
    let text = |name: HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(),
        "headers": joined(headers),
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": asked.host,
            "domainPrefix": "local",
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": text(header::USER_AGENT),
            },
            "requestId": asked.request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": asked.now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": asked.now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    if let Some(claims) = &asked.claims {
        let flat: Map<String, Value> = claims
            .claims
            .iter()
            .map(|(name, value)| (name.clone(), flat(value).into()))
            .collect();
        let scopes = (!claims.scopes.is_empty()).then_some(&claims.scopes);
        event["requestContext"]["authorizer"] =
            json!({ "jwt": { "claims": flat, "scopes": scopes } });
    }
    let cookies: Vec<&str> = text(header::COOKIE)
        .split("; ")
        .filter(|it| !it.is_empty())
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(query) = uri.query() {
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parameters
                .entry(name.into_owned())
                .and_modify(|joined| {
                    joined.push(',');
                    joined.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
        event["queryStringParameters"] = json!(parameters);
    }
    if !asked.path_parameters.is_empty() {
        event["pathParameters"] = json!(asked.path_parameters);
    }
    if !asked.body.is_empty() {
        match std::str::from_utf8(asked.body) {
            Ok(body) if is_text(text(header::CONTENT_TYPE)) => event["body"] = body.into(),
            _ => {
                event["body"] = BASE64.encode(asked.body).into();
                event["isBase64Encoded"] = true.into();
            }
        }
    }
    event
}

/// The function's answer as HTTP; nothing where it is not one.
pub(super) fn answer(payload: &Bytes) -> Option<Response> {
    let answer: Value = serde_json::from_slice(payload).ok()?;
    let Some(status) = answer.get("statusCode") else {
        // Inferred: whatever was returned is the body.
        let mut response = Response::new(Body::from(payload.clone()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        return Some(response);
    };
    let status = StatusCode::from_u16(u16::try_from(status.as_u64()?).ok()?).ok()?;
    let text = answer["body"].as_str().unwrap_or_default();
    let body = if answer["isBase64Encoded"].as_bool() == Some(true) {
        BASE64.decode(text).ok()?
    } else {
        text.as_bytes().to_vec()
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        if name != header::CONTENT_LENGTH {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_str(value.as_str()?).ok()?);
        }
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        let value = HeaderValue::from_str(cookie.as_str()?).ok()?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Some(response)
}

/// Names in lower case, values of one name joined; cookies go their own way.
fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for name in headers.keys().filter(|name| **name != header::COOKIE) {
        let values: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        joined.insert(name.as_str().to_owned(), values.join(","));
    }
    joined
}

/// Content types whose body is passed on as text; every other one as base64.
fn is_text(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/json" | "application/javascript" | "application/xml"
        )
}

/// Claims are passed on as text; a list becomes `[a b]`.
fn flat(claim: &Value) -> String {
    match claim {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flat).collect();
            format!("[{}]", items.join(" "))
        }
        other => other.to_string(),
    }
}
