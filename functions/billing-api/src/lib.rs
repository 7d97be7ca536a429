//! HTTP, admin JWT: subscribes universities, invoices them, and shows what they owe and paid, one by
//! one and as a report of a month (contract sections 1.1, 1.2).
//!
//! Promise: what is answered 201 is at Stripe and in our books, once, with the event that tells of
//! it. What Stripe refuses is answered 422 or 409 with Stripe's reason, and nothing is made.
//!
//! On a retry: a POST with the same `Idempotency-Key` completes what the first try began, wherever
//! that died, and is answered the same. Cancelling, voiding twice is cancelling, voiding once.

mod answer;
mod invoices;
pub mod openapi;
mod payments;
mod reports;
mod subscriptions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::billing::admin::AdminBilling;
use bitflow_portal::billing::ledger::Ledger;
use bitflow_portal::billing::month_report::ReportDesk;
use bitflow_portal::customers::Customers;
use bitflow_portal::enqueue::Queue;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::list::Wanted;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_store::files::Files;
use bitflow_store::idempotency::IdempotencyKeys;
use bitflow_store::page::PageRequest;
use bitflow_store::rate_limits::RateLimits;
use bitflow_stripe::api::Client;
use jiff::SignedDuration;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::SUBSCRIPTIONS_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::OUTBOX_TABLE,
    config::IDEMPOTENCY_KEYS_TABLE,
    config::FILES_BUCKET,
    config::REPORT_QUEUE_URL,
    config::RATE_LIMITS_TABLE,
    config::ADMIN_REQUESTS_PER_MINUTE,
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
];

/// How long a client may repeat a creation under its key.
const KEYS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

const READ: &str = "billing:read";
const WRITE: &str = "billing:write";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    billing: AdminBilling,
    keys: IdempotencyKeys,
    limiter: Limiter,
    reports: ReportDesk,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let keys = config.table("idempotency_keys");
        let ledger = Ledger::new(dynamo.clone(), |kind| config.table(kind));
        let stripe = Client::new(
            config.url(config::STRIPE_API_BASE),
            config.secret(config::STRIPE_SECRET),
        );
        let limits = RateLimits::new(&dynamo, config.table("rate_limits"));
        let limit = config.count(config::ADMIN_REQUESTS_PER_MINUTE);
        Self {
            reports: ReportDesk {
                files: Files::new(
                    &aws_sdk_s3::Client::new(config.aws()),
                    config.text(config::FILES_BUCKET),
                ),
                queue: Queue::new(
                    aws_sdk_sqs::Client::new(config.aws()),
                    config.text(config::REPORT_QUEUE_URL),
                ),
            },
            limiter: Limiter::new(limit, limits.counter()),
            keys: IdempotencyKeys::new(&dynamo, keys, KEYS_ARE_KEPT),
            billing: AdminBilling {
                customers: Customers {
                    universities: ledger.universities.clone(),
                    stripe,
                    dynamo,
                },
                ledger,
            },
        }
    }
}

/// How many requests an admin may make.
pub fn limiter(cx: &Cx) -> &Limiter {
    &cx.limiter
}

/// The routes, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    let university = "/api/admin/universities/{university_id}";
    let below = |path: &str| format!("{university}{path}");
    Router::new()
        .route(
            &below("/subscriptions"),
            get(subscriptions::list).post(subscriptions::create),
        )
        .route(
            &below("/subscriptions/{subscription_id}"),
            get(subscriptions::read).delete(subscriptions::cancel),
        )
        .route(
            &below("/invoices"),
            get(invoices::list).post(invoices::create),
        )
        .route(&below("/invoices/{invoice_id}"), get(invoices::read))
        .route(&below("/invoices/{invoice_id}/void"), post(invoices::void))
        .route(
            &below("/invoices/{invoice_id}/remind"),
            post(invoices::remind),
        )
        .route("/api/admin/invoices", get(invoices::by_status))
        .route("/api/admin/reports", post(reports::create))
        .route("/api/admin/reports/{report_id}", get(reports::read))
        .route(&below("/payments"), get(payments::list))
}

/// Who asks, for the events that follow.
fn context(admin: Admin, request: Requested) -> Context {
    Context {
        actor: Actor {
            kind: ActorKind::Admin,
            id: admin.subject,
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    }
}

/// What is not an id names nothing.
fn university(text: &str) -> Result<UniversityId, Problem> {
    UniversityId::parse(text).map_err(|_| Problem::missing("university"))
}

fn page(parameters: Parameters) -> Result<PageRequest, Problem> {
    let Wanted { limit, cursor } = parameters.finish_list()?;
    Ok(PageRequest { limit, cursor })
}
