//! Stream of `outbox`: puts each new event on the EventBridge bus, at least once.
//!
//! Promise: an event that was committed reaches the bus. What this function passes over
//! (after its retries) `sweep-outbox-job` relays.
//!
//! On a retry: events after the first that failed are put on the bus again; consumers know an
//! event they have handled by its id.

use bitflow_fault::{Class, Fault};
use bitflow_portal::error::PortalError;
use bitflow_portal::relay::Relay;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::stream::Record;
use bitflow_store::error::StoreError;
use bitflow_store::outbox::{Outbox, OutboxEvent};
use bitflow_trace::Trace;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[config::OUTBOX_TABLE, config::EVENT_BUS_NAME];

/// What every batch shares.
#[derive(Debug)]
pub struct Cx {
    relay: Relay,
}

/// A record was not relayed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It is not a row of the outbox.
    #[error("the stream record could not be read")]
    Record(#[source] StoreError),
    /// It did not reach the bus.
    #[error("the event was not relayed")]
    Relay(#[source] PortalError),
}

impl Fault for RelayError {
    fn class(&self) -> Class {
        match self {
            Self::Record(source) => source.class(),
            Self::Relay(source) => source.class(),
        }
    }
}

impl Cx {
    /// Clients and tables; nothing is connected before the first batch.
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

/// Relays a batch; a record that cannot be read fails alone.
pub async fn handle(cx: &Cx, records: &[Record]) -> Vec<Result<(), RelayError>> {
    let mut events = Vec::with_capacity(records.len());
    let read: Vec<Result<(), RelayError>> = records
        .iter()
        .map(|record| {
            let event = OutboxEvent::from_stream_image(record.new_image());
            let event = event.map_err(RelayError::Record)?;
            record.say("message", "event relayed");
            record.say("event_id", event.event_id.to_string());
            // A type is one word; a row that holds another text there is none of ours.
            let kind = event.detail_type.as_str();
            let is_word = kind.bytes().all(|it| it.is_ascii_alphabetic());
            record.say("event_type", is_word.then_some(kind));
            record.say("correlation_id", event.correlation_id());
            record.say("xray_trace_id", event.trace.as_ref().map(Trace::root));
            events.push(event);
            Ok(())
        })
        .collect();
    let mut relayed = cx.relay.relay(&events, clock::now()).await.into_iter();
    let outcomes = read.into_iter().map(|read| {
        read?;
        relayed.next().unwrap_or(Ok(())).map_err(RelayError::Relay)
    });
    outcomes.collect()
}
