//! Dead letters that are to be handled again, now that their cause is removed.

use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;

use crate::stack::{Info, sqs};
use crate::template::model::{Model, Queue};

/// What a redrive did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// The dead-letter queue.
    pub from: String,
    /// The queue that its messages were given up in.
    pub to: String,
    /// How many were moved.
    pub messages: i64,
}

impl fmt::Display for Redriven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, messages } = self;
        let what = if *messages == 1 {
            "message"
        } else {
            "messages"
        };
        write!(f, "Moved {messages} {what} from {from} back to {to}.")
    }
}

/// Moves what lies in a dead-letter queue back to where it was given up. `name` is that of the one
/// queue or the other: as in the template, in full, or without the stack's name.
///
/// # Errors
/// Where no queue is meant by `name`, with the names of those there are; where a move is under way
/// already; and where it was ended, with how many messages were moved by then.
pub async fn run(info: &Info, model: &Model, name: &str) -> Result<Redriven, String> {
    let (to, from) = pair(model, name)?;
    let sqs = sqs(&info.aws, &info.aws_url);
    let identity = info.identity();
    let arn = format!(
        "arn:aws:sqs:{}:{}:{from}",
        identity.region, identity.account
    );
    let start = sqs.start_message_move_task().source_arn(&arn).send().await;
    start.map_err(|error| refused(&from, &error))?;
    loop {
        let tasks = sqs.list_message_move_tasks().source_arn(&arn).send().await;
        let tasks = tasks.map_err(|error| refused(&from, &error))?;
        let task = tasks.results().first();
        let task = task.ok_or_else(|| format!("{from}: the task is not known any more"))?;
        let messages = task.approximate_number_of_messages_moved();
        match task.status() {
            Some("RUNNING") => tokio::time::sleep(Duration::from_millis(200)).await,
            Some("COMPLETED") => return Ok(Redriven { from, to, messages }),
            _ => {
                let reason = task.failure_reason().unwrap_or("it was cancelled");
                return Err(format!("{from}: {reason}, after {messages} messages"));
            }
        }
    }
}

/// The queue that is meant, and its dead-letter queue.
fn pair(model: &Model, name: &str) -> Result<(String, String), String> {
    let is_it = |queue: &Queue| {
        let short = queue.name.split_once(crate::stack::STACK_NAME);
        let short = short.map(|(_, rest)| rest.trim_start_matches('-'));
        [&*queue.logical_id, &*queue.name].contains(&name) || short == Some(name)
    };
    let queues = || model.queues.iter();
    let pairs = queues().filter_map(|queue| {
        let dead = &queue.redrive.as_ref()?.dead_letter_queue;
        Some((queue, queues().find(|it| it.name == *dead)?))
    });
    let pairs: Vec<(&Queue, &Queue)> = pairs.collect();
    let found = pairs
        .iter()
        .find(|(queue, dead)| is_it(queue) || is_it(dead));
    if let Some((queue, dead)) = found {
        return Ok((queue.name.clone(), dead.name.clone()));
    }
    let why = if queues().any(is_it) {
        "no queue gives its messages up to"
    } else {
        "there is no queue"
    };
    let known: Vec<&str> = pairs.iter().map(|(queue, _)| &*queue.logical_id).collect();
    Err(format!("{why} {name}; known are {}", known.join(", ")))
}

fn refused(queue: &str, error: &impl ProvideErrorMetadata) -> String {
    let said = error.message().unwrap_or("the stack did not answer");
    format!("{queue}: {said}")
}
