//! Event source mappings: what polls queues and streams and invokes functions.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>

mod sqs;
mod stream;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quamina::Quamina;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::eventbridge::pattern;
use crate::aws::sqs::Sqs;
use crate::clock::Clock;
use crate::lambda::{InvokeOutput, Lambda};
use crate::progress::{Pending, Progress};
use crate::storage::Storage;
use crate::template::model::{Model, Trigger};
use stream::StreamPoller;

/// The pollers of the stack; a cheap handle.
#[derive(Clone)]
pub struct Sources {
    streams: Vec<Arc<StreamPoller>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    paused: Arc<watch::Sender<BTreeSet<String>>>,
}

/// What the pollers read from and report to.
#[derive(Clone)]
pub struct Feeds {
    /// Invoked.
    pub lambda: Lambda,
    /// Queues.
    pub sqs: Sqs,
    /// Streams.
    pub dynamodb: DynamoDb,
    /// The stack's clock.
    pub clock: Clock,
    /// Told when a position moved.
    pub progress: Progress,
}

/// A mapping cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its filter cannot be matched.
    #[error("the filter of {function} is not one that the stack can match: {reason}")]
    Filter {
        /// The function.
        function: String,
        /// What is not known.
        reason: String,
    },
    /// Its position could not be read.
    #[error("the position of {function} in its stream could not be read")]
    Position {
        /// The function.
        function: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Starts a poller for every queue and stream that the template names.
pub fn start(
    model: &Model,
    feeds: &Feeds,
    storage: impl Fn(&str) -> Storage,
) -> Result<Sources, SourceError> {
    let (mut streams, mut tasks) = (Vec::new(), Vec::new());
    let paused = Arc::new(watch::Sender::default());
    for function in &model.functions {
        let name = &function.binary;
        let filter = |patterns: &[String]| {
            Filter::new(patterns).map_err(|reason| SourceError::Filter {
                function: name.clone(),
                reason,
            })
        };
        for trigger in &function.triggers {
            match trigger {
                Trigger::Sqs(source) => {
                    let filter = filter(&source.filters)?;
                    tasks.push(sqs::start(name, source, filter, feeds, &paused));
                }
                Trigger::Stream(source) => {
                    let filter = filter(&source.filters)?;
                    let storage = storage(&format!("stream-{name}"));
                    let position = |source| SourceError::Position {
                        function: name.clone(),
                        source,
                    };
                    let poller = StreamPoller::new(name, source, filter, feeds.clone(), storage)
                        .map_err(position)?;
                    let poller = Arc::new(poller);
                    tasks.push(tokio::spawn(poller.clone().run(paused.subscribe())));
                    streams.push(poller);
                }
                Trigger::Http(_) | Trigger::Schedule(_) => {}
            }
        }
    }
    Ok(Sources {
        streams,
        tasks: Arc::new(Mutex::new(tasks)),
        paused,
    })
}

impl Sources {
    /// Stream records that are not handled yet.
    pub fn pending(&self) -> Vec<Pending> {
        self.streams
            .iter()
            .filter_map(|stream| stream.pending())
            .collect()
    }

    /// Polls the queues and streams of a function no more, until [`resume`](Self::resume).
    pub fn pause(&self, function: &str) {
        self.paused.send_modify(|paused| {
            paused.insert(function.to_owned());
        });
    }

    /// Polls them again.
    pub fn resume(&self, function: &str) {
        self.paused.send_modify(|paused| {
            paused.remove(function);
        });
    }

    /// Stops polling.
    pub fn shutdown(&self) {
        for task in self.tasks.lock().expect("no holder panics").drain(..) {
            task.abort();
        }
    }
}

/// `FilterCriteria`: a record that matches none of the patterns is dropped.
struct Filter {
    patterns: Vec<Quamina<()>>,
}

impl Filter {
    fn new(patterns: &[String]) -> Result<Self, String> {
        let patterns = patterns
            .iter()
            .map(|json| pattern(json))
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    fn takes(&self, record: &Value) -> bool {
        let text = record.to_string();
        self.patterns.is_empty()
            || self
                .patterns
                .iter()
                .any(|pattern| pattern.has_matches(text.as_bytes()).unwrap_or(false))
    }
}

/// What a function said of a batch.
enum Verdict {
    /// All of it is done.
    Done,
    /// Done, but for these identifiers.
    Except(Vec<String>),
    /// None of it is done.
    Failed,
}

/// Reads a batch's answer as Lambda does: with `ReportBatchItemFailures` an empty answer is
/// success, and one that cannot be read, or names what was not in the batch, fails it all.
fn verdict(output: &InvokeOutput, reports: bool, known: &[&str]) -> Verdict {
    if output.function_error.is_some() {
        return Verdict::Failed;
    }
    if !reports {
        return Verdict::Done;
    }
    let Some(answer) = json(&output.payload) else {
        return Verdict::Failed;
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Verdict::Done,
        Some(Value::Array(failures)) => failures,
        Some(_) => return Verdict::Failed,
    };
    let mut failed = Vec::new();
    for failure in failures {
        match failure["itemIdentifier"].as_str() {
            Some(id) if known.contains(&id) => failed.push(id.to_owned()),
            _ => return Verdict::Failed,
        }
    }
    if failed.is_empty() {
        Verdict::Done
    } else {
        Verdict::Except(failed)
    }
}

fn json(payload: &Bytes) -> Option<Value> {
    if payload.is_empty() {
        Some(Value::Null)
    } else {
        serde_json::from_slice(payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::FunctionError;

    fn check(payload: &'static str, error: Option<FunctionError>, reports: bool, expect: &str) {
        let output = InvokeOutput {
            payload: Bytes::from_static(payload.as_bytes()),
            function_error: error,
            log_tail: String::new(),
            request_id: String::new(),
        };
        let seen = match verdict(&output, reports, &["1", "2"]) {
            Verdict::Done => "done".to_owned(),
            Verdict::Except(ids) => ids.join(","),
            Verdict::Failed => "failed".to_owned(),
        };
        assert_eq!(seen, expect, "{payload}");
    }

    #[test]
    fn answers_mean_what_lambda_says_they_mean() {
        check("null", None, true, "done");
        check("", None, true, "done");
        check("{}", None, true, "done");
        check(r#"{"batchItemFailures":[]}"#, None, true, "done");
        check(r#"{"batchItemFailures":null}"#, None, true, "done");
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#,
            None,
            true,
            "2",
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#,
            None,
            false,
            "done",
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"3"}]}"#,
            None,
            true,
            "failed",
        );
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            None,
            true,
            "failed",
        );
        check(r#"{"batchItemFailures":[{}]}"#, None, true, "failed");
        check(r#"{"batchItemFailures":{}}"#, None, true, "failed");
        check("not json", None, true, "failed");
        check("{}", Some(FunctionError::Handled), true, "failed");
    }
}
