//! SendGrid's v3 `mail/send`, and a mailbox that shows what arrived.
//! <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>

mod validate;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::hold::Held;
use crate::clock::Clock;
use crate::console::witness::Witness;
use crate::progress::Progress;
use crate::storage::Storage;

/// How the simulator is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API key that requests must carry.
    pub api_key: SecretString,
    /// What is kept between runs.
    pub storage: Storage,
    /// The stack's clock.
    pub clock: Clock,
    /// Told of every mail.
    pub progress: Progress,
    /// Sees what functions ask.
    pub witness: Witness,
}

/// The simulator; a cheap handle.
#[derive(Clone)]
pub struct SendGridSim {
    inner: Arc<Inner>,
}

struct Inner {
    mails: Mutex<Vec<Mail>>,
    failures: Mutex<Vec<Failure>>,
    held: Mutex<Option<Held>>,
    settings: Settings,
    url: String,
    server: Mutex<Option<JoinHandle<()>>>,
}

/// A mail that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// `X-Message-Id`.
    pub id: String,
    /// Address it went to.
    pub to: String,
    /// Address it came from.
    pub from: String,
    /// The subject.
    pub subject: String,
    /// The HTML body.
    pub html: String,
    /// The text body.
    pub text: String,
    /// Categories, for statistics.
    pub categories: Vec<String>,
    /// What the sender wants back in events.
    pub custom_args: Value,
    /// When.
    pub received_at: Timestamp,
}

/// An answer that a request gets instead of its own.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// HTTP status; 0 for no answer at all.
    pub status: u16,
    /// The mail is delivered all the same.
    #[serde(default)]
    pub after_effect: bool,
}

impl SendGridSim {
    /// Answers on `listener`.
    pub fn start(listener: tokio::net::TcpListener, settings: Settings) -> std::io::Result<Self> {
        let mails = settings.storage.load()?;
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Inner {
            mails: Mutex::new(mails),
            failures: Mutex::default(),
            held: Mutex::default(),
            settings,
            url,
            server: Mutex::default(),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        let router = Router::new()
            .route("/", get(async || Html(include_str!("mailbox.html"))))
            .route("/v3/mail/send", post(send))
            .route("/api/v1/messages", get(messages).delete(forget))
            .route("/api/v1/messages/{id}", get(message))
            .route("/_sim/fail_next", post(fail_next))
            .with_state(this.clone());
        let router = this.inner.settings.witness.clone().before(router);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "SendGrid stopped");
            }
        });
        *this.inner.server.lock().expect("no holder panics") = Some(server);
        Ok(this)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Every mail, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().clone()
    }

    /// The next request is answered so.
    pub fn fail_next(&self, failure: Failure) {
        self.inner
            .failures
            .lock()
            .expect("no holder panics")
            .push(failure);
    }

    /// The next request is held before it takes effect.
    pub fn hold_next(&self) -> Held {
        let held = Held::new();
        *self.inner.held.lock().expect("no holder panics") = Some(held.clone());
        held
    }

    /// Keeps the mails.
    pub fn save(&self) -> std::io::Result<()> {
        self.inner.settings.storage.save(&*self.lock())
    }

    /// Stops answering.
    pub fn shutdown(&self) {
        if let Some(server) = self.inner.server.lock().expect("no holder panics").take() {
            server.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.inner.mails.lock().expect("no holder panics")
    }

    /// Takes a request as SendGrid would: the message id, or why not.
    fn take(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(StatusCode, String), Box<Response>> {
        let key = format!("Bearer {}", self.inner.settings.api_key.expose_secret());
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if given != Some(key.as_str()) {
            let message = "The provided authorization grant is invalid, expired, or revoked";
            return Err(Box::new(errors(
                StatusCode::UNAUTHORIZED,
                &[(None, message.to_owned())],
            )));
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| {
            Box::new(errors(
                StatusCode::BAD_REQUEST,
                &[(None, "Bad Request".to_owned())],
            ))
        })?;
        let wrong = validate::check(&body);
        if !wrong.is_empty() {
            return Err(Box::new(errors(StatusCode::BAD_REQUEST, &wrong)));
        }
        if body["mail_settings"]["sandbox_mode"]["enable"] == true {
            return Ok((StatusCode::OK, String::new()));
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let received_at = self.inner.settings.clock.now();
        let mails = validate::mails(&body, &id, received_at);
        self.lock().extend(mails);
        self.inner.settings.progress.touch();
        Ok((StatusCode::ACCEPTED, id))
    }
}

async fn send(State(sim): State<SendGridSim>, headers: HeaderMap, body: Bytes) -> Response {
    let held = sim.inner.held.lock().expect("no holder panics").take();
    if let Some(held) = held {
        held.wait().await;
    }
    let failure = {
        let mut failures = sim.inner.failures.lock().expect("no holder panics");
        (!failures.is_empty()).then(|| failures.remove(0))
    };
    if let Some(failure) = failure {
        if failure.after_effect
            && let Err(refused) = sim.take(&headers, &body)
        {
            return *refused;
        }
        if failure.status == 0 {
            let broken = futures_util::stream::once(async {
                Err::<Bytes, _>(std::io::Error::other("no answer"))
            });
            return Response::new(axum::body::Body::from_stream(broken));
        }
        let status =
            StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return errors(status, &[(None, "simulated".to_owned())]);
    }
    match sim.take(&headers, &body) {
        Ok((status, id)) => (status, [("x-message-id", id)]).into_response(),
        Err(refused) => *refused,
    }
}

async fn messages(State(sim): State<SendGridSim>) -> Json<Vec<Mail>> {
    Json(sim.mails())
}

async fn message(State(sim): State<SendGridSim>, Path(id): Path<String>) -> Response {
    let found = sim.lock().iter().find(|mail| mail.id == id).cloned();
    found.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |mail| Json(mail).into_response(),
    )
}

async fn forget(State(sim): State<SendGridSim>) -> StatusCode {
    sim.lock().clear();
    sim.inner.settings.progress.touch();
    StatusCode::NO_CONTENT
}

async fn fail_next(State(sim): State<SendGridSim>, Json(failure): Json<Failure>) -> StatusCode {
    sim.fail_next(failure);
    StatusCode::NO_CONTENT
}

fn errors(status: StatusCode, wrong: &[(Option<String>, String)]) -> Response {
    let errors = wrong
        .iter()
        .map(|(field, message)| json!({ "message": message, "field": field, "help": Value::Null }));
    (
        status,
        Json(json!({ "errors": errors.collect::<Vec<_>>() })),
    )
        .into_response()
}
