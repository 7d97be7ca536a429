//! The functions behind the HTTP API, whole, with nothing behind them: whatever they ask of AWS or of
//! Stripe is refused at once, as on the day when the tables are away.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::{read_event, with_conventions};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::SECRET;

/// Where nobody listens.
const AWAY: &str = "http://127.0.0.1:1";

/// What a request carries that no answer may.
const TOKEN: &str = "Bearer token_of_the_fuzzer";

/// What a function answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What all functions answer together to one of the gateway's events; nothing where the event cannot
/// be read. Whatever is answered keeps to the conventions (`infra/ARCHITECTURE.md` §6), or this panics.
pub(crate) fn answer(mut event: Value) -> Option<Answer> {
    let sent = event.to_string();
    if let Some(headers) = event.get_mut("headers").and_then(Value::as_object_mut) {
        headers.insert("authorization".to_owned(), TOKEN.into());
    }
    let request: lambda_http::Request = read_event(event).ok()?.into();
    let request = request.map(|body| Body::from(body.as_ref().to_vec()));
    let answer = FUNCTIONS.with(|(runtime, router)| {
        runtime.block_on(async {
            let Ok(answer) = router.clone().oneshot(request).await;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.expect("it is whole").to_bytes();
            let (status, headers) = (parts.status, parts.headers);
            Answer {
                status,
                headers,
                body,
            }
        })
    });
    answer.keeps_to_conventions(&sent);
    Some(answer)
}

/// What is answered to a request of an admin with these scopes, or of nobody; without what no header
/// may hold.
pub(crate) fn ask(
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
    scopes: Option<&str>,
) -> Answer {
    let valid = |value: &str| HeaderValue::from_str(value).is_ok();
    let mut headers: Map<String, Value> = headers
        .iter()
        .filter(|(_, value)| valid(value))
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect();
    headers
        .entry("content-type")
        .or_insert("application/json".into());
    let claims = scopes.map(|scopes| json!({ "sub": "fuzzer", "scope": scopes }));
    let authorizer = claims.map(|claims| json!({ "jwt": { "claims": claims, "scopes": null } }));
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "apiId": "api",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7" },
            "requestId": "of-the-fuzzer",
            "stage": "$default",
            "timeEpoch": 0,
            "authorizer": authorizer,
        },
        "isBase64Encoded": true,
        "body": STANDARD.encode(body),
    });
    answer(event).expect("an event of the gateway")
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Whether it is one to whom the function knows, or one to anybody.
    pub(crate) fn is_of(&self, statuses: &[u16]) -> bool {
        statuses.contains(&self.status.as_u16())
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default()
    }

    /// Status, shape, and nothing in it that is nobody's business.
    fn keeps_to_conventions(&self, sent: &str) {
        let status = self.status.as_u16();
        let promised = [
            200, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 503,
        ];
        assert!(promised.contains(&status), "{self:?}");
        let text = String::from_utf8_lossy(&self.body);
        // The names of fields are told to whoever wrote them.
        for inside in [SECRET, TOKEN, AWAY, "Dynamo", "universities_table"] {
            assert!(
                !text.contains(inside) || sent.contains(inside),
                "{inside} is told: {text}"
            );
        }
        if status < 400 || self.is_invalid_signature() {
            return;
        }
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for part in ["type", "title", "detail", "correlation_id"] {
            let told = problem[part].as_str().is_some_and(|it| !it.is_empty());
            assert!(told || part == "correlation_id", "{part} of {problem}");
        }
        let errors = problem["errors"].as_array().map_or(0, Vec::len);
        assert_eq!(status == 422, errors > 0, "{problem}");
        assert_eq!(
            status == 401,
            !self.header("www-authenticate").is_empty(),
            "{self:?}"
        );
    }

    /// Stripe's refusal is the contract's, to the letter.
    pub(crate) fn is_invalid_signature(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && self.body == br#"{"error":"Invalid signature"}"#[..]
    }
}

thread_local! {
    static FUNCTIONS: (Runtime, Router) = {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Whoever waits before the next try waits for nothing.
        let runtime = runtime.enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let router = runtime.block_on(async { all() });
        (runtime, router)
    };
}

/// The routes of every function, each with its own context.
fn all() -> Router {
    let mut all = Router::new();
    macro_rules! with {
        ($($function:ident),*) => {$({
            let cx = Arc::new($function::Cx::new(&configured($function::VARIABLES)));
            all = all.merge($function::routes().with_state(cx));
        })*};
    }
    with!(
        bitflow_alerts_api,
        bitflow_billing_api,
        bitflow_broadcasting_auth,
        bitflow_notifications_api,
        bitflow_stripe_webhook,
        bitflow_universities_api,
        bitflow_university_sync
    );
    with_conventions(all)
}

/// Secrets that can be told from all else, names of tables, and what is usual.
fn configured(variables: &[Variable]) -> Config {
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "id", SECRET, None, None, "fuzz",
        )))
        .endpoint_url(AWAY)
        .retry_config(RetryConfig::disabled())
        .build();
    let lookup = |name: &str| {
        let variable = config::ALL.iter().find(|it| it.name == name)?;
        match (name, variable.kind) {
            ("STRIPE_API_BASE", _) => Some(AWAY.to_owned()),
            (_, config::Kind::Secret) => Some(SECRET.to_owned()),
            _ if variable.default.is_some() => None,
            _ => Some(name.to_lowercase()),
        }
    };
    Config::of(variables, lookup, aws).expect("every variable has a value")
}
