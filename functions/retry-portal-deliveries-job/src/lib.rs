//! Cron, every five minutes: asks for the deliveries to portals that are due (again).
//!
//! Promise: a delivery that waits longer than a message can, or whose try died, is tried once it is
//! due, five minutes late at most.
//!
//! On a retry: what was asked for twice is tried once.

use bitflow_portal::enqueue::Queue;
use bitflow_portal::error::PortalError;
use bitflow_portal::maintenance::due::DueTries;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::metrics;
use bitflow_store::deliveries::Deliveries;
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[config::DELIVERIES_TABLE, config::PORTAL_DELIVERY_QUEUE_URL];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    tries: DueTries,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let tries = DueTries {
            deliveries: Deliveries::new(&dynamo, config.text(config::DELIVERIES_TABLE)),
            queue: Queue::new(
                aws_sdk_sqs::Client::new(config.aws()),
                config.text(config::PORTAL_DELIVERY_QUEUE_URL),
            ),
        };
        Self { tries }
    }
}

/// Asks for what is due at `scheduled_at`.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    let deliveries = cx.tries.run(scheduled_at).await?;
    metrics::job_items(deliveries);
    tracing::info!(target: "bitflow::outcome", deliveries, "due deliveries asked for");
    Ok(())
}
