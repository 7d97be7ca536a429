//! DynamoDB stream records. The answer names the first record that failed: Lambda goes on from
//! there, so what comes after it in the same batch is seen again.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use bitflow_fault::Fault;
use futures_util::FutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::start::start;

/// One change of a table, as the handler sees it.
#[derive(Debug, Deserialize)]
pub struct Record {
    dynamodb: Change,
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
        lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
            answer(cx, event.payload, handle)
        }))
        .await
    })
}

/// What one invocation with `payload` answers.
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
    let Ok(outcomes) = AssertUnwindSafe(Box::pin(handle(cx, records)))
        .catch_unwind()
        .await
    else {
        tracing::error!(target: "bitflow", "the handler panicked; the batch is given back");
        return Answer::from(records.first());
    };
    debug_assert_eq!(outcomes.len(), records.len(), "one outcome for each record");
    let mut first = None;
    for (record, outcome) in records.iter().zip(outcomes) {
        if let Err(error) = outcome {
            tracing::warn!(
                target: "bitflow",
                class = %error.class(),
                error = chain(&error),
                sequence_number = record.dynamodb.sequence_number,
                "the record failed and is given back",
            );
            first = first.or(Some(record));
        }
    }
    tracing::info!(target: "bitflow", records = records.len(), complete = first.is_none(), "batch handled");
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
