//! Cron, daily at 02:00 UTC: one message for each university whose files are to be measured
//! (contract section 6.1, `SyncStorageUsageJob`).
//!
//! Promise: when the run ends well, every university that was active all the while has its message, at
//! least one. The list is read page by page, by name, while it changes: one that is created, restored
//! or renamed meanwhile may be passed over, or sent two, and the next day's run begins anew.
//!
//! On a retry: the run goes on after its last whole page, and sends the page at which it died again. A
//! university that is measured twice is measured. Once it is through, another run for the same day
//! does nothing; a run that fails on after its retries is left as it is, and nobody makes up for it
//! until the next day's.

use bitflow_portal::enqueue::Queue;
use bitflow_portal::error::PortalError;
use bitflow_portal::usage::due::{self, Dispatcher};
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::{job, metrics};
use bitflow_store::job_runs::JobRuns;
use bitflow_store::universities::Universities;
use jiff::Timestamp;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::JOB_RUNS_TABLE,
    config::STORAGE_USAGE_QUEUE_URL,
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
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            runs: JobRuns::new(
                &dynamo,
                config.text(config::JOB_RUNS_TABLE),
                "sync-storage-usage-job",
            ),
            queue: Queue::new(
                aws_sdk_sqs::Client::new(config.aws()),
                config.text(config::STORAGE_USAGE_QUEUE_URL),
            ),
        };
        Self { dispatcher }
    }
}

/// Sends the messages of the day of `scheduled_at`.
pub async fn handle(cx: &Cx, scheduled_at: Timestamp) -> Result<(), PortalError> {
    job::correlate(&due::correlation(scheduled_at));
    let universities = cx.dispatcher.dispatch(scheduled_at).await?;
    metrics::job_items(universities);
    tracing::info!(target: "bitflow::outcome", universities, "storage measurements dispatched");
    Ok(())
}
