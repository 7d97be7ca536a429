//! HTTP, X-Signature: universities' portals report students, faculty and storage (contract section
//! 4.1).
//!
//! Promise: a report is in effect, with the event that tells the old value and the new one, when it
//! is answered 200.
//!
//! On a retry: a report that is signed anew is another report; a copy of the same call is answered
//! 200 and changes nothing, so that whoever replays it brings no old value back.

pub mod openapi;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::usage::{Metric, MetricValue};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::portals::authenticate;
use bitflow_portal::usage::{CONSUMER, REPORTS_ARE_KEPT, Report, Reported, Usage};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::signed::SignedFields;
use bitflow_runtime::metrics::{self, Webhook};
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;
use bitflow_store::rate_limits::RateLimits;
use bitflow_store::universities::Universities;
use serde_json::json;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::OUTBOX_TABLE,
    config::INBOX_TABLE,
    config::RATE_LIMITS_TABLE,
    config::WEBHOOK_REQUESTS_PER_MINUTE,
];

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    usage: Usage,
    inbox: Inbox,
    limiter: Limiter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let inbox = Inbox::new(&dynamo, config.text(config::INBOX_TABLE), CONSUMER);
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = config.count(config::WEBHOOK_REQUESTS_PER_MINUTE);
        Self {
            limiter: Limiter::new(limit, limits.counter()),
            inbox: inbox.kept_for(REPORTS_ARE_KEPT),
            usage: Usage {
                universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
                outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
                dynamo,
            },
        }
    }
}

/// The route, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    Router::new().route("/api/webhooks/university-sync", post(receive))
}

#[utoipa::path(
    post,
    path = "/api/webhooks/university-sync",
    operation_id = "reportMetric",
    summary = "A portal reports a number.",
    tag = "Webhooks",
    request_body = openapi::Report,
    responses((status = 200, description = "It is in effect.", body = openapi::Success)),
    security(("portal" = [])),
)]
async fn receive(
    request: Requested,
    State(cx): State<Arc<Cx>>,
    signed: Result<SignedFields, Problem>,
) -> Result<Response, Problem> {
    let reported = take(&cx, request, signed).await;
    let (kind, outcome) = match &reported {
        Ok((report, Reported::Repeated)) => (report.metric.as_str(), Webhook::Repeated),
        Ok((report, Reported::Applied)) => (report.metric.as_str(), Webhook::Applied),
        Err(problem) if problem.status().is_server_error() => ("unknown", Webhook::Failed),
        Err(_) => ("unknown", Webhook::Refused),
    };
    metrics::webhook("university-sync", kind, outcome);
    reported.map(|_| success())
}

async fn take(
    cx: &Cx,
    request: Requested,
    signed: Result<SignedFields, Problem>,
) -> Result<(Report, Reported), Problem> {
    let now = clock::now();
    let signed = match signed {
        Ok(signed) => signed,
        Err(refused) => {
            cx.limiter.of_stranger(&request, now).await?;
            return Err(refused);
        }
    };
    let mut fields = signed.fields;
    let university_id = fields.text("university_id", UniversityId::parse);
    let metric = fields.text("metric", Metric::parse);
    let value = fields.count("value", MetricValue::new);
    // Whoever names no university is nobody, and is told what to mend.
    let Some(university_id) = university_id else {
        cx.limiter.of_stranger(&request, now).await?;
        return fields.finish(|| None);
    };
    let call = (signed.signature.as_str(), signed.body.as_ref());
    let caller = authenticate(&cx.usage.universities, university_id, call, now).await;
    let caller = cx
        .limiter
        .of_caller(&request, caller, university_id, now)
        .await?;
    let report = fields.finish(|| {
        Some(Report {
            metric: metric?,
            value: value?,
        })
    })?;
    let context = Context {
        actor: Actor {
            kind: ActorKind::Portal,
            id: university_id.to_string(),
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    };
    let reported = cx
        .usage
        .report(caller, &report, &cx.inbox, &context, now)
        .await?;
    tracing::info!(
        target: "bitflow::outcome",
        %university_id,
        metric = report.metric.as_str(),
        repeated = reported == Reported::Repeated,
        "metric reported",
    );
    Ok((report, reported))
}

/// Contract section 4.1, to the letter.
fn success() -> Response {
    Json(json!({ "status": "success" })).into_response()
}
