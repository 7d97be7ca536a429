//! SQS queues: batches, partial failures, and visibility left to the queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Feeds, Filter, Verdict, verdict};
use crate::aws::sqs::queue::Message;
use crate::aws::sqs::system_attributes;
use crate::template::model::SqsSource;

/// Invocations of one mapping at a time where the template sets no `MaximumConcurrency`; with
/// one, how many there are before another waits a moment for more messages.
const AT_FIRST: usize = 2;

/// How long that moment is: a few messages then share an invocation, and those of a slow one do not
/// hold up the rest.
const MOMENT: Duration = Duration::from_millis(50);

/// Starts the poller of one mapping.
pub(super) fn start(
    function: &str,
    source: &SqsSource,
    filter: Filter,
    feeds: &Feeds,
    paused: &watch::Sender<BTreeSet<String>>,
) -> JoinHandle<()> {
    let poller = Arc::new(Poller {
        function: function.to_owned(),
        source: source.clone(),
        filter,
        feeds: feeds.clone(),
    });
    tokio::spawn(poller.run(paused.subscribe()))
}

struct Poller {
    function: String,
    source: SqsSource,
    filter: Filter,
    feeds: Feeds,
}

impl Poller {
    /// Receives a batch at a time, and has up to `MaximumConcurrency` of them handled at once.
    async fn run(self: Arc<Self>, mut paused: watch::Receiver<BTreeSet<String>>) {
        let queue = &self.source.queue;
        let most = self
            .source
            .maximum_concurrency
            .map_or(AT_FIRST, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut running = JoinSet::new();
        loop {
            while running.try_join_next().is_some() {}
            if running.len() >= most {
                running.join_next().await;
            } else if running.len() >= AT_FIRST {
                // Either way, there is room for another.
                let _ = tokio::time::timeout(MOMENT, running.join_next()).await;
            }
            let goes = |paused: &BTreeSet<String>| !paused.contains(&self.function);
            if paused.wait_for(goes).await.is_err() {
                return;
            }
            let wait = Duration::from_secs(20);
            let batch = self.source.batch_size;
            let received = tokio::select! {
                biased;
                changed = paused.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                received = self.feeds.sqs.receive(queue, batch, None, wait) => received,
            };
            match received {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => drop(running.spawn(self.clone().take(messages))),
                Err(error) => {
                    tracing::error!(queue, %error, "a queue cannot be polled");
                    return;
                }
            }
        }
    }

    async fn take(self: Arc<Self>, messages: Vec<Message>) {
        let handles: Vec<_> = messages
            .iter()
            .filter_map(|message| message.receipt_handle.clone())
            .collect();
        self.handle(messages).await;
        for handle in handles {
            // What was deleted is not there any more.
            let _ = self.feeds.sqs.let_go(&self.source.queue, &handle);
        }
    }

    async fn handle(&self, messages: Vec<Message>) {
        let records: Vec<(Message, Value)> = messages
            .into_iter()
            .map(|message| self.record(message))
            .collect();
        let (taken, dropped): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|(_, record)| self.filter.takes(&filterable(record)));
        for (message, _) in &dropped {
            self.delete(message);
        }
        if taken.is_empty() {
            return;
        }
        let records: Vec<&Value> = taken.iter().map(|(_, record)| record).collect();
        let payload = Bytes::from(json!({ "Records": records }).to_string());
        let output = match self.feeds.lambda.invoke(&self.function, payload).await {
            Ok(output) => output,
            Err(error) => {
                tracing::error!(function = self.function, %error, "a batch was not handled");
                return;
            }
        };
        let ids: Vec<&str> = taken
            .iter()
            .map(|(message, _)| message.message_id.as_str())
            .collect();
        // What failed stays invisible until its timeout, as with Lambda.
        match verdict(&output, self.source.report_batch_item_failures, &ids) {
            Verdict::Done => taken.iter().for_each(|(message, _)| self.delete(message)),
            Verdict::Except(failed) => taken
                .iter()
                .filter(|(message, _)| !failed.contains(&message.message_id))
                .for_each(|(message, _)| self.delete(message)),
            Verdict::Failed => {
                tracing::warn!(
                    function = self.function,
                    messages = taken.len(),
                    "a batch failed"
                );
            }
        }
    }

    fn delete(&self, message: &Message) {
        if let Err(error) = self.feeds.sqs.done(&self.source.queue, message) {
            tracing::error!(queue = self.source.queue, %error, "a message was not deleted");
        }
    }

    /// The message as a Lambda event has it.
    fn record(&self, message: Message) -> (Message, Value) {
        let attributes: serde_json::Map<String, Value> = system_attributes(&message)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let message_attributes: serde_json::Map<String, Value> = message
            .attributes
            .iter()
            .map(|(name, attribute)| {
                let value = json!({
                    "dataType": attribute.data_type,
                    "stringValue": attribute.string_value,
                    "binaryValue": attribute.binary_value,
                    "stringListValues": [],
                    "binaryListValues": [],
                });
                (name.clone(), value)
            })
            .collect();
        let arn = self.feeds.sqs.arn(&self.source.queue);
        let region = arn.split(':').nth(3).unwrap_or_default().to_owned();
        let record = json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": message_attributes,
            "md5OfBody": message.body_md5(),
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": region,
        });
        (message, record)
    }
}

/// A filter sees a body that is JSON as JSON.
fn filterable(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(body) = record["body"]
        .as_str()
        .and_then(|body| serde_json::from_str(body).ok())
    {
        record["body"] = body;
    }
    record
}
