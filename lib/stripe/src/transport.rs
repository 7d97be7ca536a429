//! Calls of the API over one pooled client: every attempt bounded, each with the same key.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::API_VERSION;
use crate::error::StripeError;

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;

/// Where Stripe is, and how to get in.
#[derive(Debug)]
pub(crate) struct Transport {
    base: Url,
    secret: SecretString,
    /// Built on the first call: most webhooks need none, and a TLS client costs start-up time.
    http: OnceLock<reqwest::Client>,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Without `/v1`.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// A form.
    pub(crate) body: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

impl Call {
    /// A read.
    pub(crate) fn get(path: impl Into<String>, query: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(query);
        Self {
            method: Method::GET,
            path: path.into(),
            query: Some(form.finish()).filter(|query| !query.is_empty()),
            body: None,
            idempotency_key: None,
        }
    }
}

impl Transport {
    pub(crate) fn new(base: Url, secret: SecretString) -> Self {
        Self {
            base,
            secret,
            http: OnceLock::new(),
        }
    }

    /// Makes a call, again where Stripe says that this may help, and reads the answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, StripeError> {
        let operation = format!("{} /v1{}", call.method, call.path);
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/v1{}",
            self.base.path().trim_end_matches('/'),
            call.path
        ));
        url.set_query(call.query.as_deref());
        let mut tried = 0;
        let body = loop {
            tried += 1;
            let mut attempt = self
                .http()
                .request(call.method.clone(), url.clone())
                .bearer_auth(self.secret.expose_secret())
                .header("stripe-version", API_VERSION);
            if let Some(body) = &call.body {
                attempt = attempt
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body.clone());
            }
            if let Some(key) = &call.idempotency_key {
                attempt = attempt.header("idempotency-key", key);
            }
            let (error, retry) = match self.attempt(attempt, &operation).await {
                Ok(body) => break body,
                Err(failed) => failed,
            };
            match retry.pause(tried) {
                Some(pause) if tried < ATTEMPTS => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        };
        serde_json::from_slice(&body)
            .map_err(|source| StripeError::Unreadable { operation, source })
    }

    /// One attempt; also whether another may do better, and after how long Stripe wants it.
    async fn attempt(
        &self,
        request: reqwest::RequestBuilder,
        operation: &str,
    ) -> Result<Bytes, (StripeError, Retry)> {
        let unreachable = |source: reqwest::Error| {
            let operation = operation.to_owned();
            (
                StripeError::Unreachable {
                    operation,
                    source: source.without_url(),
                },
                Retry::Soon,
            )
        };
        let answer = request.send().await.map_err(unreachable);
        let status = answer.as_ref().ok().map(reqwest::Response::status);
        metrics::counter!("StripeCalls", "Outcome" => outcome(status)).increment(1);
        let answer = answer?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let replayed = headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true");
        let retry = if replayed {
            Retry::No
        } else {
            Retry::of(status, &headers)
        };
        Err((
            StripeError::refused(operation, status.as_u16(), &body, replayed),
            retry,
        ))
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(8))
                .build()
                .expect("the client has no setting that can fail")
        })
    }
}

/// What came of an attempt, as it is counted. What Stripe refuses (a card, a wrong field) is its answer
/// to who asked; what it fails is nobody's answer.
fn outcome(status: Option<StatusCode>) -> &'static str {
    match status.map(|status| status.as_u16()) {
        Some(200..=299) => "done",
        Some(429) => "throttled",
        // Our key is wrong, or may not do this: no call will do before that is mended.
        Some(401 | 403) => "denied",
        Some(500..) => "failed",
        Some(_) => "refused",
        None => "unanswered",
    }
}

/// Whether another attempt may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    No,
    Soon,
    After(Duration),
}

impl Retry {
    /// `Stripe-Should-Retry` decides; without it, the statuses that Stripe documents as transient.
    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let transient = match text("stripe-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => matches!(status.as_u16(), 409 | 424 | 429 | 500..=504),
        };
        if !transient {
            return Self::No;
        }
        text(RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map_or(Self::Soon, |seconds| {
                Self::After(Duration::from_secs(seconds))
            })
    }

    /// How long to wait after attempt number `tried`: growing, and spread so that many callers do
    /// not come back at once. What Stripe wants longer is left to the queue.
    fn pause(self, tried: u32) -> Option<Duration> {
        match self {
            Self::No => None,
            Self::After(wanted) => (wanted <= Duration::from_secs(2)).then_some(wanted),
            Self::Soon => {
                let most = 200_u64 << tried;
                Some(Duration::from_millis(rand::random_range(most / 2..=most)))
            }
        }
    }
}
