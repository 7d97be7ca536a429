//! Cron, daily at 08:00 UTC: one `SubscriptionExpiring` for each subscription that ends soon
//! (contract section 1.3, "Subscription expiration warning").
//!
//! Promise: the end of a subscription is warned of once.
//!
//! On a retry: the warning is on the subscription, in the transaction of the event; what was warned
//! of is passed over.

use bitflow_portal::billing::expiry::{self, Expiry};
use bitflow_portal::billing::ledger::Ledger;
use bitflow_portal::error::PortalError;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::{job, metrics};
use jiff::{SignedDuration, Timestamp};

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::SUBSCRIPTIONS_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::OUTBOX_TABLE,
    config::SUBSCRIPTION_WARNING_DAYS,
];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    expiry: Expiry,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let days = config.day(config::SUBSCRIPTION_WARNING_DAYS);
        let expiry = Expiry {
            ledger: Ledger::new(dynamo, |kind| config.table(kind)),
            ahead: SignedDuration::from_hours(24 * i64::from(days)),
        };
        Self { expiry }
    }
}

/// Warns of what ends within the days after `scheduled_at`.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    job::correlate(&expiry::correlation(scheduled_at));
    let subscriptions = cx.expiry.run(scheduled_at).await?;
    metrics::job_items(subscriptions);
    tracing::info!(target: "bitflow::outcome", subscriptions, "expiring subscriptions warned of");
    Ok(())
}
