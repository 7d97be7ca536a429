//! Stripe: customers, products and prices, subscriptions, invoices with items and payments, refunds
//! and disputes, events and their delivery. <https://docs.stripe.com/api>
//!
//! [`server`] reads requests and [`routes`] says what they mean; each resource has a file of its
//! own; [`state`] holds the objects in the newer shape, [`shape`] turns them into the older one,
//! [`deliveries`] sends the webhooks. What a test or a developer may bring about is in [`controls`]
//! and, over HTTP, in [`sim_api`].

mod charges;
mod controls;
mod customers;
mod deliveries;
mod disturb;
mod error;
mod invoice_items;
mod invoices;
mod lists;
mod params;
pub mod payment_methods;
mod payments;
mod prices;
mod routes;
mod server;
pub mod shape;
mod sim_api;
mod state;
mod subscriptions;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::console::witness::Witness;
use crate::progress::{Pending, Progress};
use crate::storage::Storage;
use controls::Controls;
pub use controls::{Failure, Received};
use deliveries::Deliveries;
use disturb::Disturbance;
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
    /// Sees what functions ask.
    pub witness: Witness,
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

impl StripeSim {
    /// Answers on `listener`.
    pub fn start(listener: tokio::net::TcpListener, settings: Settings) -> std::io::Result<Self> {
        let mut state: State = settings.storage.load()?;
        state.reindex();
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
        let witness = this.inner.settings.witness.clone();
        let router = witness.before(sim_api::router(this.clone()));
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
        let state = self.lock();
        let found = state.of_kind(kind, None);
        found.map(|object| Shape::Newer.render(object)).collect()
    }

    /// Those of one customer, without a look at the others.
    pub fn objects_of(&self, kind: &str, customer: &str) -> Vec<Value> {
        let state = self.lock();
        let found = state.of_kind(kind, Some(("customer", customer)));
        found.map(|object| Shape::Newer.render(object)).collect()
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.lock().count(kind)
    }

    /// One object by its id.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.lock().get(id).map(|it| Shape::Newer.render(it))
    }

    /// Webhooks come in this shape from now on.
    pub fn set_webhook_shape(&self, shape: Shape) {
        self.lock().webhook_shape = shape;
    }

    /// From now on only events of these types are delivered, as to an endpoint that is registered for
    /// them; before that all are.
    /// <https://docs.stripe.com/api/webhook_endpoints/create#create_webhook_endpoint-enabled_events>
    pub fn enable_events(&self, types: &[&str]) {
        let types = types.iter().map(|kind| (*kind).to_owned());
        self.inner.deliveries.enable(types.collect());
    }

    /// From now on events are kept back until [`release`](Self::release).
    pub fn hold_deliveries(&self) {
        self.inner.deliveries.hold();
    }

    /// The events kept back, oldest first.
    pub fn held(&self) -> Vec<Value> {
        let held = self.inner.deliveries.held();
        held.iter()
            .map(|event| Shape::Newer.render(event))
            .collect()
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

    /// From now on so many of a hundred events are delivered twice, and so many only after the next
    /// one, two or three; which ones, the seed says. Those that wait for others that never come go
    /// with [`flush_disturbed`](Self::flush_disturbed), and after ten minutes by the stack's clock.
    /// Twice 0 ends it.
    pub fn disturb(&self, seed: u64, duplicate_percent: u8, reorder_percent: u8) {
        self.inner.deliveries.disturb(Disturbance {
            seed,
            duplicate_percent,
            reorder_percent,
        });
    }

    /// Delivers what [`disturb`](Self::disturb) keeps back.
    pub fn flush_disturbed(&self) {
        self.inner.deliveries.flush();
    }

    /// Deliveries under way, kept back or to be tried again.
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

    /// Changes the objects, wholly or not at all; then delivers the events that came of it.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut State, i64) -> Result<T, error::ApiError>,
    ) -> Result<T, error::ApiError> {
        let now = self.now();
        let (result, events, shape) = {
            let mut state = self.lock();
            let result = act(&mut state, now);
            if result.as_ref().is_err_and(|error| !error.took_effect) {
                state.undo();
            }
            (result, state.settle(now), state.webhook_shape)
        };
        for event in events {
            self.inner.deliveries.deliver(event, shape);
        }
        self.inner.settings.progress.touch();
        result
    }

    fn now(&self) -> i64 {
        self.inner.settings.clock.now().as_second()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no holder panics")
    }

    fn controls(&self) -> MutexGuard<'_, Controls> {
        self.inner.controls.lock().expect("no holder panics")
    }
}
