//! DynamoDB streams: in order, retried, bisected, and passed over at last.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Feeds, Filter, Verdict, verdict};
use crate::aws::sqs::queue::NewMessage;
use crate::lambda::{FunctionError, InvokeOutput};
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
    /// After how many writes the stream was last read to its end.
    read_after: Mutex<Option<u64>>,
    /// When a batch that failed is tried again.
    again_at: Mutex<Option<Timestamp>>,
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
            read_after: Mutex::default(),
            again_at: Mutex::default(),
            storage,
        })
    }

    /// Records that wait, or may.
    pub(super) fn pending(&self) -> Option<Pending> {
        let table = &self.source.table;
        if let Some(at) = *self.again_at.lock().expect("no holder panics") {
            let what = format!("stream of {table}: a batch to be tried again");
            return Some(Pending::Later(at, what));
        }
        let writes = *self.feeds.dynamodb.writes(table)?.borrow();
        let read_after = *self.read_after.lock().expect("no holder panics");
        (read_after != Some(writes.started))
            .then(|| Pending::Now(format!("stream of {table}: not read to its end")))
    }

    pub(super) async fn run(self: Arc<Self>, mut paused: watch::Receiver<BTreeSet<String>>) {
        let table = &self.source.table;
        let Some(mut writes) = self.feeds.dynamodb.writes(table) else {
            tracing::error!(table, "the table has no stream");
            return;
        };
        loop {
            let goes = |paused: &BTreeSet<String>| !paused.contains(&self.function);
            if paused.wait_for(goes).await.is_err() {
                return;
            }
            let ended = writes.borrow_and_update().ended;
            let after = self.after();
            let batch = self.source.batch_size;
            let read = self
                .feeds
                .dynamodb
                .stream_records(table, after.as_deref(), batch);
            match read {
                Ok(records) if records.is_empty() => {
                    *self.read_after.lock().expect("no holder panics") = Some(ended);
                    self.feeds.progress.touch();
                    if writes.changed().await.is_err() {
                        return;
                    }
                }
                Ok(records) => self.handle(records).await,
                Err(error) => {
                    tracing::error!(function = self.function, %error, "a stream cannot be read");
                    tokio::time::sleep(Duration::from_secs(1)).await;
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
            let mut last_error = None;
            let verdict = match self.feeds.lambda.invoke(&self.function, payload).await {
                Ok(output) => {
                    let verdict = verdict(&output, reports, &known);
                    last_error = Some(output);
                    verdict
                }
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
                self.pass_over(&rest, tried + 1, last_error.as_ref());
            } else {
                let pause = Duration::from_secs(1 << tried.min(6));
                let again_at = self.feeds.clock.now() + pause;
                self.wait_until(Some(again_at));
                self.feeds.clock.sleep_until(again_at).await;
                self.wait_until(None);
                batches.push((rest, tried + 1));
            }
        }
        self.advance(last);
    }

    /// Tells the on-failure destination what was passed over, in the shape that Lambda documents.
    fn pass_over(&self, records: &[Value], invokes: u32, last: Option<&InvokeOutput>) {
        tracing::warn!(
            function = self.function,
            records = records.len(),
            "records were passed over"
        );
        let Some(queue) = &self.source.on_failure_queue else {
            return;
        };
        let first_record = records.first().cloned().unwrap_or_default();
        let arrived = |record: Option<&Value>| {
            let seconds =
                record.and_then(|it| it["dynamodb"]["ApproximateCreationDateTime"].as_f64());
            seconds
                .and_then(|seconds| {
                    Timestamp::from_duration(SignedDuration::from_secs_f64(seconds)).ok()
                })
                .map(|at| at.to_string())
        };
        let error = last
            .and_then(|output| output.function_error)
            .map(|error| match error {
                FunctionError::Handled => "Handled",
                FunctionError::Unhandled => "Unhandled",
            });
        let body = json!({
            "requestContext": {
                "requestId": last.map(|output| &output.request_id),
                "functionArn": self.feeds.lambda.arn(&self.function),
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": invokes,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": error,
            },
            "version": "1.0",
            "timestamp": self.feeds.clock.now().to_string(),
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000000000000000000-00000000",
                "startSequenceNumber": records.first().map(sequence_number),
                "endSequenceNumber": records.last().map(sequence_number),
                "approximateArrivalOfFirstRecord": arrived(records.first()),
                "approximateArrivalOfLastRecord": arrived(records.last()),
                "batchSize": records.len(),
                "streamArn": first_record["eventSourceARN"],
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

    fn wait_until(&self, again_at: Option<Timestamp>) {
        *self.again_at.lock().expect("no holder panics") = again_at;
        self.feeds.progress.touch();
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
