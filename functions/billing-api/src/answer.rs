//! The bodies that are answered.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus};
use bitflow_domain::billing::month::Month;
use bitflow_domain::billing::payment::{Payment, PaymentStatus};
use bitflow_domain::billing::subscription::{Billing, Subscription, SubscriptionStatus};
use bitflow_domain::id::{InvoiceId, PaymentId, ReportId, SubscriptionId, UniversityId};
use bitflow_domain::money::Currency;
use bitflow_domain::version::Version;
use bitflow_portal::billing::month_report::ReportRequest;
use bitflow_runtime::http::etag;
use bitflow_runtime::http::list::List;
use bitflow_store::files::SignedUrl;
use bitflow_store::idempotency::Answer;
use bitflow_store::page::Page;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = Subscription, example = json!({
    "id": "01900000-0000-7000-8000-000000000002",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "status": "active",
    "billing": "manual",
    "amount": 99_000,
    "currency": "USD",
    "description": "Campus, monthly",
    "days_until_due": 30,
    "current_period_start": "2026-02-01T00:00:00Z",
    "current_period_end": "2026-03-01T00:00:00Z",
    "cancel_at_period_end": false,
    "version": 1,
    "created_at": "2026-01-15T09:00:00Z",
    "updated_at": "2026-01-15T09:00:00Z",
}))]
pub(crate) struct SubscriptionView {
    #[schema(value_type = String, format = "uuid")]
    id: SubscriptionId,
    #[schema(value_type = String, format = "uuid")]
    university_id: UniversityId,
    #[schema(value_type = crate::openapi::SubscriptionStatus)]
    status: SubscriptionStatus,
    #[serde(flatten)]
    billing: BillingView,
    #[schema(value_type = String, format = DateTime)]
    current_period_start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    current_period_end: Timestamp,
    cancel_at_period_end: bool,
    #[schema(value_type = u64, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Who bills it, and what.
#[derive(Serialize, ToSchema)]
#[serde(tag = "billing", rename_all = "snake_case")]
#[schema(as = Billing)]
enum BillingView {
    Stripe {
        stripe_subscription_id: String,
        stripe_price_id: Option<String>,
    },
    Manual {
        /// Minor units, each month.
        amount: i64,
        #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
        currency: Currency,
        description: String,
        days_until_due: Option<u16>,
    },
}

impl SubscriptionView {
    pub(crate) fn of(subscription: Subscription) -> Self {
        let terms = subscription.terms;
        let billing = match subscription.billing {
            Billing::Stripe { subscription_id } => BillingView::Stripe {
                stripe_subscription_id: subscription_id,
                stripe_price_id: terms.stripe_price_id,
            },
            Billing::Manual(plan) => BillingView::Manual {
                amount: plan.amount.amount,
                currency: plan.amount.currency,
                description: plan.description,
                days_until_due: plan.days_until_due,
            },
        };
        Self {
            id: subscription.id,
            university_id: subscription.university_id,
            status: terms.status,
            billing,
            current_period_start: terms.current_period_start,
            current_period_end: terms.current_period_end,
            cancel_at_period_end: terms.cancel_at_period_end,
            version: subscription.version,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}

/// An invoice.
#[derive(Serialize, ToSchema)]
#[schema(as = Invoice, example = json!({
    "id": "01900000-0000-7000-8000-000000000003",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "subscription_id": null,
    "period_start": null,
    "period_end": null,
    "stripe_invoice_id": "in_1MtHbELkdIwHu7ix",
    "number": "RISMESQA-0001",
    "status": "open",
    "amount_due": 129_900,
    "currency": "USD",
    "items": [{ "description": "Setup", "amount": 129_900 }],
    "attempt_count": 0,
    "due_at": "2026-01-29T09:00:00Z",
    "paid_at": null,
    "hosted_invoice_url": "https://invoice.stripe.example/i/1",
    "last_reminder_step": null,
    "version": 1,
    "created_at": "2026-01-15T09:00:00Z",
    "updated_at": "2026-01-15T09:00:00Z",
}))]
pub(crate) struct InvoiceView {
    #[schema(value_type = String, format = "uuid")]
    id: InvoiceId,
    #[schema(value_type = String, format = "uuid")]
    university_id: UniversityId,
    #[schema(value_type = Option<String>, format = "uuid")]
    subscription_id: Option<SubscriptionId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    period_start: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    period_end: Option<Timestamp>,
    stripe_invoice_id: String,
    number: Option<String>,
    #[schema(value_type = crate::openapi::InvoiceStatus)]
    status: InvoiceStatus,
    /// Minor units.
    amount_due: i64,
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    currency: Currency,
    items: Vec<ItemView>,
    attempt_count: u64,
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    #[schema(format = "uri")]
    hosted_invoice_url: Option<String>,
    last_reminder_step: Option<u16>,
    #[schema(value_type = u64, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InvoiceItem)]
struct ItemView {
    description: String,
    /// Minor units.
    amount: i64,
}

impl InvoiceView {
    pub(crate) fn of(invoice: Invoice) -> Self {
        Self {
            id: invoice.id,
            university_id: invoice.university_id,
            subscription_id: invoice.subscription_id,
            period_start: invoice.period.map(|period| period.start),
            period_end: invoice.period.map(|period| period.end),
            stripe_invoice_id: invoice.stripe_invoice_id,
            number: invoice.number,
            status: invoice.status,
            amount_due: invoice.amount_due.amount,
            currency: invoice.amount_due.currency,
            items: invoice
                .items
                .into_iter()
                .map(|item| ItemView {
                    description: item.description,
                    amount: item.amount,
                })
                .collect(),
            attempt_count: invoice.attempt_count,
            due_at: invoice.due_at,
            paid_at: invoice.paid_at,
            hosted_invoice_url: invoice.hosted_invoice_url,
            last_reminder_step: invoice.last_reminder_step,
            version: invoice.version,
            created_at: invoice.created_at,
            updated_at: invoice.updated_at,
        }
    }
}

/// A payment.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment, example = json!({
    "id": "01900000-0000-7000-8000-000000000004",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "invoice_id": "01900000-0000-7000-8000-000000000003",
    "amount": 129_900,
    "amount_refunded": 0,
    "currency": "USD",
    "payment_method": "card",
    "stripe_payment_intent_id": "pi_3MtwBwLkdIwHu7ix",
    "status": "completed",
    "disputed_at": null,
    "paid_at": "2026-01-16T09:00:00Z",
}))]
pub(crate) struct PaymentView {
    #[schema(value_type = String, format = "uuid")]
    id: PaymentId,
    #[schema(value_type = String, format = "uuid")]
    university_id: UniversityId,
    #[schema(value_type = String, format = "uuid")]
    invoice_id: InvoiceId,
    /// Minor units.
    amount: i64,
    amount_refunded: i64,
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    currency: Currency,
    payment_method: Option<String>,
    stripe_payment_intent_id: Option<String>,
    #[schema(value_type = crate::openapi::PaymentStatus)]
    status: PaymentStatus,
    #[schema(value_type = Option<String>, format = DateTime)]
    disputed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    paid_at: Timestamp,
}

