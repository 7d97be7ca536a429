//! DynamoDB streams: in order, retried, bisected, and passed over at last.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Feeds, Filter, Verdict, verdict};
use crate::aws::sqs::queue::NewMessage;
use crate::progress::Pending;
use crate::storage::Storage;
use crate::template::model::StreamSource;

/// Reads one table's stream for one function.
pub(super) struct StreamPoller {
    function: String,
    source: StreamSource,
    filter: Filter,
    feeds: Feeds,
    position: Mutex<Position>,
    storage: Storage,
}

/// How far the stream is handled.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    sequence_number: Option<String>,
}

impl StreamPoller {
    pub(super) fn new(
        function: &str,
        source: &StreamSource,
        filter: Filter,
        feeds: Feeds,
        storage: Storage,
    ) -> std::io::Result<Self> {
        let mut position: Position = storage.load()?;
        if position.sequence_number.is_none() && !source.from_horizon {
            let records = feeds
                .dynamodb
                .stream_records(&source.table, None, usize::MAX);
            position.sequence_number = records
                .unwrap_or_default()
                .last()
                .map(|record| sequence_number(record).to_owned());
        }
        Ok(Self {
            function: function.to_owned(),
            source: source.clone(),
            filter,
            feeds,
            position: Mutex::new(position),
            storage,
        })
    }

    /// Records that wait.
    pub(super) fn pending(&self) -> Option<Pending> {
        let after = self.after();
        let waiting =
            self.feeds
                .dynamodb
                .stream_records(&self.source.table, after.as_deref(), 1000);
        let count = waiting.map_or(0, |records| records.len());
        let table = &self.source.table;
        (count > 0).then(|| Pending::Now(format!("stream of {table}: {count} records")))
    }

    pub(super) async fn run(self: Arc<Self>) {
        let mut changes = self.feeds.dynamodb.changes();
        loop {
            changes.borrow_and_update();
            let after = self.after();
            let read = self.feeds.dynamodb.stream_records(
                &self.source.table,
                after.as_deref(),
                self.source.batch_size,
            );
            match read {
                Ok(records) if records.is_empty() => {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Ok(records) => self.handle(records).await,
                Err(error) => {
                    tracing::error!(function = self.function, %error, "a stream cannot be read");
                    return;
                }
            }
        }
    }

    /// Handles records in order, until each is done or passed over.
    async fn handle(&self, records: Vec<Value>) {
        let last = records
            .last()
            .map(|record| sequence_number(record).to_owned());
        let taken: Vec<Value> = records
            .into_iter()
            .filter(|record| self.filter.takes(record))
            .collect();
        let mut batches = vec![(taken, 0)];
        while let Some((batch, tried)) = batches.pop() {
            if batch.is_empty() {
                continue;
            }
            let payload = Bytes::from(json!({ "Records": batch }).to_string());
            let known: Vec<&str> = batch.iter().map(sequence_number).collect();
            let reports = self.source.report_batch_item_failures;
            let verdict = match self.feeds.lambda.invoke(&self.function, payload).await {
                Ok(output) => verdict(&output, reports, &known),
                Err(error) => {
                    tracing::error!(function = self.function, %error, "a batch was not handled");
                    Verdict::Failed
                }
            };
            let failed_from = match &verdict {
                Verdict::Done => continue,
                Verdict::Failed => 0,
                // The lowest sequence number is the checkpoint.
                Verdict::Except(ids) => known
                    .iter()
                    .position(|id| ids.iter().any(|it| it == id))
                    .unwrap_or(0),
            };
            let rest = batch[failed_from..].to_vec();
            let exhausted = self
                .source
                .maximum_retry_attempts
                .is_some_and(|most| tried >= most);
            if self.source.bisect_on_error && rest.len() > 1 {
                // Halves keep the count of tries: bisecting is not trying again.
                let (left, right) = rest.split_at(rest.len() / 2);
                batches.push((right.to_vec(), tried));
                batches.push((left.to_vec(), tried));
            } else if exhausted {
                self.pass_over(&rest);
            } else {
                let pause = Duration::from_secs(1 << tried.min(6));
                let now = self.feeds.clock.now();
                self.feeds.clock.sleep_until(now + pause).await;
                batches.push((rest, tried + 1));
            }
        }
        self.advance(last);
    }

    /// Tells the on-failure destination what was passed over.
    fn pass_over(&self, records: &[Value]) {
        tracing::warn!(
            function = self.function,
            records = records.len(),
            "records were passed over"
        );
        let Some(queue) = &self.source.on_failure_queue else {
            return;
        };
        let first = records.first().map(sequence_number).unwrap_or_default();
        let last = records.last().map(sequence_number).unwrap_or_default();
        let body = json!({
            "requestContext": {
                "functionArn": self.function,
                "condition": "RetryAttemptsExhausted",
            },
            "version": "1.0",
            "timestamp": self.feeds.clock.now().to_string(),
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000000000000000000-00000000",
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "batchSize": records.len(),
                "streamArn": records.first().map(|record| record["eventSourceARN"].clone()),
            },
        });
        let message = NewMessage {
            body: body.to_string(),
            ..NewMessage::default()
        };
        if let Err(error) = self.feeds.sqs.send(queue, message) {
            tracing::error!(queue, %error, "the on-failure destination did not take a record");
        }
    }

    fn after(&self) -> Option<String> {
        self.position
            .lock()
            .expect("no holder panics")
            .sequence_number
            .clone()
    }

    fn advance(&self, sequence_number: Option<String>) {
        let position = Position { sequence_number };
        if let Err(error) = self.storage.save(&position) {
            tracing::error!(function = self.function, %error, "a stream's position was not saved");
        }
        *self.position.lock().expect("no holder panics") = position;
        self.feeds.progress.touch();
    }
}

fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"]
        .as_str()
        .unwrap_or_default()
}
