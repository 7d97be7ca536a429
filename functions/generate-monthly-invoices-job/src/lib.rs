//! Cron, the 1st at 00:00 UTC: one message for each subscription that is to be billed (contract
//! section 6.1, `GenerateMonthlyInvoicesJob`).
//!
//! Promise: every subscription that is active when the run begins gets its message, whatever dies.
//!
//! On a retry: the run goes on after its last whole page; once it is through, another run for the
//! same month does nothing. A message that is sent twice bills nothing twice.

use bitflow_portal::billing::due::{self, Dispatcher};
use bitflow_portal::enqueue::Queue;
use bitflow_portal::error::PortalError;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::{job, metrics};
use bitflow_store::job_runs::JobRuns;
use bitflow_store::subscriptions::Subscriptions;
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::SUBSCRIPTIONS_TABLE,
    config::JOB_RUNS_TABLE,
    config::INVOICE_QUEUE_URL,
];

/// What every run shares.
#[derive(Debug)]
pub struct Cx {
    dispatcher: Dispatcher,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first run.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let dispatcher = Dispatcher {
            subscriptions: Subscriptions::new(&dynamo, config.text(config::SUBSCRIPTIONS_TABLE)),
            runs: JobRuns::new(
                &dynamo,
                config.text(config::JOB_RUNS_TABLE),
                "generate-monthly-invoices-job",
            ),
            queue: Queue::new(
                aws_sdk_sqs::Client::new(config.aws()),
                config.text(config::INVOICE_QUEUE_URL),
            ),
        };
        Self { dispatcher }
    }
}

/// Sends the messages of the month of `scheduled_at`.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    job::correlate(&due::correlation(scheduled_at));
    let subscriptions = cx.dispatcher.dispatch(scheduled_at).await?;
    metrics::job_items(subscriptions);
    tracing::info!(target: "bitflow::outcome", subscriptions, "monthly invoices dispatched");
    Ok(())
}
