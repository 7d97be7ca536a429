//! Webhooks: signed, tried again after growing gaps, in no promised order.
//! <https://docs.stripe.com/webhooks>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bitflow_stripe::signature::sign;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Settings;
use super::disturb::{Behind, Disturbance, Disturber, Fate};
use super::shape::Shape;
use crate::progress::Pending;

/// Requests at a time. A request's timeout shall measure the endpoint, and not the queue before it.
const AT_ONCE: usize = 16;

/// How long an event that is kept back waits for others at most, by the stack's clock: so that the
/// last one is delivered, too.
const KEPT_AT_MOST: SignedDuration = SignedDuration::from_mins(10);

/// Delivers events.
pub(super) struct Deliveries {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
}

struct Inner {
    settings: Settings,
    http: reqwest::Client,
    turns: Semaphore,
    /// By the event's id: none while it is under way, or when it is tried again.
    pending: Mutex<BTreeMap<String, Option<Timestamp>>>,
    held: Mutex<Option<Vec<Value>>>,
    disturber: Mutex<Option<Disturber>>,
    /// The types that the endpoint is registered for; none: all.
    enabled: Mutex<Option<BTreeSet<String>>>,
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
            turns: Semaphore::new(AT_ONCE),
            pending: Mutex::default(),
            held: Mutex::default(),
            disturber: Mutex::default(),
            enabled: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
            tasks: Mutex::default(),
        }
    }

    /// Delivers an event, or keeps it back while deliveries are held.
    pub(super) fn deliver(&self, event: Value, shape: Shape) {
        if !self
            .inner
            .is_enabled(event["type"].as_str().unwrap_or_default())
        {
            return;
        }
        if let Some(held) = self.inner.held.lock().expect("no holder panics").as_mut() {
            held.push(event);
            return;
        }
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        let fate = match self.disturber().as_mut() {
            Some(disturber) => disturber.next(&id),
            None => Fate {
                twice: false,
                behind: None,
            },
        };
        self.inner.set(&id, None);
        let inner = self.inner.clone();
        let mut tasks = self.tasks.lock().expect("no holder panics");
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if let Some(behind) = fate.behind {
                inner.wait(&id, behind).await;
            }
            if inner.try_often(&id, &event, shape).await {
                if fate.twice {
                    inner.try_once(&event, shape).await;
                }
            } else {
                tracing::warn!(event_id = id, "Stripe gave up on an event");
            }
            inner.done(&id);
        });
    }

    pub(super) fn enable(&self, types: BTreeSet<String>) {
        *self.inner.enabled.lock().expect("no holder panics") = Some(types);
    }

    pub(super) fn disturb(&self, how: Disturbance) {
        let before = self.disturber().replace(Disturber::new(how));
        drop(before);
    }

    pub(super) fn flush(&self) {
        if let Some(disturber) = self.disturber().as_mut() {
            disturber.flush();
        }
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
        let describe = |(id, at): (&String, &Option<Timestamp>)| {
            let what = format!("Stripe: delivery of {id}");
            at.map_or_else(
                || Pending::Now(what.clone()),
                |at| Pending::Later(at, what.clone()),
            )
        };
        self.inner.pending().iter().map(describe).collect()
    }

    pub(super) fn shutdown(&self) {
        self.tasks.lock().expect("no holder panics").abort_all();
    }

    fn disturber(&self) -> MutexGuard<'_, Option<Disturber>> {
        self.inner.disturber.lock().expect("no holder panics")
    }
}

impl Inner {
    fn is_enabled(&self, kind: &str) -> bool {
        let enabled = self.enabled.lock().expect("no holder panics");
        enabled.as_ref().is_none_or(|types| types.contains(kind))
    }

    /// Waits until those that are to come first have come.
    async fn wait(&self, id: &str, behind: Behind) {
        let clock = &self.settings.clock;
        let at_last = clock.now() + KEPT_AT_MOST;
        self.set(id, Some(at_last));
        tokio::select! {
            () = behind.go.notified() => {}
            () = clock.sleep_until(at_last) => {}
        }
        self.set(id, None);
        let mut changes = self.settings.progress.subscribe();
        loop {
            changes.borrow_and_update();
            let on_its_way = {
                let overtakers = behind.overtakers.lock().expect("no holder panics");
                let pending = self.pending();
                overtakers.iter().any(|id| pending.get(id) == Some(&None))
            };
            if !on_its_way || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether the endpoint took it in the end.
    async fn try_often(&self, id: &str, event: &Value, shape: Shape) -> bool {
        let clock = &self.settings.clock;
        for gap in &self.settings.retry_gaps {
            if self.try_once(event, shape).await {
                return true;
            }
            let again_at = clock.now() + *gap;
            self.set(id, Some(again_at));
            clock.sleep_until(again_at).await;
            self.set(id, None);
        }
        self.try_once(event, shape).await
    }

    /// Whether the endpoint took it.
    async fn try_once(&self, event: &Value, shape: Shape) -> bool {
        let _turn = self.turns.acquire().await;
        let body = shape.render(event).to_string();
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
        self.pending().insert(id.to_owned(), again_at);
        self.settings.progress.touch();
    }

    fn done(&self, id: &str) {
        self.pending().remove(id);
        self.settings.progress.touch();
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<String, Option<Timestamp>>> {
        self.pending.lock().expect("no holder panics")
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
