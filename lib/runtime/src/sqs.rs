//! SQS batches. Each message succeeds or fails on its own: a failure, or a panic, gives back that
//! message and no other (`ReportBatchItemFailures`).

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bitflow_fault::Fault;
use bitflow_trace::Trace;
use futures_util::FutureExt;
use futures_util::future::join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{Instrument, Level};

use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::outcome::{gather, level_of, line, ms};
use crate::start::{invocation, start};
use crate::{clock, metrics};

/// One message, as the handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The id SQS gave it.
    pub id: &'a str,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// What was sent.
    pub body: &'a str,
}

/// Runs a function that handles SQS messages: `handle` once for each, several at a time.
pub fn run<C, E: Fault>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    handle: impl AsyncFn(&C, Message<'_>) -> Result<(), E>,
) -> ExitCode {
    start(variables, new, async |cx| {
        let (cx, handle) = (&cx, &handle);
        lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
            let answer = answer(cx, event.payload, handle);
            invocation(&event.context, answer).await
        }))
        .await
    })
}

/// What one invocation with `payload` answers.
///
/// # Errors
/// What is no event of SQS. A message that fails is no error: the answer names it, and it comes
/// again.
pub async fn answer<C, E: Fault>(
    cx: &C,
    payload: Value,
    handle: &impl AsyncFn(&C, Message<'_>) -> Result<(), E>,
) -> Result<Answer, lambda_runtime::Error> {
    let event = read(payload)?;
    Ok(batch(cx, event, handle).await)
}

/// Adds the request that began it all to every log line of the current message.
pub fn correlate(correlation_id: &(impl Display + ?Sized)) {
    tracing::Span::current().record("correlation_id", tracing::field::display(correlation_id));
}

/// Handles a batch, and says which messages failed.
async fn batch<C, E: Fault>(
    cx: &C,
    event: Event,
    handle: &impl AsyncFn(&C, Message<'_>) -> Result<(), E>,
) -> Answer {
    let outcomes = join_all(event.records.iter().map(|record| {
        let message = Message {
            id: &record.message_id,
            receive_count: record.attributes.approximate_receive_count.parse().unwrap_or(1),
            body: &record.body,
        };
        let span = tracing::info_span!(
            target: "bitflow",
            "message",
            message_id = message.id,
            receive_count = message.receive_count,
            correlation_id = tracing::field::Empty,
        );
        let one = async move {
            let started = Instant::now();
            let handled = AssertUnwindSafe(Box::pin(handle(cx, message))).catch_unwind();
            let handled = handled.await;
            let age = record.attributes.age();
            if let Some(age) = age {
                metrics::message_age(age);
            }
            let (duration_ms, age_ms) = (ms(started.elapsed()), age.map(ms));
            match handled {
                Ok(Ok(())) => {
                    line!(Level::INFO, class = "done", duration_ms, age_ms, "message handled");
                    return None;
                }
                Ok(Err(error)) => {
                    let (class, error) = (error.class(), chain(&error));
                    if class.is_transient() {
                        line!(level_of(class), %class, error, duration_ms, age_ms, "the message is given back, to be tried again");
                    } else {
                        line!(level_of(class), %class, error, duration_ms, age_ms, "the message failed and is given back");
                    }
                }
                Err(_) => {
                    let (class, error) = ("broken", "the handler panicked");
                    line!(Level::ERROR, class, error, duration_ms, age_ms, "the message failed and is given back");
                }
            }
            Some(message.id.to_owned())
        };
        // Of the message's own trace, where it has one: a batch brings those of many.
        bitflow_trace::within(record.attributes.trace(), gather(one).instrument(span))
    }))
    .await;
    let failures = outcomes.into_iter().flatten();
    Answer {
        batch_item_failures: failures
            .map(|id| Failure {
                item_identifier: id,
            })
            .collect(),
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes {
    approximate_receive_count: String,
    sent_timestamp: String,
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Option<String>,
}

impl Attributes {
    /// How long ago the message was sent.
    fn age(&self) -> Option<Duration> {
        let sent_ms: i64 = self.sent_timestamp.parse().ok()?;
        let age_ms = clock::now().as_millisecond().saturating_sub(sent_ms);
        // SQS's clock may be a little ahead.
        Some(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }

    fn trace(&self) -> Option<Trace> {
        self.trace_header.as_deref().and_then(Trace::parse)
    }
}

/// Which messages failed, as Lambda wants to be told.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

#[cfg(test)]
mod tests {
    use bitflow_fault::Class;
    use serde_json::json;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no")]
    struct No;

    impl Fault for No {
        fn class(&self) -> Class {
            Class::Busy
        }
    }

    async fn obey((): &(), message: Message<'_>) -> Result<(), No> {
        match message.body {
            "fail" => Err(No),
            "panic" => panic!("as told"),
            body => {
                assert_eq!(body, format!("ok {}", message.receive_count));
                Ok(())
            }
        }
    }

    async fn check(records: serde_json::Value, expect: serde_json::Value) {
        let event = serde_json::from_value(json!({ "Records": records })).unwrap();
        let answer = batch(&(), event, &obey).await;
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({ "batchItemFailures": expect })
        );
    }

    #[tokio::test]
    async fn a_failure_or_a_panic_gives_back_its_own_message_only() {
        let record = |id: &str, body: &str| json!({ "messageId": id, "body": body, "attributes": { "ApproximateReceiveCount": "2" } });
        check(json!([record("1", "ok 2")]), json!([])).await;
        check(
            json!([
                record("1", "fail"),
                record("2", "ok 2"),
                record("3", "panic"),
                record("4", "ok 2")
            ]),
            json!([{ "itemIdentifier": "1" }, { "itemIdentifier": "3" }]),
        )
        .await;
    }
}
