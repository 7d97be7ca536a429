//! The universities' portals, all on one port: `/<domain>/api/notifications` takes signed
//! notifications (contract section 3.2). They send signed calls to the admin's API as well (sections
//! 3.1 and 4.1).
//!
//! A portal that knows its secret checks signatures; one that was never told it takes what comes.
//! They do what is asked of every portal: what comes again under the same `Idempotency-Key` is
//! answered 200 and not taken again; what is taken is answered 201.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{self, Request};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bitflow_university::{HEADER, sign, verify};
use futures_util::stream;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::hold::Held;
use crate::console::witness::Witness;
use crate::progress::Progress;

/// The portal; a cheap handle.
#[derive(Clone)]
pub struct PortalSim {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    api_url: String,
    http: reqwest::Client,
    progress: Progress,
    url: String,
    server: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    /// What portals sign with that have no secret of their own here.
    secret: Option<SecretString>,
    secrets: BTreeMap<String, SecretString>,
    requests: Vec<Received>,
    /// Domain and `Idempotency-Key` of what was taken.
    taken: BTreeSet<(String, String)>,
    failures: Vec<Failure>,
    down: BTreeSet<String>,
    held: BTreeMap<String, Held>,
}

/// An answer that a notification gets instead of its own.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// HTTP status; 0 for no answer at all.
    pub status: u16,
    /// How many requests.
    #[serde(default = "one")]
    pub count: u32,
    /// Only those to the portal of this domain.
    pub domain: Option<String>,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u32>,
}

/// A request that was received.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// `POST` and so on.
    pub method: String,
    /// Whose portal it was for.
    pub domain: String,
    /// The path.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as JSON where it is.
    pub body: Value,
    /// Whether the signature was right; nothing while no secret is set.
    pub verified: Option<bool>,
    /// What was answered; 0 for nothing.
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
        witness: Witness,
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
                get(async |extract::State(sim): extract::State<Self>| Json(sim.requests())),
            )
            .route("/_sim/secret", post(set_secret))
            .route("/_sim/fail_next", post(fail_next))
            .route("/_sim/down", post(set_down))
            .route("/_sim/send", post(send))
            .fallback(receive)
            .with_state(this.clone());
        let router = witness.before(router);
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
        self.state().requests.clone()
    }

    /// Portals without a secret of their own sign and verify with this one from now on.
    pub fn set_secret(&self, secret: SecretString) {
        self.state().secret = Some(secret);
    }

    /// The portal of `domain` verifies with this secret from now on.
    pub fn set_secret_of(&self, domain: &str, secret: SecretString) {
        self.state().secrets.insert(domain.to_owned(), secret);
    }

    /// The next notifications are answered so.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push(failure);
    }

    /// The portal of `domain` answers nothing, until it is up again.
    pub fn set_down(&self, domain: &str, down: bool) {
        let mut state = self.state();
        if down {
            state.down.insert(domain.to_owned());
        } else {
            state.down.remove(domain);
        }
    }

    /// Notifications of these portals are held before they are taken. Who gives up on one has told
    /// that portal nothing.
    pub fn hold(&self, domains: impl IntoIterator<Item = String>) -> Held {
        let held = Held::new();
        let each = domains.into_iter().map(|domain| (domain, held.clone()));
        self.state().held.extend(each);
        held
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        if let Some(server) = self.inner.server.lock().expect("no holder panics").take() {
            server.abort();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().expect("no holder panics")
    }
}

