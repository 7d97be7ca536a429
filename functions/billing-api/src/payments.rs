//! What came in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;

use crate::answer::{self, PaymentView};
use crate::{Cx, READ, page, university};

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/payments",
    operation_id = "listPayments",
    summary = "Payments of a university.",
    tag = "Payments",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Newest first.", body = crate::openapi::PaymentPage)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let page = page(parameters)?;
    let payments = cx.billing.payments(university(&university_id)?, &page);
    Ok(answer::list(payments.await?, PaymentView::of))
}
