//! Rate, 5 minutes: looks into every dead-letter queue, and alerts of each message that died.
//!
//! Why a look: an alarm on a queue's depth says how many, not what, why and what to do. Consuming
//! the messages would say that too, and leave nothing to redrive; so each is left where it is.
//!
//! Promise: one alert for each message that lies there, or one more repeat of an alert that is new.
//!
//! On a retry: the inbox row, committed with the alert, is that of the queue and the message, so
//! that what was alerted of is passed over. It outlives the message: 31 days against 14.

use bitflow_portal::alerts::Alerting;
use bitflow_portal::dead_letters::{CONSUMER, Watch};
use bitflow_portal::error::PortalError;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::metrics;
use bitflow_store::alert_folds::AlertFolds;
use bitflow_store::alerts::Alerts;
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::ALERTS_TABLE,
    config::ALERT_FOLDS_TABLE,
    config::OUTBOX_TABLE,
    config::INBOX_TABLE,
    config::DEAD_LETTER_QUEUE_URLS,
];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    watch: Watch,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let alerting = Alerting {
            alerts: Alerts::new(&dynamo, config.text(config::ALERTS_TABLE)),
            folds: AlertFolds::new(&dynamo, config.text(config::ALERT_FOLDS_TABLE)),
            inbox: Inbox::new(&dynamo, config.text(config::INBOX_TABLE), CONSUMER),
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            dynamo,
        };
        let queues = config.text(config::DEAD_LETTER_QUEUE_URLS).split(',');
        let watch = Watch {
            sqs: aws_sdk_sqs::Client::new(config.aws()),
            queues: queues.map(|url| url.trim().to_owned()).collect(),
            alerting,
        };
        Self { watch }
    }
}

/// Alerts of what died since the last run.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    let seen = cx.watch.run(scheduled_at).await?;
    metrics::job_items(seen.messages);
    tracing::info!(
        target: "bitflow::outcome",
        messages = seen.messages,
        alerted = seen.alerted,
        "dead-letter queues watched",
    );
    Ok(())
}
