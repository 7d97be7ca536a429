//! The logo.

use std::sync::Arc;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitflow_domain::id::{UniversityId, UploadId};
use bitflow_domain::university::logo::{MAX_LOGO_BYTES, PictureFormat};
use bitflow_portal::picture::{Picture, PictureError};
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag::IfMatch;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::repeat::IdempotencyKey;

use crate::answer::{self, LogoDownloadView, LogoUploadView};
use crate::universities::expected;
use crate::{Cx, READ, WRITE, context, id};

/// The picture itself, or, as JSON, the `upload_id` of one that a browser has uploaded. Either may be
/// repeated: the picture that it has already changes nothing.
#[utoipa::path(
    put,
    path = "/api/admin/universities/{university_id}/logo",
    operation_id = "setLogo",
    summary = "Set a logo.",
    tag = "Logos",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("If-Match" = Option<String>, Header, description = "Only if this is its ETag."),
    ),
    request_body(
        description = "The picture itself, or the id of one that a browser has uploaded.",
        content(
            (crate::openapi::Picture = "image/png"),
            (crate::openapi::Picture = "image/jpeg"),
            (crate::openapi::Picture = "image/webp"),
            (crate::openapi::UploadedLogo = "application/json"),
        ),
    ),
    responses((status = 200, description = "As it is now.", body = answer::UniversityView)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn set(
    admin: Admin,
    requested: Requested,
    if_match: IfMatch,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    // Before the body is looked at: of a university that there is not, no picture is judged.
    cx.registry.get(university_id).await?;
    let bytes = if uploaded(&request) {
        let upload = upload_id(request).await?;
        let uploaded = cx.registry.upload(&cx.files, university_id, upload);
        uploaded.await?
    } else {
        content(request).await?
    };
    let picture = Picture::read(bytes).map_err(refused)?;
    let (expected, context) = (expected(if_match), context(admin, requested));
    let when = (&context, clock::now());
    let set = cx
        .registry
        .set_logo(&cx.files, university_id, &picture, &expected, when);
    Ok(answer::one(&set.await?))
}

fn uploaded(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn upload_id(request: Request) -> Result<UploadId, Problem> {
    let mut fields = Fields::from_request(request, &()).await?;
    let upload = fields.text("upload_id", UploadId::parse);
    fields.finish(|| upload)
}

/// One byte more than may be says that there are too many.
async fn content(request: Request) -> Result<Bytes, Problem> {
    let most = usize::try_from(MAX_LOGO_BYTES).unwrap_or(usize::MAX);
    let read = to_bytes(request.into_body(), most).await;
    read.map_err(|_| refused(PictureError::TooHeavy))
}

fn refused(error: PictureError) -> Problem {
    let status = match error {
        PictureError::TooHeavy => StatusCode::PAYLOAD_TOO_LARGE,
        PictureError::Unknown => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        PictureError::Empty
        | PictureError::Damaged
        | PictureError::TooWide
        | PictureError::TooDeep => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.to_string())
}

/// Where it can be fetched for 30 minutes.
#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/logo",
    operation_id = "getLogo",
    summary = "Where a logo can be fetched.",
    tag = "Logos",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
    ),
    responses((status = 200, description = "Where it can be fetched for 30 minutes.", body = LogoDownloadView)),
    security(("admin" = ["universities:read"])),
)]
pub(crate) async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let university_id = id(&university_id)?;
    let download = cx
        .registry
        .logo(&cx.files, university_id, clock::now())
        .await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(LogoDownloadView::of(download))).into_response())
}

#[utoipa::path(
    delete,
    path = "/api/admin/universities/{university_id}/logo",
    operation_id = "removeLogo",
    summary = "Take a logo away.",
    tag = "Logos",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("If-Match" = Option<String>, Header, description = "Only if this is its ETag."),
    ),
    responses((status = 204, description = "There is none.")),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn remove(
    admin: Admin,
    request: Requested,
    if_match: IfMatch,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
) -> Result<StatusCode, Problem> {
    admin.needs(WRITE)?;
    let university_id: UniversityId = id(&university_id)?;
    let (expected, context) = (expected(if_match), context(admin, request));
    let when = (&context, clock::now());
    cx.registry
        .remove_logo(&cx.files, university_id, &expected, when)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a browser may put one. The answer lets whoever has it write, and so it is not stored under its
/// `Idempotency-Key`: a repeat signs the same upload for the same time again.
#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/logo/upload-url",
    operation_id = "createLogoUpload",
    summary = "Where a browser may upload a logo.",
    tag = "Logos",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request; it is answered the same, even once the time to upload is over."),
    ),
    request_body = crate::openapi::WantedUpload,
    responses((status = 200, description = "Where a browser may put it, for 15 minutes.", body = LogoUploadView)),
    security(("admin" = ["universities:write"])),
)]
pub(crate) async fn upload_url(
    admin: Admin,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = id(&university_id)?;
    let fingerprint = fields.fingerprint().to_owned();
    let format = fields.text("content_type", PictureFormat::parse);
    let size = fields.count("size", |bytes| {
        let right = (1..=MAX_LOGO_BYTES).contains(&bytes);
        right
            .then_some(bytes)
            .ok_or(format!("must be from 1 to {MAX_LOGO_BYTES}"))
    });
    let wanted = fields.finish(|| Some((format?, size?)))?;
    let path = format!("/api/admin/universities/{university_id}/logo/upload-url");
    let creation = Creation {
        scope: &format!("{} {path}", admin.subject),
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let attempt = repeats::attempt(&cx.keys, creation, clock::now()).await?;
    let upload = cx
        .registry
        .upload_url(&cx.files, university_id, wanted, &attempt)
        .await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(LogoUploadView::of(upload))).into_response())
}
