//! Reports of a month: asked for, made by report-listener, and fetched.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitflow_domain::billing::month::Month;
use bitflow_domain::id::ReportId;
use bitflow_portal::billing::month_report::ReportRequest;
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::repeat::IdempotencyKey;

use crate::answer::ReportView;
use crate::{Cx, READ};

const PATH: &str = "/api/admin/reports";

/// It changes nothing but files, and so needs no more than reading does.
#[utoipa::path(
    post,
    path = "/api/admin/reports",
    operation_id = "createReport",
    summary = "Ask for the report of a month.",
    tag = "Reports",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    request_body = crate::openapi::NewReport,
    responses((status = 202, description = "It will be made.", body = ReportView)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn create(
    admin: Admin,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let now = clock::now();
    let fingerprint = fields.fingerprint().to_owned();
    let month = fields.text("month", |text| {
        let month: Month = text.parse().map_err(|_| "must be a month, e.g. 2026-01")?;
        let begun = month.period().start <= now;
        begun.then_some(month).ok_or("has not begun yet")
    });
    let month = fields.finish(|| month)?;
    let creation = Creation {
        scope: &format!("{} {PATH}", admin.subject),
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let attempt = repeats::attempt(&cx.keys, creation, now).await?;
    let id = ReportId::from_uuid(attempt.resource);
    let request = ReportRequest {
        month,
        requested_at: attempt.started_at,
        requested_by: admin.subject,
    };
    cx.reports.request(id, &request).await?;
    let location = [(header::LOCATION, format!("{PATH}/{id}"))];
    let view = ReportView::of(id, &request, None);
    Ok((StatusCode::ACCEPTED, location, Json(view)).into_response())
}

#[utoipa::path(
    get,
    path = "/api/admin/reports/{report_id}",
    operation_id = "getReport",
    summary = "A report, and where it can be fetched.",
    tag = "Reports",
    params(
        ("report_id" = String, Path, format = "uuid", description = "The report's id."),
    ),
    responses((status = 200, description = "The report; `url` once it is made.", body = ReportView)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(report_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let id = ReportId::parse(&report_id).map_err(|_| Problem::missing("report"))?;
    let report = cx.reports.report(id, clock::now()).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    let view = ReportView::of(id, &report.request, report.url);
    Ok((headers, Json(view)).into_response())
}
