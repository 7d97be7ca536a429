//! HTTP, admin JWT: onboards, lists, changes, deletes and restores universities, keeps their logos,
//! shows their history, and rotates their portals' secrets.
//!
//! Promise: a change is stored together with the event that tells of it, or not at all; what
//! follows at Stripe, by mail and in the history follows from the event.
//!
//! On a retry: a POST with the same `Idempotency-Key` is answered the same, and does nothing twice;
//! without one, a repeated creation meets its own claim on the domain, and is answered 409. A PATCH
//! that changes nothing writes nothing; deleting or restoring twice is doing it once.

mod answer;
mod logo;
pub mod openapi;
mod portal_secret;
mod universities;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::registry::Registry;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::list::Wanted;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_store::activities::Activities;
use bitflow_store::domains::UniversityDomains;
use bitflow_store::files::Files;
use bitflow_store::idempotency::IdempotencyKeys;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::PageRequest;
use bitflow_store::rate_limits::RateLimits;
use bitflow_store::universities::Universities;
use jiff::SignedDuration;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::UNIVERSITY_DOMAINS_TABLE,
    config::ACTIVITIES_TABLE,
    config::OUTBOX_TABLE,
    config::IDEMPOTENCY_KEYS_TABLE,
    config::FILES_BUCKET,
    config::RATE_LIMITS_TABLE,
    config::ADMIN_REQUESTS_PER_MINUTE,
];

/// How long a client may repeat a request under its key.
const KEYS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

const READ: &str = "universities:read";
const WRITE: &str = "universities:write";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    registry: Registry,
    files: Files,
    keys: IdempotencyKeys,
    limiter: Limiter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let keys = config.text(config::IDEMPOTENCY_KEYS_TABLE);
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = config.count(config::ADMIN_REQUESTS_PER_MINUTE);
        Self {
            limiter: Limiter::new(limit, limits.counter()),
            keys: IdempotencyKeys::new(&dynamo, keys, KEYS_ARE_KEPT),
            files: Files::new(
                &aws_sdk_s3::Client::new(config.aws()),
                config.text(config::FILES_BUCKET),
            ),
            registry: Registry {
                universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
                domains: UniversityDomains::new(config.text(config::UNIVERSITY_DOMAINS_TABLE)),
                activities: Activities::new(&dynamo, config.text(config::ACTIVITIES_TABLE)),
                outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
                dynamo,
            },
        }
    }
}

/// How many requests an admin may make.
pub fn limiter(cx: &Cx) -> &Limiter {
    &cx.limiter
}

/// The routes, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    let university = "/api/admin/universities/{university_id}";
    let below = |path: &str| format!("{university}{path}");
    Router::new()
        .route("/api/health", get(health))
        .route("/api/openapi.json", get(description))
        .route(
            "/api/admin/universities",
            get(universities::list).post(universities::create),
        )
        .route(
            university,
            get(universities::read)
                .patch(universities::change)
                .delete(universities::delete),
        )
        .route(&below("/restore"), post(universities::restore))
        .route(
            &below("/logo"),
            get(logo::read).put(logo::set).delete(logo::remove),
        )
        .route(&below("/logo/upload-url"), post(logo::upload_url))
        .route(&below("/activity"), get(universities::activity))
        .route(&below("/portal-secret"), post(portal_secret::rotate))
}

#[utoipa::path(
    get,
    path = "/api/health",
    operation_id = "getHealth",
    summary = "Whether it answers.",
    tag = "Service",
    responses((status = 200, description = "It answers.", body = crate::openapi::Health)),
    security(()),
)]
async fn health() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

/// The description of the whole API, as it was when this was built.
async fn description() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, include_str!("../../../infra/openapi.json")).into_response()
}

/// Who asks, for the events that follow.
fn context(admin: Admin, request: Requested) -> Context {
    Context {
        actor: Actor {
            kind: ActorKind::Admin,
            id: admin.subject,
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    }
}

/// What is not an id names nothing.
fn id(text: &str) -> Result<UniversityId, Problem> {
    UniversityId::parse(text).map_err(|_| Problem::missing("university"))
}

fn page(parameters: Parameters) -> Result<PageRequest, Problem> {
    let Wanted { limit, cursor } = parameters.finish_list()?;
    Ok(PageRequest { limit, cursor })
}
