//! Reads from Stripe for those who must not link async-stripe.

use std::sync::OnceLock;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::StripeError;
use crate::object::Subscription;

/// A reader of single objects.
#[derive(Debug)]
pub struct Retriever {
    base: Url,
    secret: SecretString,
    /// Built on the first read: most webhooks need none, and a TLS client costs start-up time.
    http: OnceLock<reqwest::Client>,
}

impl Retriever {
    /// Reads at `base` (`https://api.stripe.com`) with the API key `secret`.
    pub fn new(base: Url, secret: SecretString) -> Self {
        Self {
            base,
            secret,
            http: OnceLock::new(),
        }
    }

    /// The subscription as it is now.
    pub async fn subscription(&self, id: &str) -> Result<Subscription, StripeError> {
        let operation = "GET /v1/subscriptions/{id}";
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an http URL has a path")
            .pop_if_empty()
            .extend(["v1", "subscriptions", id]);
        let unreachable = |source: reqwest::Error| StripeError::Unreachable {
            operation: operation.to_owned(),
            source: source.without_url(),
        };
        let http = self.http.get_or_init(|| {
            reqwest::Client::builder()
                .timeout(Duration::from_secs(8))
                .build()
                .expect("the client has no setting that can fail")
        });
        let answer = http
            .get(url)
            .bearer_auth(self.secret.expose_secret())
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(StripeError::refused(operation, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| StripeError::Unreadable {
            operation: operation.to_owned(),
            reason: error.to_string(),
        })
    }
}
