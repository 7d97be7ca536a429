//! SQS: one university of the daily run → what its files with us come to (contract section 6.1,
//! `SyncStorageUsageJob`).
//!
//! Promise: what is measured is on the university, and where it thereby comes near its quota,
//! `StorageQuotaExceeded` is raised with it, once. A logo that its university has not named for a
//! day is removed.
//!
//! On a retry: it is measured again; what is known already is not written.

use bitflow_portal::listen::ListenError;
use bitflow_portal::usage::Usage;
use bitflow_portal::usage::due::MeasurementDue;
use bitflow_portal::usage::measure::Measuring;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::files::Files;
use bitflow_store::outbox::Outbox;
use bitflow_store::universities::Universities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::OUTBOX_TABLE,
    config::FILES_BUCKET,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    measuring: Measuring,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let s3 = aws_sdk_s3::Client::new(config.aws());
        let measuring = Measuring {
            files: Files::new(&s3, config.text(config::FILES_BUCKET)),
            usage: Usage {
                universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
                outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
                dynamo,
            },
        };
        Self { measuring }
    }
}

/// Measures one university.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let due = MeasurementDue::from_json(message.body)?;
    sqs::correlate(&due.correlation());
    let seen = cx.measuring.measure(&due, clock::now()).await?;
    tracing::info!(
        target: "bitflow::outcome",
        university_id = %due.university_id,
        files = seen.files,
        bytes = seen.bytes,
        swept = seen.swept,
        "storage measured",
    );
    Ok(())
}
