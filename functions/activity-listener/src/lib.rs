//! SQS: one audit line for every event (contract section 2.1, `LogUniversityCreation`).
//!
//! Promise: the history of a university has each event, once.
//!
//! On a retry: the line's key is the event's id, so it is written over itself.

use bitflow_portal::audit;
use bitflow_portal::listen::{self, ListenError};
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::activities::Activities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[config::ACTIVITIES_TABLE];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    activities: Activities,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        Self {
            activities: Activities::new(&dynamo, config.text(config::ACTIVITIES_TABLE)),
        }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    audit::record(&cx.activities, &event).await?;
    tracing::info!(
        target: "bitflow::outcome",
        event_id = %event.event_id,
        event_type = event.payload.kind(),
        "activity recorded",
    );
    Ok(())
}
