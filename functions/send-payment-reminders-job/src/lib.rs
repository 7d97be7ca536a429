//! Cron, daily at 09:00 UTC: one `PaymentReminderDue` for each overdue invoice that reached a step
//! (contract section 6.1, `SendPaymentRemindersJob`).
//!
//! Promise: an invoice is reminded of once for each step, ever.
//!
//! On a retry: the step is on the invoice, in the transaction of the event; what was reminded of is
//! passed over.

use bitflow_domain::billing::reminder::ReminderSteps;
use bitflow_portal::billing::ledger::Ledger;
use bitflow_portal::billing::reminders::{self, Reminders};
use bitflow_portal::error::PortalError;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::{job, metrics};
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::SUBSCRIPTIONS_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::OUTBOX_TABLE,
    config::PAYMENT_REMINDER_DAYS,
];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    reminders: Reminders,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let reminders = Reminders {
            ledger: Ledger::new(dynamo, |kind| config.table(kind)),
            steps: ReminderSteps::new(config.days(config::PAYMENT_REMINDER_DAYS)),
        };
        Self { reminders }
    }
}

/// Reminds of what is overdue at `scheduled_at`.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    job::correlate(&reminders::correlation(scheduled_at));
    let invoices = cx.reminders.run(scheduled_at).await?;
    metrics::job_items(invoices);
    tracing::info!(target: "bitflow::outcome", invoices, "payment reminders raised");
    Ok(())
}
