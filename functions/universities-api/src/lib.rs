//! HTTP, admin JWT: onboards, reads and lists universities, and shows their history.
//!
//! Promise: a university is stored together with the event that tells of it, or not at all; its
//! Stripe customer, welcome mail and audit line follow from the event.
//!
//! On a retry: a POST that was stored but not answered meets its own claim on the domain, and is
//! answered 409.

mod answer;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{NewUniversity, StorageQuota, UniversityName};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::registry::Registry;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::list::{List, Wanted};
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::{Requested, etag};
use bitflow_store::activities::Activities;
use bitflow_store::domains::UniversityDomains;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{Page, PageRequest};
use bitflow_store::universities::Universities;

use crate::answer::{ActivityView, Created, UniversityView};

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::UNIVERSITY_DOMAINS_TABLE,
    config::ACTIVITIES_TABLE,
    config::OUTBOX_TABLE,
];

const READ: &str = "universities:read";
const WRITE: &str = "universities:write";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    registry: Registry,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let registry = Registry {
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            domains: UniversityDomains::new(config.text(config::UNIVERSITY_DOMAINS_TABLE)),
            activities: Activities::new(&dynamo, config.text(config::ACTIVITIES_TABLE)),
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            dynamo,
        };
        Self { registry }
    }
}

/// The routes, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    Router::new()
        .route("/api/health", get(health))
        .route("/api/admin/universities", get(list).post(create))
        .route("/api/admin/universities/{university_id}", get(read))
        .route(
            "/api/admin/universities/{university_id}/activity",
            get(activity),
        )
}

async fn health() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

async fn create(
    admin: Admin,
    request: Requested,
    State(cx): State<Arc<Cx>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let name = fields.text("name", UniversityName::parse);
    let primary_email = fields.text("primary_email", EmailAddress::parse);
    let domain = fields.text("domain", DomainName::parse);
    let storage_quota = fields.count("storage_quota", StorageQuota::from_bytes);
    let new = fields.finish(|| {
        Some(NewUniversity {
            name: name?,
            primary_email: primary_email?,
            domain: domain?,
            storage_quota: storage_quota?,
        })
    })?;
    let context = Context {
        actor: Actor {
            kind: ActorKind::Admin,
            id: admin.subject,
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    };
    let university = cx.registry.onboard(new, &context, clock::now()).await?;
    let headers = [
        (
            header::LOCATION,
            format!("/api/admin/universities/{}", university.id),
        ),
        (header::ETAG, etag::of(university.version.get())),
        // The body holds the portal's secret.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, Json(Created::of(&university))).into_response())
}

async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let university = cx.registry.get(id(&university_id)?).await?;
    let headers = [(header::ETAG, etag::of(university.version.get()))];
    Ok((headers, Json(UniversityView::of(&university))).into_response())
}

async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let universities = cx.registry.list(&page(parameters)?).await?;
    let views = universities.map(|university| UniversityView::of(&university));
    Ok(list_of(views))
}

async fn activity(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let page = page(parameters)?;
    let activities = cx.registry.activity(id(&university_id)?, &page).await?;
    Ok(list_of(activities.map(ActivityView::of)))
}

/// What is not an id names nothing.
fn id(text: &str) -> Result<UniversityId, Problem> {
    UniversityId::parse(text).map_err(|_| Problem::missing("university"))
}

fn page(parameters: Parameters) -> Result<PageRequest, Problem> {
    let Wanted { limit, cursor } = parameters.finish_list()?;
    Ok(PageRequest { limit, cursor })
}

fn list_of(page: Page<impl serde::Serialize>) -> Response {
    Json(List {
        data: page.data,
        next_cursor: page.next_cursor,
    })
    .into_response()
}
