//! SQS standard queues: [`queue`] is one queue's rules, [`moves`] redrives dead letters, [`wire`] is
//! the JSON protocol.

mod moves;
pub mod queue;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::aws::Identity;
use crate::clock::Clock;
use crate::console::recorder::Recorder;
use crate::progress::{Pending, Progress};
use crate::storage::Storage;
use crate::template::model;
use queue::{Message, NewMessage, Queue};

pub use wire::serve;
pub(crate) use wire::system_attributes;

/// All queues of the stack; a cheap handle.
#[derive(Debug, Clone)]
pub struct Sqs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queues: Mutex<BTreeMap<String, Queue>>,
    /// Told when there may be a message to receive, by queue: so that each wakes its own pollers.
    news: BTreeMap<String, watch::Sender<()>>,
    /// Locked before the queues, never after.
    moves: Mutex<Vec<moves::Task>>,
    identity: Identity,
    clock: Clock,
    progress: Progress,
    storage: Storage,
    recorder: Recorder,
}

/// A call could not be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqsError {
    /// `QueueDoesNotExist`.
    #[error("the specified queue does not exist: {0}")]
    NoQueue(String),
    /// `ReceiptHandleIsInvalid`.
    #[error("the receipt handle is not valid")]
    ReceiptHandle,
    /// `ResourceNotFoundException`, with what is not there.
    #[error("{0}")]
    NotFound(&'static str),
    /// `InvalidParameterValue` or `InvalidMessageContents`, with what is wrong.
    #[error("{0}")]
    Invalid(String),
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// To be received now.
    pub visible: usize,
    /// Received, not deleted, their visibility timeout running.
    pub in_flight: usize,
    /// Sent with a delay that is not over.
    pub delayed: usize,
}

