//! The secret that a university's portal signs with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::repeat::IdempotencyKey;

use crate::answer::RotatedView;
use crate::{Cx, WRITE, context, id};

/// Rotates it; the old one is good for a day more.
#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/portal-secret",
    operation_id = "rotatePortalSecret",
    summary = "Give a university's portal a new secret.",
    tag = "Universities",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    responses((status = 200, description = "The new secret, shown this once.", body = RotatedView)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn rotate(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    let now = clock::now();
    let path = format!("/api/admin/universities/{university_id}/portal-secret");
    let creation = Creation {
        scope: &format!("{} {path}", admin.subject),
        key: key.as_deref(),
        // The path says it all.
        fingerprint: "",
    };
    let attempt = repeats::attempt(&cx.keys, creation, now).await?;
    let context = context(admin, request);
    let rotated = cx
        .registry
        .rotate_secret(university_id, &attempt, &context, now)
        .await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(RotatedView::of(&rotated))).into_response())
}
