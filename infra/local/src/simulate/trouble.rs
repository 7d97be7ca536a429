//! What is broken on purpose, and counted: processes that die, vendors and tables that fail.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;

use super::plan::{Blow, BlowKind, Run};
use crate::simulators::{sendgrid, stripe};
use crate::stack::Stack;

/// How often a job that died is run again.
const PATIENCE: u32 = 10;

/// A stack that is tampered with.
pub(super) struct Tampered<'a> {
    pub(super) stack: &'a Stack,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl<'a> Tampered<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self {
            stack,
            counts: Mutex::default(),
        }
    }

    /// One more of this.
    pub(super) fn count(&self, what: &str) {
        let mut counts = self.counts.lock().expect("no holder panics");
        *counts.entry(what.to_owned()).or_default() += 1;
    }

    /// How many there were of each.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().expect("no holder panics").clone()
    }

    /// Kills a function once the stack has changed so many times.
    pub(super) async fn kill_after(&self, function: &str, after: usize) {
        self.changes(after).await;
        self.kill(function).await;
    }

    async fn changes(&self, count: usize) {
        let mut changes = self.stack.changes();
        for _ in 0..count {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn kill(&self, function: &str) {
        self.count(&format!("{function} killed"));
        if let Err(error) = self.stack.lambda.kill(function).await {
            tracing::warn!(function, %error, "nothing was killed");
        }
    }

    /// Does something, and the other beside it for as long as that takes.
    pub(super) async fn beside<T>(
        &self,
        done: impl Future<Output = T>,
        beside: impl Future<Output = ()>,
    ) -> T {
        let forever = async {
            beside.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = done => done,
            () = forever => unreachable!("it does not end"),
        }
    }

    /// Runs a job as its schedule would, until it ends well.
    pub(super) async fn fire(&self, job: &str, at: Timestamp, run: Run) -> Result<(), String> {
        let fire = || self.until_well(job, at);
        match run {
            Run::Once => fire().await,
            Run::Twice => {
                self.count("jobs run twice at once");
                let (first, second) = tokio::join!(fire(), fire());
                first.and(second)
            }
            Run::Killed { after } => self.beside(fire(), self.kill_after(job, after)).await,
        }
    }

    async fn until_well(&self, job: &str, at: Timestamp) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..PATIENCE {
            let output = self.stack.scheduler.fire(job, at).await;
            let output = output.map_err(|error| format!("{job} of {at}: {error}"))?;
            if output.function_error.is_none() {
                return Ok(());
            }
            self.count("jobs run again");
            last = format!("{job} of {at} failed: {}", output.log_tail);
        }
        Err(last)
    }

    /// Waits until nothing is going on any more, while blows fall.
    pub(super) async fn drain(&self, blows: Vec<Blow>) -> Result<(), String> {
        let fall = async {
            for blow in blows {
                self.changes(blow.after).await;
                self.strike(blow.kind).await;
            }
        };
        self.beside(self.settle(), fall).await?;
        // Events that wait for others that do not come.
        self.stack.stripe.flush_disturbed();
        self.settle().await
    }

    async fn settle(&self) -> Result<(), String> {
        let settled = self.stack.settle().await;
        settled.map_err(|pending| format!("the stack did not come to rest: {pending:?}"))
    }

    async fn strike(&self, blow: BlowKind) {
        let stack = self.stack;
        match blow {
            BlowKind::Kill(function) => return self.kill(function).await,
            BlowKind::Stripe {
                status,
                after_effect,
            } => stack.stripe.fail_next(stripe::Failure {
                status,
                after_effect,
                ..stripe::Failure::default()
            }),
            BlowKind::SendGrid {
                status,
                after_effect,
            } => {
                if after_effect {
                    self.count(UNANSWERED_MAILS);
                }
                stack.sendgrid.fail_next(sendgrid::Failure {
                    status,
                    after_effect,
                });
            }
            BlowKind::DynamoDb(count) => stack.dynamodb.refuse_next(count),
        }
        self.count(&format!("{} fails", blow.hits()));
    }
}

/// Mails that SendGrid took and did not confirm: each may come twice.
pub(super) const UNANSWERED_MAILS: &str = "mails taken without an answer";
