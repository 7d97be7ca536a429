//! Message move tasks: what redrives dead letters.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>
//!
//! Without a rate a task has moved everything when it is answered; with one it takes its time.
//! Messages that somebody has received stay: a task is a receiver like others.

use std::collections::BTreeSet;
use std::sync::MutexGuard;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Sqs, SqsError};
use crate::progress::Pending;

/// Highest rate, messages a second.
const MOST_A_SECOND: u64 = 500;

/// Tasks of a queue that are listed, at most.
const MOST_LISTED: u64 = 10;

/// One task, under way or ended.
#[derive(Debug)]
pub(super) struct Task {
    id: String,
    source: String,
    destination: Option<String>,
    rate: Option<u64>,
    to_move: usize,
    moved: usize,
    status: Status,
    started_at: Timestamp,
    /// When it goes on.
    next_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Running,
    Completed,
    Cancelled,
    Failed(&'static str),
}

impl Sqs {
    /// Starts to move the messages of a dead-letter queue: to `destination_arn`, or each to the
    /// queue that gave it up. The task's handle.
    pub fn start_move(
        &self,
        source_arn: &str,
        destination_arn: Option<&str>,
        rate: Option<u64>,
    ) -> Result<String, SqsError> {
        const NO_DESTINATION: &str =
            "The resource that you specified for the DestinationArn parameter doesn't exist.";
        let invalid = |reason: &str| Err(SqsError::Invalid(reason.to_owned()));
        let source = self.named(source_arn, NO_SOURCE)?;
        let destination = destination_arn.map(|arn| self.named(arn, NO_DESTINATION));
        let destination = destination.transpose()?;
        if !self.is_dead_letter_queue(&source) {
            return invalid("Source queue must be configured as a Dead Letter Queue.");
        }
        if destination.as_ref() == Some(&source) {
            return invalid("Source queue arn and destination queue arn cannot be the same.");
        }
        if rate.is_some_and(|rate| !(1..=MOST_A_SECOND).contains(&rate)) {
            return invalid(
                "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.",
            );
        }
        let mut tasks = self.tasks();
        let is_running = |task: &Task| task.source == source && task.status == Status::Running;
        if tasks.iter().any(is_running) {
            return invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            );
        }
        let now = self.inner.clock.now();
        let id = Uuid::new_v4().to_string();
        tasks.push(Task {
            id: id.clone(),
            to_move: self.depth(&source)?.visible,
            source,
            destination,
            rate,
            moved: 0,
            status: Status::Running,
            started_at: now,
            next_at: now,
        });
        drop(tasks);
        if self.step(&id) {
            let (this, id) = (self.clone(), id.clone());
            tokio::spawn(async move { this.go_on(&id).await });
        }
        Ok(handle(&id, source_arn))
    }

    /// The last tasks that moved from a queue, newest first.
    pub fn moves_of(&self, source_arn: &str, most: u64) -> Result<Vec<Value>, SqsError> {
        let source = self.named(source_arn, NO_SOURCE)?;
        if !(1..=MOST_LISTED).contains(&most) {
            let reason = "Value for parameter MaxResults is invalid. Reason: Must be from 1 to 10.";
            return Err(SqsError::Invalid(reason.to_owned()));
        }
        let tasks = self.tasks();
        let of_source = tasks.iter().rev().filter(|task| task.source == source);
        let most = usize::try_from(most).unwrap_or(1);
        Ok(of_source.take(most).map(|task| self.shown(task)).collect())
    }

    /// Ends a task that is under way; how many messages it has moved, which stay moved.
    pub fn cancel_move(&self, task_handle: &str) -> Result<usize, SqsError> {
        let invalid = || SqsError::Invalid("Value for parameter TaskHandle is invalid.".to_owned());
        let handle = BASE64.decode(task_handle).map_err(|_| invalid())?;
        let handle: Value = serde_json::from_slice(&handle).map_err(|_| invalid())?;
        let part = |name: &str| handle[name].as_str().ok_or_else(invalid);
        self.named(part("sourceArn")?, NO_SOURCE)?;
        let id = part("taskId")?;
        let mut tasks = self.tasks();
        let task = tasks.iter_mut().find(|task| task.id == id);
        let task = task.ok_or(SqsError::NotFound("Task does not exist."))?;
        if task.status != Status::Running {
            let reason = "Only a task that is RUNNING can be cancelled.";
            return Err(SqsError::Invalid(reason.to_owned()));
        }
        task.status = Status::Cancelled;
        let moved = task.moved;
        drop(tasks);
        self.inner.progress.touch();
        Ok(moved)
    }

