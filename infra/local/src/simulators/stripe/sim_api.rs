//! The controls over HTTP, under `/_sim`; everything else is Stripe's API.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::disturb::Disturbance;
use super::payment_methods::PaymentMethod;
use super::{Failure, StripeSim, server};

pub(super) fn router(sim: StripeSim) -> Router {
    Router::new()
        .route("/_sim/requests", get(requests))
        .route("/_sim/requests_total", get(requests_total))
        .route("/_sim/fail_next", post(fail_next))
        .route("/_sim/disturb", post(disturb))
        .route("/_sim/flush_disturbed", post(flush_disturbed))
        .route("/_sim/invoices/{id}/pay", act(StripeSim::pay))
        .route("/_sim/invoices/{id}/fail", act(StripeSim::fail))
        .route(
            "/_sim/invoices/{id}/require_action",
            act(StripeSim::require_action),
        )
        .route("/_sim/invoices/{id}/collect", act(StripeSim::collect))
        .route("/_sim/payments/{id}/refund", post(refund))
        .route("/_sim/payments/{id}/dispute", act(StripeSim::dispute))
        .route("/_sim/subscriptions/{id}/advance", act(StripeSim::advance))
        .route(
            "/_sim/subscriptions/{id}/trial_will_end",
            act(StripeSim::trial_will_end),
        )
        .route("/_sim/customers/{id}/payment_method", post(payment_method))
        .route(
            "/_sim/customers/{id}/delete",
            act(StripeSim::delete_customer),
        )
        .fallback(server::serve)
        .with_state(sim)
}

/// A control that needs nothing but an id.
fn act(act: fn(&StripeSim, &str) -> Result<Value, String>) -> MethodRouter<StripeSim> {
    post(async move |Shared(sim): Shared<StripeSim>, Path(id): Path<String>| answer(act(&sim, &id)))
}

async fn requests(Shared(sim): Shared<StripeSim>) -> Response {
    Json(sim.requests()).into_response()
}

async fn requests_total(Shared(sim): Shared<StripeSim>) -> Response {
    Json(sim.requests_total()).into_response()
}

async fn fail_next(Shared(sim): Shared<StripeSim>, Json(failure): Json<Failure>) -> StatusCode {
    sim.fail_next(failure);
    StatusCode::NO_CONTENT
}

async fn disturb(Shared(sim): Shared<StripeSim>, Json(how): Json<Disturbance>) -> StatusCode {
    sim.disturb(how.seed, how.duplicate_percent, how.reorder_percent);
    StatusCode::NO_CONTENT
}

async fn flush_disturbed(Shared(sim): Shared<StripeSim>) -> StatusCode {
    sim.flush_disturbed();
    StatusCode::NO_CONTENT
}

/// All that is left, where the body does not say how much.
#[derive(Debug, Default, Deserialize)]
struct Refund {
    amount: Option<i64>,
}

async fn refund(
    Shared(sim): Shared<StripeSim>,
    Path(id): Path<String>,
    body: Option<Json<Refund>>,
) -> Response {
    let Json(refund) = body.unwrap_or_default();
    answer(sim.refund(&id, refund.amount))
}

async fn payment_method(
    Shared(sim): Shared<StripeSim>,
    Path(id): Path<String>,
    Json(method): Json<PaymentMethod>,
) -> Response {
    answer(sim.set_payment_behaviour(&id, method))
}

fn answer(result: Result<Value, String>) -> Response {
    match result {
        Ok(object) => Json(object).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}
