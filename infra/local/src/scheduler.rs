//! EventBridge Scheduler: rates and crons, in UTC.
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::aws::sqs::Sqs;
use crate::aws::sqs::queue::NewMessage;
use crate::clock::Clock;
use crate::lambda::{InvokeError, InvokeOutput, Lambda};
use crate::template::model::{Model, Schedule, Trigger};

/// The schedules of the stack; a cheap handle.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    schedules: Vec<(String, Schedule, Rhythm)>,
    lambda: Lambda,
    sqs: Sqs,
    clock: Clock,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// When a schedule is due.
#[derive(Debug, Clone)]
enum Rhythm {
    Rate(Duration),
    Cron(Box<Cron>),
}

/// A job that is scheduled.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its function.
    pub function: String,
    /// What the template says.
    pub expression: String,
    /// When a cron is due next.
    pub next_at: Option<Timestamp>,
}

/// A schedule cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{expression} of {function} is not a schedule: {reason}")]
pub struct ExpressionError {
    /// The function.
    pub function: String,
    /// What the template says.
    pub expression: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A job was not run.
#[derive(Debug, thiserror::Error)]
pub enum FireError {
    /// No schedule invokes that function.
    #[error("{0} has no schedule")]
    NoSchedule(String),
    /// It could not be invoked.
    #[error("{function} could not be invoked")]
    Invoke {
        /// The function.
        function: String,
        /// Why.
        #[source]
        source: InvokeError,
    },
}

impl Scheduler {
    /// Reads the template's schedules. Nothing is due before [`run`](Self::run).
    pub fn new(
        model: &Model,
        lambda: Lambda,
        sqs: Sqs,
        clock: Clock,
    ) -> Result<Self, ExpressionError> {
        let mut schedules = Vec::new();
        for function in &model.functions {
            for trigger in &function.triggers {
                let Trigger::Schedule(schedule) = trigger else {
                    continue;
                };
                let rhythm = rhythm(&schedule.expression).map_err(|reason| ExpressionError {
                    function: function.binary.clone(),
                    expression: schedule.expression.clone(),
                    reason,
                })?;
                schedules.push((function.binary.clone(), schedule.clone(), rhythm));
            }
        }
        let inner = Inner {
            schedules,
            lambda,
            sqs,
            clock,
            tasks: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Follows the schedules from now on.
    pub fn run(&self) {
        let mut tasks = self.inner.tasks.lock().expect("no holder panics");
        for at in 0..self.inner.schedules.len() {
            let this = self.clone();
            tasks.push(tokio::spawn(async move { this.follow(at).await }));
        }
    }

    /// What is scheduled, and when it is due next.
    pub fn jobs(&self) -> Vec<Job> {
        let now = self.inner.clock.now();
        let jobs = self.inner.schedules.iter();
        let jobs = jobs.map(|(function, schedule, rhythm)| Job {
            function: function.clone(),
            expression: schedule.expression.clone(),
            next_at: match rhythm {
                // It counts from when it was followed first.
                Rhythm::Rate(_) => None,
                Rhythm::Cron(_) => next(rhythm, now),
            },
        });
        jobs.collect()
    }

    /// Runs a job as if it were due at `at`; what its schedule would send.
    ///
    /// # Errors
    /// [`FireError::NoSchedule`]. That the job fails is none: it is in the answer.
    pub async fn fire(&self, function: &str, at: Timestamp) -> Result<InvokeOutput, FireError> {
        let found = self
            .inner
            .schedules
            .iter()
            .find(|(name, ..)| name == function);
        let (name, schedule, _) =
            found.ok_or_else(|| FireError::NoSchedule(function.to_owned()))?;
        self.inner
            .lambda
            .invoke(name, input(schedule, at))
            .await
            .map_err(|source| FireError::Invoke {
                function: name.clone(),
                source,
            })
    }

    /// Stops following.
    pub fn shutdown(&self) {
        for task in self.inner.tasks.lock().expect("no holder panics").drain(..) {
            task.abort();
        }
    }

    async fn follow(&self, at: usize) {
        let (function, schedule, rhythm) = &self.inner.schedules[at];
        let clock = &self.inner.clock;
        let mut last = clock.now();
        while let Some(due) = next(rhythm, last) {
            clock.sleep_until(due).await;
            last = due;
            // What fails after that is the function's to retry: the invocation is asynchronous.
            let input = input(schedule, due);
            if let Err(error) = self.inner.lambda.invoke_later(function, input) {
                tracing::warn!(function, %due, %error, "a scheduled run was not begun");
                self.give_up(function, schedule, due, &error);
            }
        }
    }

    /// Tells the schedule's dead-letter queue of a run that was not begun.
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html>
    fn give_up(&self, function: &str, schedule: &Schedule, due: Timestamp, error: &InvokeError) {
        let Some(queue) = &schedule.dead_letter_queue else {
            return;
        };
        let dead = NewMessage {
            body: String::from_utf8_lossy(&input(schedule, due)).into_owned(),
            ..NewMessage::default()
        }
        .with_texts([
            ("SCHEDULE_ARN", self.schedule_arn(function)),
            ("TARGET_ARN", self.inner.lambda.arn(function)),
            ("ERROR_CODE", "ResourceNotFoundException".to_owned()),
            ("ERROR_MESSAGE", error.to_string()),
            ("RETRY_ATTEMPTS", "0".to_owned()),
        ]);
        if let Err(error) = self.inner.sqs.send(queue, dead) {
            tracing::error!(queue, %error, "a scheduled run was lost");
        }
    }

    fn schedule_arn(&self, function: &str) -> String {
        let arn = self.inner.lambda.arn(function);
        let parts: Vec<&str> = arn.split(':').collect();
        let (region, account) = (parts.get(3), parts.get(4));
        let (region, account) = (region.unwrap_or(&""), account.unwrap_or(&""));
        format!("arn:aws:scheduler:{region}:{account}:schedule/default/{function}")
    }
}

/// The `Input`, with Scheduler's context attributes filled in.
pub(crate) fn input(schedule: &Schedule, at: Timestamp) -> Bytes {
    let input = schedule.input.as_deref().unwrap_or("{}");
    let execution = uuid::Uuid::new_v4().to_string();
    let filled = input
        .replace(
            "<aws.scheduler.scheduled-time>",
            &at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
        .replace("<aws.scheduler.execution-id>", &execution)
        .replace("<aws.scheduler.attempt-number>", "1");
    Bytes::from(filled)
}

fn rhythm(expression: &str) -> Result<Rhythm, String> {
    let inside = |name: &str| {
        expression
            .strip_prefix(name)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(rate) = inside("rate") {
        let (count, unit) = rate
            .split_once(' ')
            .ok_or("a rate is a number and a unit")?;
        let count: u64 = count.parse().map_err(|_| "a rate is a number and a unit")?;
        if count == 0 {
            return Err("a rate is positive".to_owned());
        }
        let seconds = match unit {
            "minute" | "minutes" => 60,
            "hour" | "hours" => 3600,
            "day" | "days" => 86_400,
            _ => return Err("the unit is minutes, hours or days".to_owned()),
        };
        return Ok(Rhythm::Rate(Duration::from_secs(count * seconds)));
    }
    let Some(cron) = inside("cron") else {
        return Err("it is neither rate(…) nor cron(…)".to_owned());
    };
    let fields: Vec<String> = cron
        .split_whitespace()
        .enumerate()
        .map(|(at, it)| steps(at, it))
        .collect();
    if fields.len() != 6 {
        return Err("a cron has six fields".to_owned());
    }
    if (fields[2] == "?") == (fields[4] == "?") {
        return Err("one of day-of-month and day-of-week is ?, the other is not".to_owned());
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        // AWS counts weekdays from 1, Sunday.
        .alternative_weekdays(true)
        .build();
    let cron = parser
        .parse(&format!("0 {}", fields.join(" ")))
        .map_err(|error| error.to_string())?;
    Ok(Rhythm::Cron(Box::new(cron)))
}

/// AWS writes `N/S` for "from N in steps of S"; the parser wants `N-max/S`.
fn steps(field: usize, text: &str) -> String {
    const MAX: [u32; 6] = [59, 23, 31, 12, 7, 2199];
    let parts = text.split(',').map(|part| match part.split_once('/') {
        Some((from, step)) if from.parse::<u32>().is_ok() => {
            format!(
                "{from}-{}/{step}",
                MAX.get(field).copied().unwrap_or_default()
            )
        }
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// The first time after `last`.
fn next(rhythm: &Rhythm, last: Timestamp) -> Option<Timestamp> {
    match rhythm {
        Rhythm::Rate(every) => last.checked_add(*every).ok(),
        Rhythm::Cron(cron) => {
            let from = chrono::DateTime::from_timestamp(last.as_second(), 0)?;
            let due = cron.find_next_occurrence(&from, false).ok()?;
            Timestamp::from_second(due.timestamp()).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, from: &str, expect: &str) {
        let rhythm = rhythm(expression).unwrap_or_else(|reason| panic!("{expression}: {reason}"));
        let due = next(&rhythm, from.parse().unwrap()).unwrap();
        assert_eq!(due.to_string(), expect, "{expression}");
    }

    #[test]
    fn expressions_as_aws_reads_them() {
        check(
            "rate(5 minutes)",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:05:00Z",
        );
        check(
            "cron(0 0 1 * ? *)",
            "2026-01-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
        );
        check(
            "cron(0 2 * * ? *)",
            "2026-01-01T03:00:00Z",
            "2026-01-02T02:00:00Z",
        );
        check(
            "cron(0/15 * * * ? *)",
            "2026-01-01T00:01:00Z",
            "2026-01-01T00:15:00Z",
        );
        check(
            "cron(0 9 L * ? *)",
            "2026-02-01T00:00:00Z",
            "2026-02-28T09:00:00Z",
        );
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for wrong in [
            "every day",
            "rate(five minutes)",
            "rate(5 fortnights)",
            "cron(0 0 1 * ?)",
        ] {
            assert!(rhythm(wrong).is_err(), "{wrong}");
        }
    }
}