impl PaymentView {
    pub(crate) fn of(payment: Payment) -> Self {
        Self {
            id: payment.id,
            university_id: payment.university_id,
            invoice_id: payment.invoice_id,
            amount: payment.amount.amount,
            amount_refunded: payment.amount_refunded,
            currency: payment.amount.currency,
            payment_method: payment.method,
            stripe_payment_intent_id: payment.stripe_payment_intent_id,
            status: payment.status,
            disputed_at: payment.disputed_at,
            paid_at: payment.paid_at,
        }
    }
}

/// What a request with a key is answered, now and on every repeat.
pub(crate) fn of(
    status: StatusCode,
    location: String,
    version: Version,
    view: &impl Serialize,
) -> Answer {
    Answer {
        status: status.as_u16(),
        location,
        etag: etag::of(version.get()),
        body: serde_json::to_string(view).expect("a view holds nothing that JSON cannot"),
    }
}

pub(crate) fn repeated(answer: Answer) -> Response {
    let headers = [
        (header::LOCATION, answer.location),
        (header::ETAG, answer.etag),
        (header::CONTENT_TYPE, "application/json".to_owned()),
    ];
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CREATED);
    (status, headers, answer.body).into_response()
}

/// One entity.
pub(crate) fn one(version: Version, view: impl Serialize) -> Response {
    ([(header::ETAG, etag::of(version.get()))], Json(view)).into_response()
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

/// A report of a month.
#[derive(Serialize, ToSchema)]
#[schema(as = Report, example = json!({
    "id": "01900000-0000-7000-8000-000000000005",
    "month": "2026-01",
    "state": "pending",
    "url": null,
    "expires_at": null,
    "requested_at": "2026-02-01T09:00:00Z",
    "requested_by": "admin-1",
}))]
pub(crate) struct ReportView {
    #[schema(value_type = String, format = "uuid")]
    id: ReportId,
    #[schema(value_type = String, pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Month,
    /// `pending`, or `ready` to be fetched.
    #[schema(pattern = "^(pending|ready)$")]
    state: &'static str,
    #[schema(format = "uri")]
    url: Option<String>,
    /// Until when the URL is good; the report is good for longer.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    requested_by: String,
}

impl ReportView {
    pub(crate) fn of(id: ReportId, request: &ReportRequest, url: Option<SignedUrl>) -> Self {
        let (url, expires_at) = url.map(|url| (url.url, url.expires_at)).unzip();
        Self {
            id,
            month: request.month,
            state: if url.is_some() { "ready" } else { "pending" },
            url,
            expires_at,
            requested_at: request.requested_at,
            requested_by: request.requested_by.clone(),
        }
    }
}
