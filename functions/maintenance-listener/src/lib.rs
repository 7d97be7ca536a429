//! SQS: maintenance that is scheduled is announced to each active university, and what is not
//! delivered yet of maintenance that is cancelled is dropped (contract section 3.2).
//!
//! Promise: each university that is active gets one delivery and one `MaintenanceAnnounced`, which
//! has it mailed and delivered.
//!
//! On a retry: what was announced is known by its deliveries, and passed over.

use bitflow_events::envelope::Context;
use bitflow_events::payload::Payload;
use bitflow_portal::listen::{self, ListenError};
use bitflow_portal::maintenance::announce::{Announced, Announcer};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::deliveries::Deliveries;
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::universities::Universities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::NOTIFICATIONS_TABLE,
    config::DELIVERIES_TABLE,
    config::UNIVERSITIES_TABLE,
    config::OUTBOX_TABLE,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    announcer: Announcer,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let announcer = Announcer {
            notifications: Notifications::new(&dynamo, config.text(config::NOTIFICATIONS_TABLE)),
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            deliveries: Deliveries::new(&dynamo, config.text(config::DELIVERIES_TABLE)),
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            dynamo,
        };
        Self { announcer }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    let now = clock::now();
    match &event.payload {
        Payload::MaintenanceScheduled(scheduled) => {
            let id = scheduled.notification_id;
            let context = Context {
                actor: event.actor,
                correlation_id: event.correlation_id,
            };
            match cx.announcer.announce(id, &context, now).await? {
                Announced::To(universities) => tracing::info!(
                    target: "bitflow::outcome",
                    notification_id = %id,
                    universities,
                    "maintenance announced",
                ),
                Announced::Cancelled => tracing::info!(
                    target: "bitflow::outcome",
                    notification_id = %id,
                    "the notification was cancelled",
                ),
                Announced::Before => tracing::info!(
                    target: "bitflow::outcome",
                    notification_id = %id,
                    "the notification was announced before",
                ),
            }
        }
        Payload::MaintenanceCancelled(cancelled) => {
            let id = cancelled.notification_id;
            let dropped = cx.announcer.drop_pending(id, now).await?;
            tracing::info!(
                target: "bitflow::outcome",
                notification_id = %id,
                dropped,
                "deliveries dropped",
            );
        }
        other => {
            return Err(ListenError::Unexpected { kind: other.kind() });
        }
    }
    Ok(())
}
