//! The bodies that are answered.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bitflow_domain::id::{UniversityId, UploadId};
use bitflow_domain::university::logo::Logo;
use bitflow_domain::university::usage::{Metrics, UsagePercentage};
use bitflow_domain::university::{StorageQuota, University, UniversityStatus};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Actor, EventId};
use bitflow_portal::registry::Rotated;
use bitflow_portal::registry::logo::{LogoDownload, LogoUpload};
use bitflow_runtime::http::etag;
use bitflow_runtime::http::list::List;
use bitflow_store::activities::Activity;
use bitflow_store::page::Page;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

/// A university.
#[derive(Serialize, ToSchema)]
#[schema(as = University, example = json!({
    "id": "01900000-0000-7000-8000-000000000001",
    "name": "Uppsala universitet",
    "primary_email": "registrar@uu.example",
    "domain": "portal.uu.example",
    "storage_quota": 500_000_000_000_u64,
    "status": "active",
    "students": 15000,
    "faculty": 1200,
    "storage": 120_000_000_000_u64,
    "logo": null,
    "measured_storage": 20480,
    "storage_usage_percentage": 24.0,
    "stripe_customer_id": "cus_80OroN83ZqinEw",
    "version": 2,
    "created_at": "2026-01-15T09:00:00Z",
    "updated_at": "2026-01-15T09:00:01Z",
}))]
pub(crate) struct UniversityView {
    #[schema(value_type = String, format = "uuid")]
    id: UniversityId,
    name: String,
    primary_email: String,
    domain: String,
    #[schema(value_type = u64, minimum = 1, maximum = 1_125_899_906_842_624_u64)]
    storage_quota: StorageQuota,
    #[schema(value_type = crate::openapi::UniversityStatus)]
    status: UniversityStatus,
    #[serde(flatten)]
    #[schema(value_type = crate::openapi::Metrics)]
    metrics: Metrics,
    logo: Option<LogoView>,
    /// Bytes that its files with us came to when they were measured last.
    measured_storage: u64,
    /// Of what is stored at the portal and with us, in percent of the quota.
    #[schema(value_type = f64, minimum = 0)]
    storage_usage_percentage: UsagePercentage,
    stripe_customer_id: Option<String>,
    #[schema(value_type = u64, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl UniversityView {
    pub(crate) fn of(university: &University) -> Self {
        Self {
            id: university.id,
            name: university.name.as_str().to_owned(),
            primary_email: university.primary_email.as_str().to_owned(),
            domain: university.domain.as_str().to_owned(),
            storage_quota: university.storage_quota,
            status: university.status,
            metrics: university.metrics,
            logo: university.logo.as_ref().map(LogoView::of),
            measured_storage: university.measured_storage,
            storage_usage_percentage: university.storage_usage(),
            stripe_customer_id: university.stripe_customer_id.clone(),
            version: university.version,
            created_at: university.created_at,
            updated_at: university.updated_at,
        }
    }
}

/// A logo; where it can be fetched is asked for by itself.
#[derive(Serialize, ToSchema)]
#[schema(as = Logo)]
pub(crate) struct LogoView {
    #[schema(value_type = crate::openapi::LogoType)]
    content_type: &'static str,
    /// Bytes.
    size: u64,
    #[schema(value_type = String, format = DateTime)]
    uploaded_at: Timestamp,
}

impl LogoView {
    fn of(logo: &Logo) -> Self {
        Self {
            content_type: logo.format.media_type(),
            size: logo.bytes,
            uploaded_at: logo.uploaded_at,
        }
    }
}

/// A logo, and where it can be fetched for a while.
#[derive(Serialize, ToSchema)]
#[schema(as = LogoDownload, example = json!({
    "url": "https://files.bitflow.example/universities/logo.png?X-Amz-Signature=0",
    "expires_at": "2026-01-15T09:30:00Z",
    "content_type": "image/png",
    "size": 20480,
    "uploaded_at": "2026-01-15T09:00:00Z",
}))]
pub(crate) struct LogoDownloadView {
    #[schema(format = "uri")]
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[serde(flatten)]
    logo: LogoView,
}

impl LogoDownloadView {
    pub(crate) fn of(download: LogoDownload) -> Self {
        Self {
            url: download.url.url,
            expires_at: download.url.expires_at,
            logo: LogoView::of(&download.logo),
        }
    }
}

