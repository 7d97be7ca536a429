//! Rate, 5 minutes: relays what the stream did not.
//!
//! Promise: an event never waits in the outbox for longer than until the next run.
//!
//! On a retry: what was relayed and noted is not there any more; what was relayed and not noted
//! goes to the bus again, and consumers know it by its id.

use bitflow_portal::error::PortalError;
use bitflow_portal::relay::Relay;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::metrics;
use bitflow_store::outbox::Outbox;
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[config::OUTBOX_TABLE, config::EVENT_BUS_NAME];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    relay: Relay,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let relay = Relay {
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            bus: aws_sdk_eventbridge::Client::new(config.aws()),
            bus_name: config.text(config::EVENT_BUS_NAME).to_owned(),
        };
        Self { relay }
    }
}

/// Relays what waits.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    let events = cx.relay.sweep(scheduled_at, clock::now()).await?;
    metrics::job_items(events);
    tracing::info!(target: "bitflow::outcome", events, "outbox swept");
    Ok(())
}
