//! The API client: async-stripe's typed requests over one pooled reqwest client.
//!
//! async-stripe's own client keeps no connection alive, has no timeout, and draws a random
//! idempotency key; this one bounds every attempt and sends the same key on each.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use stripe::{CustomizedStripeRequest, IdempotencyKey, RequestStrategy, StripeRequest};
use stripe_client_core::{StripeClient, StripeClientErr, StripeMethod};
use stripe_core::customer::{CreateCustomer, SearchCustomer};
use url::Url;

use crate::error::StripeError;

/// The API version that every request asks for, whatever the account's default.
pub const API_VERSION: &str = "2025-03-31.basil";

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;

/// Stripe's API.
#[derive(Debug)]
pub struct Client {
    base: Url,
    secret: SecretString,
    http: OnceLock<reqwest::Client>,
}

/// A customer to be.
#[derive(Debug, Clone)]
pub struct NewCustomer<'a> {
    /// Where Stripe sends receipts.
    pub email: &'a str,
    /// As people read it.
    pub name: &'a str,
    /// Ours; goes into the metadata, so that the customer can be found by it.
    pub university_id: &'a str,
}

/// A customer, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq, miniserde::Deserialize)]
pub struct Customer {
    /// `cus_…`.
    pub id: String,
}

impl Client {
    /// Calls `base` (`https://api.stripe.com`) with the API key `secret`. Nothing is built or
    /// connected before the first call.
    pub fn new(base: Url, secret: SecretString) -> Self {
        Self {
            base,
            secret,
            http: OnceLock::new(),
        }
    }

    /// Creates a customer; the same `idempotency_key` within 24 h gives the same customer.
    /// <https://docs.stripe.com/api/customers/create>
    pub async fn create_customer(
        &self,
        new: &NewCustomer<'_>,
        idempotency_key: &str,
    ) -> Result<Customer, StripeError> {
        let metadata = HashMap::from([("university_id".to_owned(), new.university_id.to_owned())]);
        let request = CreateCustomer::new()
            .email(new.email)
            .name(new.name)
            .metadata(metadata);
        let key =
            IdempotencyKey::new(idempotency_key).map_err(|error| StripeError::Unreadable {
                operation: "POST /v1/customers".to_owned(),
                reason: error.to_string(),
            })?;
        request
            .build()
            .customize::<Customer>()
            .request_strategy(RequestStrategy::Idempotent(key))
            .send(self)
            .await
    }

    /// The customer with our `university_id` in its metadata. Stripe's search lags by up to a
    /// minute. <https://docs.stripe.com/api/customers/search>
    pub async fn find_customer(
        &self,
        university_id: &str,
    ) -> Result<Option<Customer>, StripeError> {
        #[derive(miniserde::Deserialize)]
        struct Found {
            data: Vec<Customer>,
        }
        let request = SearchCustomer::new(format!("metadata['university_id']:'{university_id}'"));
        let found = request
            .limit(1)
            .build()
            .customize::<Found>()
            .send(self)
            .await?;
        Ok(found.data.into_iter().next())
    }

    /// One attempt; also whether another may do better, and after how long Stripe wants it.
    async fn attempt(
        &self,
        request: reqwest::Request,
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
        let answer = self.http().execute(request).await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        Err((
            StripeError::refused(operation, status.as_u16(), &body),
            Retry::of(status, &headers),
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

impl StripeClient for Client {
    type Err = StripeError;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, StripeError> {
        let (request, settings) = request.into_pieces();
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let operation = format!("{method} /v1{}", request.path);
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/v1{}",
            self.base.path().trim_end_matches('/'),
            request.path
        ));
        url.set_query(request.query.as_deref());
        let mut tried = 0;
        loop {
            tried += 1;
            let mut attempt = self
                .http()
                .request(method.clone(), url.clone())
                .bearer_auth(self.secret.expose_secret())
                .header("stripe-version", API_VERSION);
            if let Some(body) = &request.body {
                attempt = attempt
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body.clone());
            }
            if let Some(RequestStrategy::Idempotent(key)) = &settings.request_strategy {
                attempt = attempt.header("idempotency-key", key.as_str());
            }
            let built = attempt.build().map_err(|source| StripeError::Unreachable {
                operation: operation.clone(),
                source,
            })?;
            let (error, retry) = match self.attempt(built, &operation).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            match retry.pause(tried) {
                Some(pause) if tried < ATTEMPTS => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }
}

impl StripeClientErr for StripeError {
    fn deserialize_err(reason: impl Display) -> Self {
        Self::Unreadable {
            operation: "call".to_owned(),
            reason: reason.to_string(),
        }
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
