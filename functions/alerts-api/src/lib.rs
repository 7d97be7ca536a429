//! HTTP: universities' portals raise alerts (`X-Signature`), admins list and acknowledge them
//! (contract section 3.1).
//!
//! Promise: an alert that is answered 201 is stored, with the event that pushes it to the owner.
//!
//! On a retry: a copy of a portal's call raises nothing twice and is answered with the alert as it
//! is; a call that is signed anew within ten minutes is counted as a repeat. Acknowledging twice is
//! acknowledging once.

pub mod openapi;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bitflow_domain::alert::{Alert, AlertMessage, AlertState, AlertType, NewAlert, Severity};
use bitflow_domain::id::{AlertId, UniversityId};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::alerts::Alerting;
use bitflow_portal::alerts::view::AlertView;
use bitflow_portal::portals::authenticate;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::list::{List, Wanted};
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::signed::SignedFields;
use bitflow_runtime::metrics::{self, Webhook};
use bitflow_store::alert_folds::AlertFolds;
use bitflow_store::alerts::{AlertFilter, Alerts};
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::PageRequest;
use bitflow_store::rate_limits::RateLimits;
use bitflow_store::universities::Universities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::ALERTS_TABLE,
    config::ALERT_FOLDS_TABLE,
    config::OUTBOX_TABLE,
    config::INBOX_TABLE,
    config::RATE_LIMITS_TABLE,
    config::ADMIN_REQUESTS_PER_MINUTE,
    config::WEBHOOK_REQUESTS_PER_MINUTE,
];

const PATH: &str = "/api/admin/alerts";
const READ: &str = "alerts:read";
const WRITE: &str = "alerts:write";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    universities: Universities,
    alerting: Alerting,
    admins: Limiter,
    portals: Limiter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = |variable| Limiter::new(config.count(variable), limits.clone().counter());
        Self {
            admins: limit(config::ADMIN_REQUESTS_PER_MINUTE),
            portals: limit(config::WEBHOOK_REQUESTS_PER_MINUTE),
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            alerting: Alerting {
                alerts: Alerts::new(&dynamo, config.text(config::ALERTS_TABLE)),
                folds: AlertFolds::new(&dynamo, config.text(config::ALERT_FOLDS_TABLE)),
                inbox: Inbox::new(&dynamo, config.text(config::INBOX_TABLE), "alerts-api"),
                outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
                dynamo,
            },
        }
    }
}

/// How many requests an admin may make.
pub fn limiter(cx: &Cx) -> &Limiter {
    &cx.admins
}

/// The routes, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    Router::new().route(PATH, get(list).post(raise)).route(
        &format!("{PATH}/{{alert_id}}/acknowledge"),
        post(acknowledge),
    )
}

#[utoipa::path(
    post,
    path = "/api/admin/alerts",
    operation_id = "raiseAlert",
    summary = "A portal raises an alert.",
    tag = "Alerts",
    request_body = openapi::NewAlert,
    responses((status = 201, description = "Raised, or counted as a repeat.", body = openapi::Alert)),
    security(("portal" = [])),
)]
async fn raise(
    request: Requested,
    State(cx): State<Arc<Cx>>,
    signed: Result<SignedFields, Problem>,
) -> Result<Response, Problem> {
    let raised = take(&cx, request, signed).await;
    // Its type is the portal's own word, and no dimension.
    let (kind, outcome) = match &raised {
        Ok((_, outcome)) => ("alert", *outcome),
        Err(problem) if problem.status().is_server_error() => ("unknown", Webhook::Failed),
        Err(_) => ("unknown", Webhook::Refused),
    };
    metrics::webhook("portal-alerts", kind, outcome);
    raised.map(|(alert, _)| (StatusCode::CREATED, one(alert)).into_response())
}

