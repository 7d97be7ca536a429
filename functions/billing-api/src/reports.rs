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
