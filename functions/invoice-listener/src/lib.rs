//! SQS: one subscription of the monthly run → its invoice for each month that is due (contract
//! section 6.1, `GenerateMonthlyInvoicesJob`).
//!
//! Promise: one invoice for a subscription and a month, at Stripe and in our books, with the
//! `InvoiceGenerated` that tells of it. What Stripe bills by itself is written down, never billed
//! again.
//!
//! On a retry: the subscription's own period says what is billed; an invoice that was made and not
//! written down is found by its idempotency keys, later by its metadata.

use bitflow_portal::billing::due::InvoiceDue;
use bitflow_portal::billing::ledger::Ledger;
use bitflow_portal::billing::monthly::{MonthlyBilling, correlation};
use bitflow_portal::customers::Customers;
use bitflow_portal::listen::ListenError;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::metrics;
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::idempotency::IdempotencyKeys;
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
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
];

/// How long it is known when an invoice was first tried: longer than a message can come back from
/// the dead letters.
const ATTEMPTS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    billing: MonthlyBilling,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let attempts = config.table("idempotency_keys");
        let ledger = Ledger::new(dynamo.clone(), |kind| config.table(kind));
        let stripe = Client::new(
            config.url(config::STRIPE_API_BASE),
            config.secret(config::STRIPE_SECRET),
        );
        let billing = MonthlyBilling {
            attempts: IdempotencyKeys::new(&dynamo, attempts, ATTEMPTS_ARE_KEPT),
            customers: Customers {
                universities: ledger.universities.clone(),
                stripe,
                dynamo,
            },
            ledger,
        };
        Self { billing }
    }
}

/// Handles one subscription.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let due = InvoiceDue::from_json(message.body)?;
    sqs::correlate(&correlation(&due));
    let invoices = cx.billing.bill(&due, clock::now()).await?;
    metrics::invoices_billed(invoices);
    tracing::info!(
        target: "bitflow::outcome",
        university_id = %due.university_id,
        subscription_id = %due.subscription_id,
        month = %due.month,
        invoices,
        "subscription billed",
    );
    Ok(())
}
