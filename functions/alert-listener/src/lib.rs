//! SQS: raises the alert that follows from an event, where one does (contract section 2.2).
//!
//! Promise: one alert for each event that has one, or one more repeat of an alert that is new.
//!
//! On a retry: the inbox row, committed with the alert, makes the second delivery change nothing.

use bitflow_events::envelope::Context;
use bitflow_portal::alerts::{Alarm, Alerting, alarm_of};
use bitflow_portal::listen::{self, ListenError};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::alert_folds::AlertFolds;
use bitflow_store::alerts::Alerts;
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::ALERTS_TABLE,
    config::ALERT_FOLDS_TABLE,
    config::OUTBOX_TABLE,
    config::INBOX_TABLE,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    alerting: Alerting,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let alerting = Alerting {
            alerts: Alerts::new(&dynamo, config.text(config::ALERTS_TABLE)),
            folds: AlertFolds::new(&dynamo, config.text(config::ALERT_FOLDS_TABLE)),
            inbox: Inbox::new(&dynamo, config.text(config::INBOX_TABLE), "alert-listener"),
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            dynamo,
        };
        Self { alerting }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    let (event_id, event_type) = (event.event_id, event.payload.kind());
    let new = match alarm_of(&event) {
        Alarm::Is(new) => new,
        Alarm::None => {
            tracing::info!(target: "bitflow::outcome", %event_id, event_type, "the event raises no alert");
            return Ok(());
        }
        Alarm::NotOfThisListener => {
            return Err(ListenError::Unexpected { kind: event_type });
        }
    };
    let cause = event.event_id.to_string();
    let context = Context {
        actor: event.actor,
        correlation_id: event.correlation_id,
    };
    let raised = cx.alerting.raise(&new, &cause, &context, clock::now());
    if let Some(alert) = raised.await? {
        tracing::info!(
            target: "bitflow::outcome",
            %event_id,
            event_type,
            alert_id = %alert.id,
            alert_type = alert.kind.as_str(),
            count = alert.count,
            "alert raised",
        );
    } else {
        tracing::info!(target: "bitflow::outcome", %event_id, event_type, "the alert was raised before");
    }
    Ok(())
}
