//! Stripe: customers, products and prices, subscriptions, invoices with items, events and their
//! delivery. <https://docs.stripe.com/api>
//!
//! [`params`] reads requests, [`state`] holds the objects in the newer shape, [`shape`] turns them
//! into the older one, [`deliveries`] sends the webhooks; each resource has a file of its own.

mod customers;
mod deliveries;
mod error;
mod invoices;
mod params;
mod prices;
mod server;
pub mod shape;
mod state;
mod subscriptions;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::hold::Held;
use crate::clock::Clock;
use crate::progress::{Pending, Progress};
use crate::storage::Storage;
use deliveries::Deliveries;
use shape::Shape;
use state::State;

/// How the simulator is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API key that requests must carry.
    pub api_key: SecretString,
    /// Where webhooks go.
    pub webhook_url: String,
    /// What they are signed with.
    pub webhook_secret: SecretString,
    /// Gaps between tries of a delivery.
    pub retry_gaps: Vec<Duration>,
    /// What is kept between runs.
    pub storage: Storage,
    /// The stack's clock.
    pub clock: Clock,
    /// Told of every change.
    pub progress: Progress,
}

impl Settings {
    /// Growing gaps over three days, as with a live endpoint.
    /// <https://docs.stripe.com/webhooks#automatic-retries>
    pub fn live_retry_gaps() -> Vec<Duration> {
        let minutes = [5, 30, 120, 300, 600, 720, 720, 720, 720];
        minutes.into_iter().map(Duration::from_mins).collect()
    }
}

/// The simulator; a cheap handle.
#[derive(Clone)]
pub struct StripeSim {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    controls: Mutex<Controls>,
    settings: Settings,
    deliveries: Deliveries,
    url: String,
    server: Mutex<Option<JoinHandle<()>>>,
}

/// What a test or a developer asked for.
#[derive(Debug, Default)]
struct Controls {
    requests: Vec<Received>,
    failures: Vec<Failure>,
    held: Option<(String, Held)>,
}

/// A request that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// `POST` and so on.
    pub method: String,
    /// With `/v1`, without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: std::collections::BTreeMap<String, String>,
    /// The form or query, as it came.
    pub parameters: String,
    /// What was answered.
    pub status: u16,
    /// When.
    pub received_at: jiff::Timestamp,
}

/// An answer that a request gets instead of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// HTTP status; 0 for no answer at all.
    pub status: u16,
    /// Only requests whose path begins so.
    #[serde(default)]
    pub path: String,
    /// The request takes effect all the same.
    #[serde(default)]
    pub after_effect: bool,
}

impl StripeSim {
    /// Answers on `listener`.
    pub fn start(listener: tokio::net::TcpListener, settings: Settings) -> std::io::Result<Self> {
        let state: State = settings.storage.load()?;
        let url = format!("http://{}", listener.local_addr()?);
        let deliveries = Deliveries::new(&settings);
        let inner = Inner {
            state: Mutex::new(state),
            controls: Mutex::default(),
            settings,
            deliveries,
            url,
            server: Mutex::default(),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        let router = server::router(this.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "Stripe stopped");
            }
        });
        *this.inner.server.lock().expect("no holder panics") = Some(server);
        Ok(this)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Every object of a kind (`customer`, `invoice` …), oldest first, in the newer shape.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.lock().of_kind(kind)
    }

    /// One object by its id.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.lock().get(id).cloned()
    }

    /// What it was asked, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.controls().requests.clone()
    }

    /// The next request that fits is answered so.
    pub fn fail_next(&self, failure: Failure) {
        self.controls().failures.push(failure);
    }

    /// The next request whose path begins so takes effect, but its answer is held.
    pub fn hold_answer(&self, path: &str) -> Held {
        let held = Held::new();
        self.controls().held = Some((path.to_owned(), held.clone()));
        held
    }

    /// Webhooks come in this shape from now on.
    pub fn set_webhook_shape(&self, shape: Shape) {
        self.lock().webhook_shape = shape;
    }

    /// Creates an object as `POST /v1/<path>` would, e.g. `create("customers", "email=…")`.
    pub fn create(&self, path: &str, form: &str) -> Result<Value, String> {
        let (parameters, _) = params::parse(form);
        self.change(|state, now| {
            let segments: Vec<&str> = path.split('/').collect();
            server::route(state, "POST", &segments, parameters, now)
        })
        .map_err(|error| error.to_string())
    }

    /// Pays an open invoice, as a customer would.
    pub fn pay(&self, invoice: &str) -> Result<Value, String> {
        self.change(|state, now| invoices::pay(state, invoice, now))
            .map_err(|error| error.to_string())
    }

    /// Tries to pay an open invoice, and fails.
    pub fn fail(&self, invoice: &str) -> Result<Value, String> {
        self.change(|state, now| invoices::fail(state, invoice, now))
            .map_err(|error| error.to_string())
    }

    /// Moves a subscription to its next period.
    pub fn advance(&self, subscription: &str) -> Result<Value, String> {
        self.change(|state, now| subscriptions::advance(state, subscription, now))
            .map_err(|error| error.to_string())
    }

    /// From now on events are kept back until [`release`](Self::release).
    pub fn hold_deliveries(&self) {
        self.inner.deliveries.hold();
    }

    /// The events kept back, oldest first.
    pub fn held(&self) -> Vec<Value> {
        self.inner.deliveries.held()
    }

    /// Delivers these events now, one after the other in this order (again, if they were
    /// delivered); further ones go out by themselves again.
    pub async fn release(&self, event_ids: &[&str]) {
        let (events, shape) = {
            let state = self.lock();
            let events: Vec<Value> = event_ids
                .iter()
                .filter_map(|id| state.get(id).cloned())
                .collect();
            (events, state.webhook_shape)
        };
        self.inner.deliveries.release(&events, shape).await;
    }

    /// Deliveries under way or to be tried again.
    pub fn pending(&self) -> Vec<Pending> {
        self.inner.deliveries.pending()
    }

    /// Keeps the objects.
    pub fn save(&self) -> std::io::Result<()> {
        self.inner.settings.storage.save(&*self.lock())
    }

    /// Stops answering and delivering.
    pub fn shutdown(&self) {
        if let Some(server) = self.inner.server.lock().expect("no holder panics").take() {
            server.abort();
        }
        self.inner.deliveries.shutdown();
    }

    /// Changes the objects; then delivers the events that came of it.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut State, i64) -> Result<T, error::ApiError>,
    ) -> Result<T, error::ApiError> {
        let now = self.inner.settings.clock.now().as_second();
        let (result, events, shape) = {
            let mut state = self.lock();
            let result = act(&mut state, now);
            (result, state.take_news(), state.webhook_shape)
        };
        for event in events {
            self.inner.deliveries.deliver(event, shape);
        }
        self.inner.settings.progress.touch();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no holder panics")
    }

    fn controls(&self) -> MutexGuard<'_, Controls> {
        self.inner.controls.lock().expect("no holder panics")
    }
}
