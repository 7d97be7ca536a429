//! A sample university portal: takes signed notifications (contract section 3.2), and sends signed
//! calls to the admin's API (sections 3.1 and 4.1).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bitflow_university::{HEADER, sign, verify};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::progress::Progress;

/// The portal; a cheap handle.
#[derive(Clone)]
pub struct PortalSim {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<Held>,
    api_url: String,
    http: reqwest::Client,
    progress: Progress,
    url: String,
    server: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Held {
    secret: Option<SecretString>,
    requests: Vec<Received>,
    failures: Vec<u16>,
}

/// A request that was received.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// `POST` and so on.
    pub method: String,
    /// The path.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as JSON where it is.
    pub body: Value,
    /// Whether the signature was right; nothing while no secret is set.
    pub verified: Option<bool>,
    /// What was answered.
    pub status: u16,
    /// When.
    pub received_at: Timestamp,
}

impl PortalSim {
    /// Answers on `listener`; its own calls go to `api_url`.
    pub fn start(
        listener: tokio::net::TcpListener,
        api_url: String,
        progress: Progress,
    ) -> std::io::Result<Self> {
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Inner {
            state: Mutex::default(),
            api_url,
            http: reqwest::Client::new(),
            progress,
            url,
            server: Mutex::default(),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        let router = Router::new()
            .route("/", get(page))
            .route(
                "/_sim/requests",
                get(async |State(sim): State<Self>| Json(sim.requests())),
            )
            .route("/_sim/secret", post(set_secret))
            .route("/_sim/fail_next", post(fail_next))
            .route("/_sim/send", post(send))
            .fallback(receive)
            .with_state(this.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the sample portal stopped");
            }
        });
        *this.inner.server.lock().expect("no holder panics") = Some(server);
        Ok(this)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// What it was sent, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.held().requests.clone()
    }

    /// Signs and verifies with this secret from now on.
    pub fn set_secret(&self, secret: SecretString) {
        self.held().secret = Some(secret);
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        if let Some(server) = self.inner.server.lock().expect("no holder panics").take() {
            server.abort();
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.inner.state.lock().expect("no holder panics")
    }
}

async fn receive(State(sim): State<PortalSim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024 * 1024)
        .await
        .unwrap_or_default();
    let verified = sim.held().secret.clone().map(|secret| {
        let header = parts
            .headers
            .get(HEADER)
            .and_then(|value| value.to_str().ok());
        verify(&[&secret], header.unwrap_or_default(), &body, real_now()).is_ok()
    });
    let failure = {
        let mut held = sim.held();
        (!held.failures.is_empty()).then(|| held.failures.remove(0))
    };
    let known = parts.method == "POST" && parts.uri.path() == "/api/notifications";
    let status = match (failure, verified, known) {
        (Some(status), ..) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        (None, Some(false), true) => StatusCode::UNAUTHORIZED,
        (None, _, true) => StatusCode::CREATED,
        (None, _, false) => StatusCode::NOT_FOUND,
    };
    let received = Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: texts(&parts.headers),
        body: as_json(&body),
        verified,
        status: status.as_u16(),
        received_at: real_now(),
    };
    sim.held().requests.push(received);
    sim.inner.progress.touch();
    (status, Json(json!({ "status": status.canonical_reason() }))).into_response()
}

#[derive(Deserialize)]
struct Secret {
    secret: String,
}

async fn set_secret(State(sim): State<PortalSim>, Json(body): Json<Secret>) -> StatusCode {
    sim.set_secret(body.secret.into());
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct FailNext {
    status: u16,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

async fn fail_next(State(sim): State<PortalSim>, Json(body): Json<FailNext>) -> StatusCode {
    sim.held()
        .failures
        .extend(std::iter::repeat_n(body.status, body.count));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Send {
    path: String,
    body: Value,
}

/// Has the portal send a signed call to the admin's API; answers what it was answered.
async fn send(State(sim): State<PortalSim>, Json(call): Json<Send>) -> Response {
    let Some(secret) = sim.held().secret.clone() else {
        return (
            StatusCode::CONFLICT,
            "set a secret first: POST /_sim/secret",
        )
            .into_response();
    };
    let body = call.body.to_string();
    let signature = sign(&secret, body.as_bytes(), real_now());
    let sent = sim
        .inner
        .http
        .post(format!("{}{}", sim.inner.api_url, call.path))
        .header("content-type", "application/json")
        .header(HEADER, signature)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) => {
            let status = answer.status().as_u16();
            let body = answer.bytes().await.unwrap_or_default();
            Json(json!({ "status": status, "body": as_json(&body) })).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn page(State(sim): State<PortalSim>) -> Html<String> {
    let mut rows = String::new();
    for it in sim.requests().iter().rev() {
        let verified = match it.verified {
            Some(true) => "signed",
            Some(false) => "wrong signature",
            None => "not checked",
        };
        let _ = write!(
            rows,
            "<tr><td>{}<td>{} {}<td>{}<td>{verified}<td><code>{}</code>",
            it.received_at,
            it.method,
            escaped(&it.path),
            it.status,
            escaped(&it.body.to_string()),
        );
    }
    Html(include_str!("page.html").replace("{{rows}}", &rows))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn as_json(body: &Bytes) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

/// Signatures are checked against real clocks on both sides.
#[expect(
    clippy::disallowed_methods,
    reason = "the signed time is read by a real process"
)]
fn real_now() -> Timestamp {
    Timestamp::now()
}
