//! SQS: one report that was asked for → a CSV file of a month's invoices and payments.
//!
//! Promise: a report that was asked for is made.
//!
//! On a retry: it is made again, as the same file.

use bitflow_portal::billing::month_report::{ReportDue, ReportWriter};
use bitflow_portal::listen::ListenError;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::files::Files;
use bitflow_store::invoices::Invoices;
use bitflow_store::payments::Payments;
use bitflow_store::universities::Universities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::FILES_BUCKET,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    writer: ReportWriter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let s3 = aws_sdk_s3::Client::new(config.aws());
        let writer = ReportWriter {
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            invoices: Invoices::new(&dynamo, config.text(config::INVOICES_TABLE)),
            payments: Payments::new(&dynamo, config.text(config::PAYMENTS_TABLE)),
            files: Files::new(&s3, config.text(config::FILES_BUCKET)),
        };
        Self { writer }
    }
}

/// Makes one report.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let due = ReportDue::from_json(message.body)?;
    sqs::correlate(&format!("report-{}", due.report_id));
    let rows = cx.writer.write(&due).await?;
    tracing::info!(
        target: "bitflow::outcome",
        report_id = %due.report_id,
        month = %due.month,
        rows,
        "report written",
    );
    Ok(())
}
