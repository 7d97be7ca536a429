//! What came in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;

use crate::answer::{self, PaymentView};
use crate::{Cx, READ, page, university};

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