/// Where a browser may put a logo: this request, with the picture as its body.
#[derive(Serialize, ToSchema)]
#[schema(as = LogoUpload, example = json!({
    "upload_id": "01900000-0000-7000-8000-000000000001",
    "method": "PUT",
    "url": "https://files.bitflow.example/uploads/logo?X-Amz-Signature=0",
    "headers": { "content-length": "20480", "content-type": "image/png" },
    "expires_at": "2026-01-15T09:15:00Z",
}))]
pub(crate) struct LogoUploadView {
    /// What the logo is then set by.
    #[schema(value_type = String, format = "uuid")]
    upload_id: UploadId,
    #[schema(pattern = "^PUT$")]
    method: &'static str,
    #[schema(format = "uri")]
    url: String,
    /// Headers that are sent with it; browsers send `content-length` by themselves.
    headers: BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl LogoUploadView {
    pub(crate) fn of(upload: LogoUpload) -> Self {
        Self {
            upload_id: upload.id,
            method: "PUT",
            url: upload.url.url,
            headers: upload.url.headers.into_iter().collect(),
            expires_at: upload.url.expires_at,
        }
    }
}

/// A new university, with its portal's secret: the only time it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedUniversity, example = json!({
    "id": "01900000-0000-7000-8000-000000000001",
    "name": "Uppsala universitet",
    "primary_email": "registrar@uu.example",
    "domain": "portal.uu.example",
    "storage_quota": 500_000_000_000_u64,
    "status": "active",
    "students": 15000,
    "faculty": 1200,
    "storage": 120_000_000_000_u64,
    "logo": null,
    "measured_storage": 20480,
    "storage_usage_percentage": 24.0,
    "stripe_customer_id": null,
    "version": 1,
    "created_at": "2026-01-15T09:00:00Z",
    "updated_at": "2026-01-15T09:00:01Z",
    "portal_secret": "shown-this-once",
}))]
pub(crate) struct Created {
    #[serde(flatten)]
    university: UniversityView,
    portal_secret: String,
}

impl Created {
    pub(crate) fn of(university: &University) -> Self {
        Self {
            portal_secret: university.portal_secrets.current.expose_secret().to_owned(),
            university: UniversityView::of(university),
        }
    }
}

/// A portal's new secret: the only time it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = PortalSecret, example = json!({
    "portal_secret": "shown-this-once",
    "previous_expires_at": "2026-01-16T09:00:00Z",
}))]
pub(crate) struct RotatedView {
    portal_secret: String,
    /// Until when the one before it verifies.
    #[schema(value_type = String, format = DateTime)]
    previous_expires_at: Timestamp,
}

impl RotatedView {
    pub(crate) fn of(rotated: &Rotated) -> Self {
        Self {
            portal_secret: rotated.secret.expose_secret().to_owned(),
            previous_expires_at: rotated.previous_expires_at,
        }
    }
}

/// One line of a university's history.
#[derive(Serialize, ToSchema)]
#[schema(as = Activity, example = json!({
    "id": "01KF0F2Q0000000000000000AB",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "type": "university_created",
    "description": "University created",
    "metadata": {},
    "actor": { "kind": "admin", "id": "admin-1" },
    "correlation_id": "Ksm2ghpLoAMEPQw=",
    "occurred_at": "2026-01-15T09:00:00Z",
}))]
pub(crate) struct ActivityView {
    #[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    id: EventId,
    #[schema(value_type = Option<String>, format = "uuid")]
    university_id: Option<UniversityId>,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    #[schema(value_type = Object)]
    metadata: serde_json::Value,
    #[schema(value_type = crate::openapi::Actor)]
    actor: Actor,
    correlation_id: String,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
}

impl ActivityView {
    pub(crate) fn of(activity: Activity) -> Self {
        Self {
            id: activity.id,
            university_id: activity.university_id,
            kind: activity.kind,
            description: activity.description,
            metadata: activity.metadata,
            actor: activity.actor,
            correlation_id: activity.correlation_id.as_str().to_owned(),
            occurred_at: activity.occurred_at,
        }
    }
}

/// One university, with its ETag.
pub(crate) fn one(university: &University) -> Response {
    let headers = [(header::ETAG, etag::of(university.version.get()))];
    (headers, Json(UniversityView::of(university))).into_response()
}

/// A page of a list.
pub(crate) fn list<T, V: Serialize>(page: Page<T>, view: impl FnMut(T) -> V) -> Response {
    let page = page.map(view);
    Json(List {
        data: page.data,
        next_cursor: page.next_cursor,
    })
    .into_response()
}
