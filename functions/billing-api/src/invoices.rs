//! Invoicing, voiding, reminding, and looking.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bitflow_domain::billing::invoice::InvoiceStatus;
use bitflow_domain::billing::item::{self, Charge, Description, Lines};
use bitflow_domain::id::InvoiceId;
use bitflow_domain::money::Currency;
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::repeat::IdempotencyKey;
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::answer::{self, InvoiceView};
use crate::{Cx, READ, WRITE, context, page, university};

#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/invoices",
    operation_id = "createInvoice",
    summary = "Invoice a university.",
    tag = "Invoices",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    request_body = crate::openapi::NewInvoice,
    responses((status = 201, description = "Made, at Stripe too.", body = InvoiceView)),
    security(("admin" = ["billing:write"])),
)]
pub(crate) async fn create(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = university(&university_id)?;
    let fingerprint = fields.fingerprint().to_owned();
    let currency = fields.optional_text("currency", Currency::parse_billable);
    let days_until_due = fields.optional_count("days_until_due", item::days_until_due);
    let items = fields.objects("items", |item| {
        let description = item.text("description", Description::parse);
        let amount = item.integer("amount", Charge::new);
        Some((description?, amount?))
    });
    let lines = items.and_then(|items| {
        let lines = Lines::new(items, currency.unwrap_or(Currency::USD));
        fields.check("items", lines)
    });
    let lines = fields.finish(|| lines)?;
    let now = clock::now();
    let path = format!("/api/admin/universities/{university_id}/invoices");
    let scope = format!("{} {path}", admin.subject);
    let context = context(admin, request);
    let creation = Creation {
        scope: &scope,
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let (billing, lines, context, path) = (&cx.billing, &lines, &context, &path);
    let answer = repeats::once(&cx.keys, creation, now, |attempt| {
        async move {
            let made =
                billing.invoice(university_id, lines, days_until_due, &attempt, context, now);
            let invoice = made.await?;
            let location = format!("{path}/{}", invoice.id);
            let version = invoice.version;
            let view = InvoiceView::of(invoice);
            Ok(answer::of(StatusCode::CREATED, location, version, &view))
        }
        .boxed()
    });
    Ok(answer::repeated(answer.await?))
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/invoices",
    operation_id = "listInvoices",
    summary = "Invoices of a university.",
    tag = "Invoices",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Newest first.", body = crate::openapi::InvoicePage)),
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
    let invoices = cx.billing.invoices(university(&university_id)?, &page);
    Ok(answer::list(invoices.await?, InvoiceView::of))
}

/// Across universities: `status`, and those due before `due_before`, the longest due first.
#[utoipa::path(
    get,
    path = "/api/admin/invoices",
    operation_id = "listInvoicesByStatus",
    summary = "Invoices of all universities by status.",
    tag = "Invoices",
    params(
        ("status" = crate::openapi::InvoiceStatus, Query, description = "Which."),
        ("due_before" = Option<String>, Query, format = DateTime, description = "Only those due before."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "The longest due first.", body = crate::openapi::InvoicePage)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn by_status(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let status = parameters.required("status", status);
    let due_before = parameters.optional("due_before", |text| {
        text.parse::<Timestamp>()
            .map_err(|_| "must be a time, e.g. 2026-01-31T00:00:00Z")
    });
    let page = page(parameters)?;
    // What `page` did not refuse, `status` was.
    let status = status.ok_or_else(|| Problem::missing("status"))?;
    let invoices = cx.billing.invoices_by_status(status, due_before, &page);
    Ok(answer::list(invoices.await?, InvoiceView::of))
}

fn status(text: &str) -> Result<InvoiceStatus, String> {
    let known = InvoiceStatus::ALL.into_iter();
    known.clone().find(|it| it.as_str() == text).ok_or_else(|| {
        let words: Vec<_> = known.map(InvoiceStatus::as_str).collect();
        format!("must be one of {}", words.join(", "))
    })
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/invoices/{invoice_id}",
    operation_id = "getInvoice",
    summary = "An invoice.",
    tag = "Invoices",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("invoice_id" = String, Path, format = "uuid", description = "The invoice's id."),
    ),
    responses((status = 200, description = "The invoice.", body = InvoiceView)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path((university_id, invoice_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let (university_id, id) = (university(&university_id)?, invoice(&invoice_id)?);
    let invoice = cx.billing.get_invoice(university_id, id).await?;
    Ok(answer::one(invoice.version, InvoiceView::of(invoice)))
}

#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/invoices/{invoice_id}/void",
    operation_id = "voidInvoice",
    summary = "Withdraw an invoice.",
    tag = "Invoices",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("invoice_id" = String, Path, format = "uuid", description = "The invoice's id."),
    ),
    responses((status = 200, description = "It is void.", body = InvoiceView)),
    security(("admin" = ["billing:write"])),
)]
pub(crate) async fn void(
    admin: Admin,
    request: Requested,
    State(cx): State<Arc<Cx>>,
    Path((university_id, invoice_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let (university_id, id) = (university(&university_id)?, invoice(&invoice_id)?);
    let context = context(admin, request);
    let voided = cx.billing.void(university_id, id, &context, clock::now());
    let invoice = voided.await?;
    Ok(answer::one(invoice.version, InvoiceView::of(invoice)))
}

/// The key makes a repeat the same reminder, not another.
#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/invoices/{invoice_id}/remind",
    operation_id = "remindOfInvoice",
    summary = "Remind of an invoice.",
    tag = "Invoices",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("invoice_id" = String, Path, format = "uuid", description = "The invoice's id."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    responses((status = 200, description = "A reminder is on its way.", body = InvoiceView, headers(("Location" = String, description = "Where it can be read.")))),
    security(("admin" = ["billing:write"])),
)]
pub(crate) async fn remind(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    Path((university_id, invoice_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let (university_id, id) = (university(&university_id)?, invoice(&invoice_id)?);
    let path = format!("/api/admin/universities/{university_id}/invoices/{id}");
    let scope = format!("{} {path}/remind", admin.subject);
    let context = context(admin, request);
    let now = clock::now();
    let creation = Creation {
        scope: &scope,
        key: key.as_deref(),
        fingerprint: "",
    };
    let (billing, context) = (&cx.billing, &context);
    let answer = repeats::once(&cx.keys, creation, now, |attempt| {
        async move {
            let reminded = billing
                .remind(university_id, id, &attempt, context, now)
                .await?;
            let version = reminded.version;
            let view = InvoiceView::of(reminded);
            Ok(answer::of(StatusCode::OK, path, version, &view))
        }
        .boxed()
    });
    Ok(answer::repeated(answer.await?))
}

fn invoice(text: &str) -> Result<InvoiceId, Problem> {
    InvoiceId::parse(text).map_err(|_| Problem::missing("invoice"))
}