async fn receive(extract::State(sim): extract::State<PortalSim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024 * 1024)
        .await
        .unwrap_or_default();
    let path = parts.uri.path().trim_start_matches('/');
    let (domain, path) = path.split_once('/').unwrap_or((path, ""));
    let held = sim.state().held.get(domain).cloned();
    if let Some(held) = held {
        held.wait().await;
    }
    let header = parts
        .headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok());
    let known = parts.method == "POST" && path == "api/notifications";
    let (verified, failure) = {
        let mut state = sim.state();
        let secret = state.secrets.get(domain).or(state.secret.as_ref());
        let signed = |secret| verify(&[secret], header.unwrap_or_default(), &body, real_now());
        let verified = secret.map(|secret| signed(secret).is_ok());
        (verified, state.failure_of(domain))
    };
    let headers = texts(&parts.headers);
    let status = match (&failure, verified, known) {
        (Some(failure), ..) => failure.status,
        (None, Some(false), true) => 401,
        (None, _, true) if sim.state().takes(domain, headers.get("idempotency-key")) => 201,
        (None, _, true) => 200,
        (None, _, false) => 404,
    };
    sim.state().requests.push(Received {
        method: parts.method.to_string(),
        domain: domain.to_owned(),
        path: format!("/{path}"),
        headers,
        body: as_json(&body),
        verified,
        status,
        received_at: real_now(),
    });
    sim.inner.progress.touch();
    if status == 0 {
        // Broken off before its head is sent.
        let broken = stream::once(async { Err::<Bytes, _>(io::Error::other("no answer")) });
        return Response::new(Body::from_stream(broken));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let wait = failure.and_then(|failure| failure.retry_after);
    let headers = wait.map(|wait| [(RETRY_AFTER, wait.to_string())]);
    let body = Json(json!({ "status": status.canonical_reason() }));
    match headers {
        Some(headers) => (status, headers, body).into_response(),
        None => (status, body).into_response(),
    }
}

impl State {
    /// Whether this is taken: not what was taken before.
    fn takes(&mut self, domain: &str, key: Option<&String>) -> bool {
        key.is_none_or(|key| self.taken.insert((domain.to_owned(), key.clone())))
    }

    /// What the portal of `domain` answers instead of its own, this time.
    fn failure_of(&mut self, domain: &str) -> Option<Failure> {
        if self.down.contains(domain) {
            return Some(Failure {
                status: 0,
                count: 1,
                domain: None,
                retry_after: None,
            });
        }
        let meant = |failure: &Failure| failure.domain.as_deref().is_none_or(|it| it == domain);
        let at = self.failures.iter().position(meant)?;
        let failure = &mut self.failures[at];
        failure.count = failure.count.saturating_sub(1);
        let answer = failure.clone();
        if answer.count == 0 {
            self.failures.remove(at);
        }
        Some(answer)
    }
}

#[derive(Deserialize)]
struct Secret {
    secret: String,
    domain: Option<String>,
}

async fn set_secret(
    extract::State(sim): extract::State<PortalSim>,
    Json(body): Json<Secret>,
) -> StatusCode {
    match body.domain {
        Some(domain) => sim.set_secret_of(&domain, body.secret.into()),
        None => sim.set_secret(body.secret.into()),
    }
    StatusCode::NO_CONTENT
}

fn one() -> u32 {
    1
}

async fn fail_next(
    extract::State(sim): extract::State<PortalSim>,
    Json(failure): Json<Failure>,
) -> StatusCode {
    sim.fail_next(failure);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Down {
    domain: String,
    down: bool,
}

async fn set_down(
    extract::State(sim): extract::State<PortalSim>,
    Json(body): Json<Down>,
) -> StatusCode {
    sim.set_down(&body.domain, body.down);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Send {
    path: String,
    body: Value,
}

/// Has the portal send a signed call to the admin's API; answers what it was answered.
async fn send(extract::State(sim): extract::State<PortalSim>, Json(call): Json<Send>) -> Response {
    let Some(secret) = sim.state().secret.clone() else {
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

async fn page(extract::State(sim): extract::State<PortalSim>) -> Html<String> {
    let mut rows = String::new();
    for it in sim.requests().iter().rev() {
        let verified = match it.verified {
            Some(true) => "signed",
            Some(false) => "wrong signature",
            None => "not checked",
        };
        let _ = write!(
            rows,
            "<tr><td>{}<td>{}<td>{} {}<td>{}<td>{verified}<td><code>{}</code>",
            it.received_at,
            escaped(&it.domain),
            it.method,
            escaped(&it.path),
            if it.status == 0 {
                "none".to_owned()
            } else {
                it.status.to_string()
            },
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
