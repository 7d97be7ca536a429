//! What lies in a dead-letter queue, told to the owner: [`death`] reads one message, [`Watch`] looks
//! into the queues and raises the alerts.

pub mod death;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::alerts::Alerting;
use crate::error::{PortalError, load};
use death::{DeadMessage, Death};

/// Under which name the inbox keeps what was alerted of, and who raises the alerts.
pub const CONSUMER: &str = "watch-dead-letters-job";

/// How long a message that is looked at is hidden from the same look, seconds.
const HIDDEN: i32 = 30;

/// Messages of one queue that a run looks at. More of them would be told as more repeats of the
/// same alerts.
const MOST: usize = 1000;

/// Entries of one SQS call, by its quota.
const BATCH: usize = 10;

/// Calls under way at a time.
const CALLS: usize = 16;

/// Looks into dead-letter queues.
#[derive(Debug)]
pub struct Watch {
    /// SQS.
    pub sqs: Client,
    /// The queues' URLs.
    pub queues: Vec<String>,
    /// Who raises the alerts; its inbox is [`CONSUMER`]'s.
    pub alerting: Alerting,
}

/// What a run found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Messages that lie in the queues.
    pub messages: usize,
    /// Those that were not known before.
    pub alerted: usize,
}

/// One message of a queue, read.
struct Found {
    /// What the inbox knows it by.
    cause: String,
    receipt_handle: String,
    death: Death,
}

impl Watch {
    /// Alerts once of every message that lies in a queue, and leaves it there. A queue that cannot be
    /// read does not keep the others from being looked into: the run fails when it is through.
    ///
    /// # Errors
    /// What went wrong last, such as [`PortalError::DeadLetters`]. What was left is found by the
    /// next run.
    pub async fn run(&self, scheduled_at: Timestamp) -> Result<Seen, PortalError> {
        let mut seen = Seen::default();
        let mut failed = None;
        let mut fail = |error: PortalError| {
            tracing::warn!(target: "bitflow", %error, "some of the dead letters are left for the next run");
            failed = Some(error);
        };
        let looks = self.queues.iter().map(|url| self.look(url));
        for (found, error) in join_all(looks).await {
            if let Some(error) = error {
                fail(error);
            }
            seen.messages += found.len();
            let news = stream::iter(found)
                .map(|found| async {
                    let known = self.alerting.inbox.has(&found.cause).await;
                    known.map(|known| (!known).then_some(found))
                })
                .buffered(CALLS)
                .collect::<Vec<_>>()
                .await;
            // One after the other: those of one kind would only be in each other's way.
            for new in news {
                match new.map_err(load("watch dead letters")) {
                    Ok(None) => {}
                    Ok(Some(found)) => match self.alert(&found, scheduled_at).await {
                        Ok(alerted) => seen.alerted += usize::from(alerted),
                        Err(error) => fail(error),
                    },
                    Err(error) => fail(error),
                }
            }
        }
        failed.map_or(Ok(seen), Err)
    }

    /// Raises the alert of a message, where it has one.
    async fn alert(&self, found: &Found, now: Timestamp) -> Result<bool, PortalError> {
        let Found { cause, death, .. } = found;
        let correlation_id = death.correlation_id.clone();
        let context = Context {
            actor: Actor {
                kind: ActorKind::System,
                id: CONSUMER.to_owned(),
            },
            correlation_id: correlation_id.unwrap_or_else(|| CorrelationId::new(cause)),
        };
        if death.is_of_our_alert {
            tracing::warn!(
                target: "bitflow",
                dead_letter = cause,
                correlation_id = %context.correlation_id,
                "the news of a dead-letter alert is itself a dead letter; it raises no other",
            );
            return Ok(false);
        }
        let raised = self
            .alerting
            .raise(&death.alert(), cause, &context, now)
            .await?;
        tracing::warn!(
            target: "bitflow",
            dead_letter = cause,
            correlation_id = %context.correlation_id,
            alert_id = raised.as_ref().map(|alert| alert.id.to_string()),
            "a message is a dead letter",
        );
        Ok(true)
    }

    /// The messages of a queue, left where they are; and why there are not all of them.
    async fn look(&self, url: &str) -> (Vec<Found>, Option<PortalError>) {
        let queue = url.rsplit('/').next().unwrap_or(url);
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        let mut failed = None;
        while found.len() < MOST {
            let messages = match self.receive(url, queue).await {
                Ok(messages) => messages,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            let before = found.len();
            let new = messages
                .iter()
                .filter_map(|message| read(queue, message))
                .filter(|message| known.insert(message.cause.clone()));
            found.extend(new);
            // Nothing there, or nothing that was not seen a moment ago.
            if found.len() == before {
                break;
            }
        }
        if found.len() >= MOST {
            tracing::warn!(target: "bitflow", queue, "the queue holds more messages than one run looks at");
        }
        self.give_back(url, &found).await;
        (found, failed)
    }

    async fn receive(&self, url: &str, queue: &str) -> Result<Vec<Message>, PortalError> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(HIDDEN)
            // Asks all of SQS's servers; without it, "none" may mean "none here".
            .wait_time_seconds(1)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| PortalError::DeadLetters {
                queue: queue.to_owned(),
                code: error.code().unwrap_or("no answer").to_owned(),
            })?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Shows the messages again at once, so that a redrive finds them. Where that fails, they come
    /// back by themselves.
    async fn give_back(&self, url: &str, found: &[Found]) {
        let calls = found.chunks(BATCH).map(|batch| {
            let entries = batch.iter().enumerate().map(|(at, found)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(&found.receipt_handle)
                    .visibility_timeout(0)
                    .build()
                    .expect("id and receipt handle are set")
            });
            self.sqs
                .change_message_visibility_batch()
                .queue_url(url)
                .set_entries(Some(entries.collect()))
                .send()
        });
        for given_back in join_all(calls).await {
            if let Err(error) = given_back {
                let code = error.code().unwrap_or("no answer");
                tracing::warn!(target: "bitflow", code, "messages are hidden for half a minute");
            }
        }
    }
}

/// What a received message says.
fn read(queue: &str, message: &Message) -> Option<Found> {
    let id = message.message_id()?;
    let system = |name| message.attributes().and_then(|all| all.get(&name));
    let attributes: BTreeMap<&str, &str> = message
        .message_attributes()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.string_value()?)))
        .collect();
    let death = death::of(&DeadMessage {
        queue,
        id,
        body: message.body().unwrap_or_default(),
        receive_count: system(MessageSystemAttributeName::ApproximateReceiveCount)
            .and_then(|count| count.parse().ok())
            .unwrap_or(1),
        source_arn: system(MessageSystemAttributeName::DeadLetterQueueSourceArn)
            .map(String::as_str),
        attributes: &attributes,
    });
    Some(Found {
        cause: format!("{queue}/{id}"),
        receipt_handle: message.receipt_handle()?.to_owned(),
        death,
    })
}
