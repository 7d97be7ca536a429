//! Triggering an event over the HTTP API.
//! <https://pusher.com/docs/channels/library_auth_reference/rest-api/#post-event-trigger-an-event>

use std::sync::OnceLock;
use std::time::Duration;

use bitflow_fault::{Class, Fault};
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use serde_json::json;
use url::Url;

use crate::auth::App;

/// Most bytes of an event's data.
pub const MAX_DATA: usize = 10 * 1024;

/// A server, and our app there.
#[derive(Debug)]
pub struct Pusher {
    base: Url,
    app: App,
    /// Built on the first event.
    http: OnceLock<reqwest::Client>,
}

/// The server did not take an event, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// No answer came back: it may have been pushed.
    #[error("Pusher events got no answer")]
    Unreachable(#[source] reqwest::Error),
    /// The server answered that it did not take it.
    #[error("Pusher events was refused with {status}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
    },
}

impl Fault for RealtimeError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Busy,
            Self::Refused { status } => match status.as_u16() {
                429 => Class::TooMany,
                408 | 500.. => Class::Busy,
                400 | 413 => Class::Invalid,
                // The key is wrong, the app is disabled or over its limit: ours to mend.
                _ => Class::Broken,
            },
        }
    }
}

impl Pusher {
    /// Nothing is built or connected before the first event. `base` is e.g.
    /// `https://api-mt1.pusher.com`, or wherever a server that speaks the protocol is.
    pub fn new(base: Url, app: App) -> Self {
        Self {
            base,
            app,
            http: OnceLock::new(),
        }
    }

    /// Triggers the event `name` on a channel, with `data` of at most [`MAX_DATA`] bytes, now. There
    /// is no idempotency key: twice is two events.
    ///
    /// # Errors
    /// [`RealtimeError::Unreachable`]: it may have been pushed, and another try may push it twice.
    /// [`RealtimeError::Refused`]: it was not. Whether another try may help is its class: 408, 429
    /// and 5xx pass; 400 and 413 are of this event, any other of our key or app.
    pub async fn trigger(
        &self,
        channel: &str,
        name: &str,
        data: &str,
        now: Timestamp,
    ) -> Result<(), RealtimeError> {
        let body = json!({ "name": name, "channels": [channel], "data": data }).to_string();
        let mut url = self.base.clone();
        let below = url.path().trim_end_matches('/').to_owned();
        let path = format!("/apps/{}/events", self.app.id);
        url.set_path(&format!("{below}{path}"));
        let query = self.app.sign_request("POST", &path, body.as_bytes(), now);
        url.set_query(Some(&query));
        // The URL holds the signature.
        let unreachable = |error: reqwest::Error| RealtimeError::Unreachable(error.without_url());
        let answer = self
            .http()
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(RealtimeError::Refused { status })
        }
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(10))
                .redirect(Policy::none())
                .build()
                .expect("the client has no setting that can fail")
        })
    }
}
