//! A Pusher Channels server with one app: [`socket`] is protocol 7 over WebSocket, [`api`] the
//! signed HTTP API, [`channels`] who listens to what.

mod api;
mod channels;
mod socket;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::routing::{get, post};
use bitflow_realtime::auth::App;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::console::witness::Witness;
use channels::Channels;

/// The server; a cheap handle.
#[derive(Clone)]
pub struct PusherSim {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    channels: Mutex<Channels>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl PusherSim {
    /// Answers on `listener` for `app`.
    pub fn start(listener: TcpListener, app: App, witness: Witness) -> Self {
        let inner = Inner {
            app,
            channels: Mutex::default(),
            server: Mutex::default(),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        let router = Router::new()
            .route("/app/{key}", get(socket::accept))
            .route("/apps/{id}/events", post(api::events))
            .route("/apps/{id}/batch_events", post(api::batch_events))
            .route("/apps/{id}/channels", get(api::channels))
            .route("/apps/{id}/channels/{channel}", get(api::channel))
            .route("/apps/{id}/channels/{channel}/users", get(api::users))
            .with_state(this.clone());
        let router = witness.before(router);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "Pusher stopped");
            }
        });
        *this.inner.server.lock().expect("no holder panics") = Some(server);
        this
    }

    /// The channels that somebody listens to, with how many connections do.
    pub fn channels(&self) -> BTreeMap<String, usize> {
        self.lock().occupied()
    }

    /// Every connection by its socket's id, with the channels that it listens to.
    pub fn connections(&self) -> BTreeMap<String, Vec<String>> {
        self.lock().connections()
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        if let Some(server) = self.inner.server.lock().expect("no holder panics").take() {
            server.abort();
        }
    }

    fn app(&self) -> &App {
        &self.inner.app
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.inner.channels.lock().expect("no holder panics")
    }
}