async fn take(
    cx: &Cx,
    request: Requested,
    signed: Result<SignedFields, Problem>,
) -> Result<(Alert, Webhook), Problem> {
    let now = clock::now();
    let signed = match signed {
        Ok(signed) => signed,
        Err(refused) => {
            cx.portals.of_stranger(&request, now).await?;
            return Err(refused);
        }
    };
    let mut fields = signed.fields;
    let university_id = fields.text("university_id", UniversityId::parse);
    let kind = fields.text("type", AlertType::parse_portals);
    let message = fields.text("message", AlertMessage::parse);
    // Whoever names no university is nobody, and is told what to mend.
    let Some(university_id) = university_id else {
        cx.portals.of_stranger(&request, now).await?;
        return fields.finish(|| None);
    };
    let call = (signed.signature.as_str(), signed.body.as_ref());
    let caller = authenticate(&cx.universities, university_id, call, now).await;
    let caller = cx
        .portals
        .of_caller(&request, caller, university_id, now)
        .await?;
    let new = fields.finish(|| {
        Some(NewAlert {
            university_id: Some(university_id),
            kind: kind?,
            subject: None,
            message: message?,
        })
    })?;
    let context = Context {
        actor: Actor {
            kind: ActorKind::Portal,
            id: university_id.to_string(),
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    };
    let raised = cx.alerting.raise(&new, &caller.digest, &context, now);
    // A copy verifies for less long than the alert that it raised is known.
    let alert = raised.await?.ok_or_else(|| Problem::missing("alert"))?;
    let outcome = if alert.last_raised_at < now {
        Webhook::Repeated
    } else {
        Webhook::Applied
    };
    Ok((alert, outcome))
}

/// `?state=`: open unless it is said; `?university_id=`, `?severity=`: of those.
#[utoipa::path(
    get,
    path = "/api/admin/alerts",
    operation_id = "listAlerts",
    summary = "Alerts, newest first.",
    tag = "Alerts",
    params(
        ("state" = Option<openapi::AlertState>, Query, description = "Open unless it is said."),
        ("university_id" = Option<String>, Query, format = "uuid", description = "About whom."),
        ("severity" = Option<openapi::Severity>, Query, description = "How bad."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Newest first.", body = openapi::AlertPage)),
    security(("admin" = ["alerts:read"])),
)]
async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let filter = AlertFilter {
        state: parameters
            .optional("state", AlertState::parse)
            .unwrap_or(AlertState::Open),
        university_id: parameters.optional("university_id", UniversityId::parse),
        severity: parameters.optional("severity", Severity::parse),
    };
    let Wanted { limit, cursor } = parameters.finish_list()?;
    let page = PageRequest { limit, cursor };
    let page = cx.alerting.list(filter, &page).await?.map(AlertView::of);
    Ok(Json(List {
        data: page.data,
        next_cursor: page.next_cursor,
    })
    .into_response())
}

/// Takes no `Idempotency-Key` into account: doing it twice is doing it once.
#[utoipa::path(
    post,
    path = "/api/admin/alerts/{alert_id}/acknowledge",
    operation_id = "acknowledgeAlert",
    summary = "Somebody has seen an alert.",
    tag = "Alerts",
    params(
        ("alert_id" = String, Path, format = "uuid", description = "The alert's id."),
    ),
    responses((status = 200, description = "As it is now.", body = openapi::Alert)),
    security(("admin" = ["alerts:write"])),
)]
async fn acknowledge(
    admin: Admin,
    request: Requested,
    State(cx): State<Arc<Cx>>,
    Path(alert_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let id = AlertId::parse(&alert_id).map_err(|_| Problem::missing("alert"))?;
    let context = Context {
        actor: Actor {
            kind: ActorKind::Admin,
            id: admin.subject,
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    };
    let acknowledged = cx.alerting.acknowledge(id, &context, clock::now());
    Ok(one(acknowledged.await?))
}

/// One alert, with its ETag.
fn one(alert: Alert) -> Response {
    let headers = [(header::ETAG, etag::of(alert.version.get()))];
    (headers, Json(AlertView::of(alert))).into_response()
}
