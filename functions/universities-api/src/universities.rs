//! The universities themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::university::{
    NamePrefix, NewUniversity, StorageQuota, UniversityChanges, UniversityName, UniversityStatus,
};
use bitflow_domain::version::{Expected, Version};
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag::{self, IfMatch};
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::repeat::IdempotencyKey;

use crate::answer::{self, ActivityView, Created, UniversityView};
use crate::{Cx, READ, WRITE, context, id, page};

const PATH: &str = "/api/admin/universities";

#[utoipa::path(
    post,
    path = "/api/admin/universities",
    operation_id = "createUniversity",
    summary = "Onboard a university.",
    tag = "Universities",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    request_body = crate::openapi::NewUniversity,
    responses((status = 201, description = "Onboarded; `portal_secret` is shown this once.", body = answer::Created)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn create(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let fingerprint = fields.fingerprint().to_owned();
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
    let creation = Creation {
        scope: &format!("{} {PATH}", admin.subject),
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let attempt = repeats::attempt(&cx.keys, creation, clock::now()).await?;
    let context = context(admin, request);
    let university = cx.registry.onboard(new, &attempt, &context).await?;
    let headers = [
        (header::LOCATION, format!("{PATH}/{}", university.id)),
        (header::ETAG, etag::of(university.version.get())),
        // The body holds the portal's secret.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, Json(Created::of(&university))).into_response())
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}",
    operation_id = "getUniversity",
    summary = "A university.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
    ),
    responses((status = 200, description = "The university.", body = UniversityView)),
    security(("admin" = ["universities:read"])),
)]
pub(crate) async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let university = cx.registry.get(id(&university_id)?).await?;
    Ok(answer::one(&university))
}

/// `?status=deleted`: those that are gone; `?name=`: those whose name begins so.
#[utoipa::path(
    get,
    path = "/api/admin/universities",
    operation_id = "listUniversities",
    summary = "Universities by name.",
    tag = "Universities",
    params(
        ("status" = Option<crate::openapi::UniversityStatus>, Query, description = "Active ones unless it is said."),
        ("name" = Option<String>, Query, min_length = 1, max_length = 200, description = "How the name begins, in any case."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "By name.", body = crate::openapi::UniversityPage)),
    security(("admin" = ["universities:read"])),
)]
pub(crate) async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let status = parameters.optional("status", |text| match text {
        "active" => Ok(UniversityStatus::Active),
        "deleted" => Ok(UniversityStatus::Deleted),
        _ => Err("must be active or deleted"),
    });
    let name = parameters.optional("name", NamePrefix::parse);
    let page = page(parameters)?;
    let status = status.unwrap_or(UniversityStatus::Active);
    let universities = cx.registry.list(status, name.as_ref(), &page).await?;
    Ok(answer::list(universities, |it| UniversityView::of(&it)))
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/activity",
    operation_id = "listActivity",
    summary = "What happened to a university.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Newest first.", body = crate::openapi::ActivityPage)),
    security(("admin" = ["universities:read"])),
)]
pub(crate) async fn activity(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let page = page(parameters)?;
    let activities = cx.registry.activity(id(&university_id)?, &page).await?;
    Ok(answer::list(activities, ActivityView::of))
}

#[utoipa::path(
    patch,
    path = "/api/admin/universities/{university_id}",
    operation_id = "changeUniversity",
    summary = "Change a university.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("If-Match" = Option<String>, Header, description = "Only if this is its ETag."),
    ),
    request_body = crate::openapi::UniversityChanges,
    responses((status = 200, description = "As it is now.", body = UniversityView)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn change(
    admin: Admin,
    request: Requested,
    if_match: IfMatch,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    let changes = changes(fields)?;
    let context = context(admin, request);
    let expected = expected(if_match);
    let changed = cx
        .registry
        .change(university_id, &changes, &expected, &context, clock::now());
    Ok(answer::one(&changed.await?))
}

/// What may change.
const CHANGES: [&str; 4] = ["name", "primary_email", "domain", "storage_quota"];

fn changes(mut fields: Fields) -> Result<UniversityChanges, Problem> {
    if !CHANGES.iter().any(|field| fields.names(field)) {
        for field in CHANGES {
            fields.check(
                field,
                Err::<(), _>("is required where no other field is given"),
            );
        }
    }
    let changes = UniversityChanges {
        name: fields.changed_text("name", UniversityName::parse),
        primary_email: fields.changed_text("primary_email", EmailAddress::parse),
        domain: fields.changed_text("domain", DomainName::parse),
        storage_quota: fields.changed_count("storage_quota", StorageQuota::from_bytes),
    };
    fields.finish(|| Some(changes))
}

#[utoipa::path(
    delete,
    path = "/api/admin/universities/{university_id}",
    operation_id = "deleteUniversity",
    summary = "Delete a university; it may be restored.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("If-Match" = Option<String>, Header, description = "Only if this is its ETag."),
    ),
    responses((status = 204, description = "It is gone.")),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn delete(
    admin: Admin,
    request: Requested,
    if_match: IfMatch,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<StatusCode, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    let context = context(admin, request);
    let expected = expected(if_match);
    cx.registry
        .delete(university_id, &expected, &context, clock::now())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes no `Idempotency-Key` into account: doing it twice is doing it once.
#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/restore",
    operation_id = "restoreUniversity",
    summary = "Take a deletion back.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
    ),
    responses((status = 200, description = "It is back.", body = UniversityView)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn restore(
    admin: Admin,
    request: Requested,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    let context = context(admin, request);
    let restored = cx.registry.restore(university_id, &context, clock::now());
    Ok(answer::one(&restored.await?))
}

pub(crate) fn expected(if_match: IfMatch) -> Expected {
    match if_match {
        IfMatch::Any => Expected::Any,
        IfMatch::OneOf(versions) => {
            Expected::OneOf(versions.into_iter().map(Version::from_stored).collect())
        }
    }
}
