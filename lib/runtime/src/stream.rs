//! DynamoDB stream records. The answer names the first record that failed: Lambda goes on from
//! there, so what comes after it in the same batch is seen again.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use bitflow_fault::Fault;
use futures_util::FutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::Level;

use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::outcome::{gathered, level_of, line, ms};
use crate::start::{invocation, start};

/// One change of a table, as the handler sees it.
#[derive(Debug, Deserialize)]
pub struct Record {
    dynamodb: Change,
    #[serde(skip)]
    said: Mutex<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    sequence_number: String,
    #[serde(default)]
    new_image: Value,
}

impl Record {
    /// The row after the change, in DynamoDB's JSON; null where it was removed.
    pub fn new_image(&self) -> &Value {
        &self.dynamodb.new_image
    }

    /// Adds a field to the line of this record's outcome; null adds nothing.
    pub fn say(&self, field: &'static str, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            let mut said = self.said.lock().expect("no holder panics");
            said.insert(field.to_owned(), value);
        }
    }
}

impl Record {
    /// Writes the line of its outcome, with what was said of it.
    fn end(&self, line: impl FnOnce(&str)) {
        let said = std::mem::take(&mut *self.said.lock().expect("no holder panics"));
        gathered(said, || line(&self.dynamodb.sequence_number));
    }
}

/// Runs a function that handles a table's stream: `handle` with all records of a batch, answering
/// one outcome for each, in order.
pub fn run<C, E: Fault>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    handle: impl AsyncFn(&C, &[Record]) -> Vec<Result<(), E>>,
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
/// What is no event of a table's stream. A record that fails is no error: the answer names it, and
/// the stream goes on from there.
pub async fn answer<C, E: Fault>(
    cx: &C,
    payload: Value,
    handle: &impl AsyncFn(&C, &[Record]) -> Vec<Result<(), E>>,
) -> Result<Answer, lambda_runtime::Error> {
    let event: Event = read(payload)?;
    Ok(batch(cx, &event.records, handle).await)
}

/// Handles a batch, and says where to go on from.
async fn batch<C, E: Fault>(
    cx: &C,
    records: &[Record],
    handle: &impl AsyncFn(&C, &[Record]) -> Vec<Result<(), E>>,
) -> Answer {
    let started = Instant::now();
    let handled = AssertUnwindSafe(Box::pin(handle(cx, records))).catch_unwind();
    let handled = handled.await;
    let duration_ms = ms(started.elapsed());
    let Ok(outcomes) = handled else {
        for record in records {
            let (class, error) = ("broken", "the handler panicked");
            record.end(|sequence_number| {
                line!(
                    Level::ERROR,
                    sequence_number,
                    class,
                    error,
                    duration_ms,
                    "the record failed and is given back"
                );
            });
        }
        return Answer::from(records.first());
    };
    debug_assert_eq!(outcomes.len(), records.len(), "one outcome for each record");
    let mut first = None;
    for (record, outcome) in records.iter().zip(outcomes) {
        record.end(|sequence_number| match &outcome {
            Ok(()) => {
                line!(Level::INFO, sequence_number, class = "done", duration_ms, "record handled");
            }
            Err(error) => {
                let (class, error) = (error.class(), chain(error));
                line!(level_of(class), sequence_number, %class, error, duration_ms, "the record failed and is given back");
            }
        });
        if outcome.is_err() {
            first = first.or(Some(record));
        }
    }
    Answer::from(first)
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

/// The first record that failed, as Lambda wants to be told.
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

impl From<Option<&Record>> for Answer {
    fn from(first_failed: Option<&Record>) -> Self {
        let failure = first_failed.map(|record| Failure {
            item_identifier: record.dynamodb.sequence_number.clone(),
        });
        Self {
            batch_item_failures: failure.into_iter().collect(),
        }
    }
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

    async fn obey((): &(), records: &[Record]) -> Vec<Result<(), No>> {
        records
            .iter()
            .map(|record| match record.new_image()["do"]["S"].as_str() {
                Some("fail") => Err(No),
                Some("panic") => panic!("as told"),
                _ => Ok(()),
            })
            .collect()
    }

    async fn check(told: &[&str], expect: serde_json::Value) {
        let records: Vec<_> = told
            .iter()
            .enumerate()
            .map(|(at, told)| {
                let change = json!({ "SequenceNumber": at.to_string(), "NewImage": { "do": { "S": told } } });
                json!({ "eventName": "INSERT", "dynamodb": change })
            })
            .collect();
        let event: Event = serde_json::from_value(json!({ "Records": records })).unwrap();
        let answer = batch(&(), &event.records, &obey).await;
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({ "batchItemFailures": expect })
        );
    }

    #[tokio::test]
    async fn the_answer_names_the_first_failure() {
        check(&["ok", "ok"], json!([])).await;
        check(
            &["ok", "fail", "ok", "fail"],
            json!([{ "itemIdentifier": "1" }]),
        )
        .await;
        check(&["ok", "panic"], json!([{ "itemIdentifier": "0" }])).await;
    }
}
