//! HTTP, Stripe-Signature: verifies Stripe's events and applies each once (contract section 1.1).
//!
//! Promise: a verified event is in effect, with our own events about it, when it is answered 200.
//!
//! A delivery that fails verification counts against its address; one that is verified counts
//! against nothing.
//!
//! On a retry: the inbox row, committed with the effect, makes the second delivery change nothing.
//! What could not be applied because something is down is answered 503, and Stripe delivers again
//! for three days.

pub mod openapi;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bitflow_events::envelope::CorrelationId;
use bitflow_fault::Fault;
use bitflow_portal::billing::ledger::{Ledger, Outcome};
use bitflow_portal::stripe_events::{CONSUMER, StripeEvents, follows};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::metrics::{self, Webhook};
use bitflow_store::inbox::Inbox;
use bitflow_store::rate_limits::RateLimits;
use bitflow_stripe::event::{ParseError, parse};
use bitflow_stripe::retrieve::Retriever;
use bitflow_stripe::signature::verify;
use secrecy::SecretString;
use serde_json::json;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::SUBSCRIPTIONS_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::OUTBOX_TABLE,
    config::INBOX_TABLE,
    config::STRIPE_WEBHOOK_SECRET,
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
    config::RATE_LIMITS_TABLE,
    config::WEBHOOK_REQUESTS_PER_MINUTE,
];

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    signing_secret: SecretString,
    events: StripeEvents,
    limiter: Limiter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = config.count(config::WEBHOOK_REQUESTS_PER_MINUTE);
        let events = StripeEvents {
            inbox: Inbox::new(&dynamo, config.text(config::INBOX_TABLE), CONSUMER),
            retriever: Retriever::new(
                config.url(config::STRIPE_API_BASE),
                config.secret(config::STRIPE_SECRET),
            ),
            ledger: Ledger::new(dynamo, |kind| config.table(kind)),
        };
        Self {
            signing_secret: config.secret(config::STRIPE_WEBHOOK_SECRET),
            events,
            limiter: Limiter::new(limit, limits.counter()),
        }
    }
}

/// The route, as in `template.yaml`. The body's size is API Gateway's to limit: a signature is
/// checked before anything is read from it.
pub fn routes() -> Router<Arc<Cx>> {
    Router::new()
        .route("/api/webhooks/stripe", post(receive))
        .layer(DefaultBodyLimit::disable())
}

#[utoipa::path(
    post,
    path = "/api/webhooks/stripe",
    operation_id = "receiveStripeEvent",
    summary = "Stripe tells of something.",
    tag = "Webhooks",
    request_body(content = Object, description = "An event, as Stripe sends it."),
    responses(
        (status = 200, description = "It is in effect, or of no concern.", body = openapi::Success),
        (status = 400, description = "The signature is not Stripe's.", body = openapi::InvalidSignature),
    ),
    security(("stripe" = [])),
)]
async fn receive(
    request: Requested,
    State(cx): State<Arc<Cx>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (kind, outcome, answer) = take(&cx, request, &headers, &body).await;
    metrics::webhook("stripe", kind, outcome);
    answer
}

/// What came of a delivery: its type, where that is one that we follow, and the answer.
type Taken = (Cow<'static, str>, Webhook, Result<Response, Problem>);

async fn take(cx: &Cx, request: Requested, headers: &HeaderMap, body: &Bytes) -> Taken {
    const UNKNOWN: Cow<'static, str> = Cow::Borrowed("unknown");
    let now = clock::now();
    let signature = headers
        .get("stripe-signature")
        .and_then(|value| value.to_str().ok());
    if let Err(error) = verify(&cx.signing_secret, signature.unwrap_or_default(), body, now) {
        tracing::warn!(target: "bitflow::outcome", %error, body_bytes = body.len(), "a delivery was refused");
        let let_through = cx.limiter.of_stranger(&request, now).await;
        let answer = let_through.map(|()| invalid_signature());
        return (UNKNOWN, Webhook::Refused, answer);
    }
    let event = match parse(body, follows) {
        Ok(event) => event,
        Err(error @ ParseError::Event(_)) => {
            // Signed, but no event: nothing that a redelivery could mend.
            tracing::error!(target: "bitflow::outcome", %error, "a signed body is not an event");
            return (UNKNOWN, Webhook::Refused, Ok(success()));
        }
        Err(error) => return (UNKNOWN, Webhook::Failed, Err(redeliver(error))),
    };
    let kind = if follows(&event.kind) {
        Cow::Owned(event.kind.clone())
    } else {
        Cow::Borrowed("not_followed")
    };
    let correlation_id = CorrelationId::new(request.correlation_id);
    let outcome = match cx.events.apply(&event, correlation_id, now).await {
        Ok(outcome) => outcome,
        Err(error) => return (kind, Webhook::Failed, Err(redeliver(error))),
    };
    let (counted, said) = match outcome {
        Outcome::Applied => (Webhook::Applied, "applied"),
        Outcome::Repeated => (Webhook::Repeated, "repeated"),
        Outcome::Ignored(why) => (Webhook::Ignored, why.as_str()),
        Outcome::NotOurs => (Webhook::Ignored, "not_ours"),
        Outcome::NotFollowed => (Webhook::Ignored, "not_followed"),
    };
    tracing::info!(
        target: "bitflow::outcome",
        event_id = event.id,
        event_type = event.kind,
        outcome = said,
        "Stripe event handled",
    );
    (kind, counted, Ok(success()))
}

/// Contract section 1.1, to the letter.
fn success() -> Response {
    Json(json!({ "status": "success" })).into_response()
}

/// Contract section 1.1, to the letter.
fn invalid_signature() -> Response {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({ "error": "Invalid signature" })),
    )
        .into_response()
}

/// A verified event is never refused for good: whatever is wrong, Stripe shall deliver it again.
fn redeliver(fault: impl Fault) -> Problem {
    Problem::from(fault).with_status(StatusCode::SERVICE_UNAVAILABLE)
}
