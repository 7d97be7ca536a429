//! A Stripe that answers what it is told to, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bitflow_stripe::api::Client;

/// Status, `Stripe-Should-Retry`, body.
pub(crate) type Answer = (u16, &'static str, &'static str);

/// Answers in order, and keeps what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    answers: Arc<Mutex<Vec<Answer>>>,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) version: String,
    pub(crate) idempotency_key: String,
    pub(crate) body: String,
}

async fn answer(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let body = axum::body::to_bytes(body, 10_000).await.expect("a body");
    receiver.asked.lock().expect("no panic").push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        authorization: header("authorization"),
        version: header("stripe-version"),
        idempotency_key: header("idempotency-key"),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let (status, should_retry, body) = receiver.answers.lock().expect("no panic").remove(0);
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("stripe-should-retry", should_retry)], body).into_response()
}

pub(crate) async fn start(answers: &[Answer]) -> (Client, Receiver) {
    let receiver = Receiver::default();
    receiver
        .answers
        .lock()
        .expect("no panic")
        .extend_from_slice(answers);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(answer).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(url.parse().expect("a URL"), "sk_test".to_owned().into());
    (client, receiver)
}

impl Receiver {
    /// What it was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Asked {
    /// The form, sorted, as `name=value`.
    pub(crate) fn form(&self) -> Vec<String> {
        pairs(&self.body)
    }

    /// The query, sorted, as `name=value`.
    pub(crate) fn query(&self) -> Vec<String> {
        pairs(self.line.split_once('?').map_or("", |(_, query)| query))
    }
}

fn pairs(encoded: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(encoded.as_bytes());
    let mut pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort();
    pairs
}