impl Sqs {
    /// The queues of the template, with the messages they were left with.
    pub fn new(
        queues: &[model::Queue],
        identity: Identity,
        clock: Clock,
        progress: Progress,
        storage: Storage,
        recorder: Recorder,
    ) -> std::io::Result<Self> {
        let mut kept: BTreeMap<String, Vec<Message>> = storage.load()?;
        for (queue, message) in kept
            .iter()
            .flat_map(|(queue, all)| all.iter().map(move |it| (queue, it)))
        {
            recorder.sent(queue, message);
        }
        let news = queues
            .iter()
            .map(|declared| (declared.name.clone(), watch::Sender::default()));
        let news = news.collect();
        let queues = queues
            .iter()
            .map(|declared| {
                let messages = kept.remove(&declared.name).unwrap_or_default();
                (
                    declared.name.clone(),
                    Queue::new(declared.clone(), messages),
                )
            })
            .collect();
        let inner = Inner {
            queues: Mutex::new(queues),
            news,
            moves: Mutex::default(),
            identity,
            clock,
            progress,
            storage,
            recorder,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Puts a message into a queue; its id.
    pub fn send(&self, queue: &str, message: NewMessage) -> Result<Message, SqsError> {
        let now = self.inner.clock.now();
        let sent = self.with(queue, |in_it| {
            let sent = in_it.send(message, now)?;
            // Before anybody can receive it.
            self.inner.recorder.sent(queue, &sent);
            Ok(sent)
        })?;
        self.tell(queue);
        sent
    }

    /// Up to `most` messages, which are then invisible for `visibility` (the queue's own by
    /// default). Without any, waits for up to `wait`.
    pub async fn receive(
        &self,
        queue: &str,
        most: usize,
        visibility: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<Message>, SqsError> {
        let deadline = tokio::time::Instant::now() + wait;
        let unknown = || SqsError::NoQueue(queue.to_owned());
        let mut news = self.inner.news.get(queue).ok_or_else(unknown)?.subscribe();
        loop {
            news.borrow_and_update();
            let now = self.inner.clock.now();
            let (received, dead) =
                self.with(queue, |queue| queue.receive(most, visibility, now))?;
            for (target, message) in dead {
                let from = self.arn(queue);
                self.inner.recorder.given_up(&target, &message);
                self.with(&target, |queue| queue.take_in(message, from, now))?;
                self.tell(&target);
            }
            if !received.is_empty() || wait.is_zero() {
                self.inner.progress.touch();
                return Ok(received);
            }
            let next = self.with(queue, |queue| queue.next_change(now))?;
            tokio::select! {
                _ = news.changed() => {}
                () = until(&self.inner.clock, next) => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    /// Deletes a received message. Again is fine.
    pub fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), SqsError> {
        self.with(queue, |queue| queue.delete(receipt_handle))??;
        self.inner.progress.touch();
        Ok(())
    }

    /// Deletes a received message whose receipt is still good, as a poller of the stack does.
    pub fn done(&self, queue: &str, message: &Message) -> Result<(), SqsError> {
        self.inner.recorder.deleted(message);
        let handle = message.receipt_handle.as_deref().unwrap_or_default();
        self.delete(queue, handle)
    }

    /// Nobody works on a received message any more: it is left to its visibility timeout.
    pub fn let_go(&self, queue: &str, receipt_handle: &str) -> Result<(), SqsError> {
        self.with(queue, |queue| queue.let_go(receipt_handle))?;
        self.inner.progress.touch();
        Ok(())
    }

    /// Makes a received message visible again after `timeout`.
    pub fn change_visibility(
        &self,
        queue: &str,
        receipt_handle: &str,
        timeout: Duration,
    ) -> Result<(), SqsError> {
        let now = self.inner.clock.now();
        self.with(queue, |queue| {
            queue.change_visibility(receipt_handle, timeout, now)
        })??;
        self.tell(queue);
        Ok(())
    }

    /// Deletes all messages of a queue.
    pub fn purge(&self, queue: &str) -> Result<(), SqsError> {
        self.with(queue, Queue::purge)?;
        self.inner.progress.touch();
        Ok(())
    }

    /// How many messages a queue holds.
    pub fn depth(&self, queue: &str) -> Result<Depth, SqsError> {
        let now = self.inner.clock.now();
        self.with(queue, |queue| queue.depth(now))
    }

    /// The messages of a queue, left where they are.
    pub fn peek(&self, queue: &str) -> Result<Vec<Message>, SqsError> {
        self.with(queue, |queue| queue.messages().cloned().collect())
    }

    /// What is still to be handled in the queues that something reads. What lies in a dead-letter
    /// queue stays there; see [`dead_letters`](Self::dead_letters).
    pub fn pending(&self) -> Vec<Pending> {
        let now = self.inner.clock.now();
        let mut pending = self.moving();
        let queues = self.lock();
        let dead = dead_letter_queues(&queues);
        for (name, queue) in queues.iter().filter(|(name, _)| !dead.contains(*name)) {
            let Depth {
                visible,
                in_flight,
                delayed,
            } = queue.depth(now);
            let held = queue.messages().filter(|message| message.held).count();
            if visible + held > 0 {
                let what = format!("queue {name}: {visible} visible, {held} being handled");
                pending.push(Pending::Now(what));
            } else if let Some(at) = queue.next_change(now) {
                let what = format!("queue {name}: {in_flight} in flight, {delayed} delayed");
                pending.push(Pending::Later(at, what));
            }
        }
        pending
    }

    /// The bodies in every dead-letter queue that has any.
    pub fn dead_letters(&self) -> Vec<(String, Vec<String>)> {
        let queues = self.lock();
        let dead = dead_letter_queues(&queues);
        dead.into_iter()
            .filter_map(|name| {
                let bodies: Vec<_> = queues
                    .get(&name)?
                    .messages()
                    .map(|m| m.body.clone())
                    .collect();
                (!bodies.is_empty()).then_some((name, bodies))
            })
            .collect()
    }

    /// A queue's ARN.
    pub fn arn(&self, queue: &str) -> String {
        let Identity {
            region, account, ..
        } = &self.inner.identity;
        format!("arn:aws:sqs:{region}:{account}:{queue}")
    }

    /// A queue's URL.
    pub fn url(&self, queue: &str) -> String {
        let Identity {
            aws_url, account, ..
        } = &self.inner.identity;
        format!("{aws_url}/{account}/{queue}")
    }

    /// The queue that a URL (or a bare name) names.
    pub fn name_in(url: &str) -> &str {
        url.rsplit('/').next().unwrap_or(url)
    }

    /// Keeps what the queues hold.
    pub fn save(&self) -> std::io::Result<()> {
        let messages: BTreeMap<String, Vec<Message>> = self
            .lock()
            .iter()
            .map(|(name, queue)| (name.clone(), queue.messages().cloned().collect()))
            .collect();
        self.inner.storage.save(&messages)
    }

    /// There may be a message to receive.
    fn tell(&self, queue: &str) {
        if let Some(news) = self.inner.news.get(queue) {
            news.send_replace(());
        }
        self.inner.progress.touch();
    }

    fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn with<T>(&self, queue: &str, act: impl FnOnce(&mut Queue) -> T) -> Result<T, SqsError> {
        let mut queues = self.lock();
        let queue = queues
            .get_mut(queue)
            .ok_or_else(|| SqsError::NoQueue(queue.to_owned()))?;
        Ok(act(queue))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.inner.queues.lock().expect("no holder panics")
    }
}

/// Queues that others redrive to, and queues that nothing redrives: both only keep.
fn dead_letter_queues(queues: &BTreeMap<String, Queue>) -> Vec<String> {
    queues
        .iter()
        .filter(|(_, queue)| queue.declared().redrive.is_none())
        .map(|(name, _)| name.clone())
        .collect()
}

async fn until(clock: &Clock, when: Option<Timestamp>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}
