//! Webhooks: signed, tried again after growing gaps, in no promised order.
//! <https://docs.stripe.com/webhooks>

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitflow_stripe::signature::sign;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::Settings;
use super::shape::Shape;
use crate::progress::Pending;

/// Delivers events.
pub(super) struct Deliveries {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
}

struct Inner {
    settings: Settings,
    http: reqwest::Client,
    pending: Mutex<Vec<(String, Option<Timestamp>)>>,
    held: Mutex<Option<Vec<Value>>>,
}

impl Deliveries {
    pub(super) fn new(settings: &Settings) -> Self {
        // "Your endpoint must quickly return a successful status code": 20 s are Stripe's patience.
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build();
        let inner = Inner {
            settings: settings.clone(),
            http: http.expect("the client has no setting that can fail"),
            pending: Mutex::default(),
            held: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
            tasks: Mutex::default(),
        }
    }

    /// Delivers an event, or keeps it back while deliveries are held.
    pub(super) fn deliver(&self, event: Value, shape: Shape) {
        if let Some(held) = self.inner.held.lock().expect("no holder panics").as_mut() {
            held.push(event);
            return;
        }
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        self.inner.set(&id, None);
        let inner = self.inner.clone();
        let mut tasks = self.tasks.lock().expect("no holder panics");
        tasks.spawn(async move {
            let clock = inner.settings.clock.clone();
            for gap in inner.settings.retry_gaps.clone() {
                if inner.try_once(&event, shape).await {
                    return inner.done(&id);
                }
                let again_at = clock.now() + gap;
                inner.set(&id, Some(again_at));
                clock.sleep_until(again_at).await;
                inner.set(&id, None);
            }
            if !inner.try_once(&event, shape).await {
                tracing::warn!(event_id = id, "Stripe gave up on an event");
            }
            inner.done(&id);
        });
    }

    pub(super) fn hold(&self) {
        self.inner
            .held
            .lock()
            .expect("no holder panics")
            .get_or_insert_default();
    }

    pub(super) fn held(&self) -> Vec<Value> {
        self.inner
            .held
            .lock()
            .expect("no holder panics")
            .clone()
            .unwrap_or_default()
    }

    /// Ends the holding, and delivers these, one after the other.
    pub(super) async fn release(&self, events: &[Value], shape: Shape) {
        self.inner.held.lock().expect("no holder panics").take();
        for event in events {
            if !self.inner.try_once(event, shape).await {
                self.deliver(event.clone(), shape);
            }
        }
    }

    pub(super) fn pending(&self) -> Vec<Pending> {
        let pending = self.inner.pending.lock().expect("no holder panics");
        let describe = |(id, at): &(String, Option<Timestamp>)| {
            let what = format!("Stripe: delivery of {id}");
            at.map_or_else(
                || Pending::Now(what.clone()),
                |at| Pending::Later(at, what.clone()),
            )
        };
        pending.iter().map(describe).collect()
    }

    pub(super) fn shutdown(&self) {
        self.tasks.lock().expect("no holder panics").abort_all();
    }
}

impl Inner {
    /// Whether the endpoint took it.
    async fn try_once(&self, event: &Value, shape: Shape) -> bool {
        let mut event = event.clone();
        event["api_version"] = shape.version().into();
        event["data"]["object"] = shape.render(&event["data"]["object"]);
        let body = event.to_string();
        let signature = sign(&self.settings.webhook_secret, body.as_bytes(), real_now());
        let sent = self
            .http
            .post(&self.settings.webhook_url)
            .header("content-type", "application/json; charset=utf-8")
            .header(
                "user-agent",
                "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            )
            .header("stripe-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                tracing::info!(status = answer.status().as_u16(), "a webhook was not taken");
                false
            }
            Err(error) => {
                tracing::info!(%error, "a webhook was not taken");
                false
            }
        }
    }

    fn set(&self, id: &str, again_at: Option<Timestamp>) {
        let mut pending = self.pending.lock().expect("no holder panics");
        pending.retain(|(other, _)| other != id);
        pending.push((id.to_owned(), again_at));
        drop(pending);
        self.settings.progress.touch();
    }

    fn done(&self, id: &str) {
        self.pending
            .lock()
            .expect("no holder panics")
            .retain(|(other, _)| other != id);
        self.settings.progress.touch();
    }
}

/// The receiver checks the signature's time against its own clock, which is the real one.
#[expect(
    clippy::disallowed_methods,
    reason = "the signed time is read by a real process"
)]
fn real_now() -> Timestamp {
    Timestamp::now()
}