    /// Tasks under way.
    pub(super) fn moving(&self) -> Vec<Pending> {
        let tasks = self.tasks();
        let running = tasks.iter().filter(|task| task.status == Status::Running);
        running
            .map(|task| Pending::Later(task.next_at, format!("moving from {}", task.source)))
            .collect()
    }

    /// Every second as many messages as the rate allows.
    async fn go_on(&self, id: &str) {
        loop {
            let next = self
                .tasks()
                .iter()
                .find(|task| task.id == id)
                .map(|it| it.next_at);
            let Some(next) = next else { return };
            self.inner.clock.sleep_until(next).await;
            if !self.step(id) {
                return;
            }
        }
    }

    /// Moves what may be moved now; whether there is more to do later.
    fn step(&self, id: &str) -> bool {
        let now = self.inner.clock.now();
        let queues: BTreeSet<String> = self.names().into_iter().collect();
        let mut tasks = self.tasks();
        let running = |task: &&mut Task| task.id == id && task.status == Status::Running;
        let Some(task) = tasks.iter_mut().find(running) else {
            return false;
        };
        let to = |message: &super::queue::Message| {
            let arn = message.dead_letter_source_arn.as_deref();
            let given_up_in = arn.map(|arn| name_of(arn).to_owned());
            let to = task.destination.clone().or(given_up_in);
            to.filter(|name| queues.contains(name))
        };
        let left = task.to_move.saturating_sub(task.moved);
        let most = task.rate.and_then(|rate| usize::try_from(rate).ok());
        let most = most.map_or(left, |rate| rate.min(left));
        let given = self.with(&task.source, |queue| {
            queue.give_away(most, now, |message| to(message).is_some())
        });
        let (given, stopped) = given.unwrap_or_default();
        let mut told = BTreeSet::new();
        let moved = given.len();
        for message in given {
            let (Some(name), old) = (to(&message), message.message_id.clone()) else {
                continue;
            };
            let taken = self.with(&name, |queue| {
                let taken = queue.take_redriven(message, now);
                self.inner.recorder.redriven(&old, &name, &taken);
            });
            if taken.is_ok() {
                told.insert(name);
            }
        }
        task.moved += moved;
        task.next_at = now + Duration::from_secs(1);
        if stopped {
            // It was sent there: nobody knows where from.
            task.status = Status::Failed("CouldNotDetermineMessageSource");
        } else if moved < most || task.moved >= task.to_move {
            task.status = Status::Completed;
        }
        let goes_on = task.status == Status::Running;
        drop(tasks);
        for queue in told {
            self.tell(&queue);
        }
        self.inner.progress.touch();
        goes_on
    }

    fn shown(&self, task: &Task) -> Value {
        let mut shown = json!({
            "SourceArn": self.arn(&task.source),
            "ApproximateNumberOfMessagesMoved": task.moved,
            "ApproximateNumberOfMessagesToMove": task.to_move,
            "StartedTimestamp": task.started_at.as_millisecond(),
            "Status": match task.status {
                Status::Running => "RUNNING",
                Status::Completed => "COMPLETED",
                Status::Cancelled => "CANCELLED",
                Status::Failed(_) => "FAILED",
            },
        });
        if let Some(destination) = &task.destination {
            shown["DestinationArn"] = self.arn(destination).into();
        }
        if let Some(rate) = task.rate {
            shown["MaxNumberOfMessagesPerSecond"] = rate.into();
        }
        match task.status {
            Status::Running => {
                shown["TaskHandle"] = handle(&task.id, &self.arn(&task.source)).into();
            }
            Status::Failed(reason) => shown["FailureReason"] = reason.into(),
            Status::Completed | Status::Cancelled => {}
        }
        shown
    }

    /// The queue that an ARN names.
    fn named(&self, arn: &str, missing: &'static str) -> Result<String, SqsError> {
        let name = name_of(arn);
        let there = self.arn(name) == arn && self.lock().contains_key(name);
        let name = there.then(|| name.to_owned());
        name.ok_or(SqsError::NotFound(missing))
    }

    fn is_dead_letter_queue(&self, name: &str) -> bool {
        self.lock().values().any(|queue| {
            let redrive = queue.declared().redrive.as_ref();
            redrive.is_some_and(|it| it.dead_letter_queue == name)
        })
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.inner.moves.lock().expect("no holder panics")
    }
}

const NO_SOURCE: &str =
    "The resource that you specified for the SourceArn parameter doesn't exist.";

fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

fn handle(id: &str, source_arn: &str) -> String {
    BASE64.encode(json!({ "taskId": id, "sourceArn": source_arn }).to_string())
}
