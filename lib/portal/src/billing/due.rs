//! The monthly run: which subscriptions are to be looked at, as one message each.

use std::fmt::Write as _;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use bitflow_domain::billing::month::Month;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_store::job_runs::JobRuns;
use bitflow_store::subscriptions::{SubscriptionKey, Subscriptions};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{PortalError, load};
use crate::listen::ListenError;

/// Subscriptions read, sent and noted at a time: what a run that dies repeats, and what it holds
/// in memory.
const PAGE: u16 = 500;

/// Messages of one SendMessageBatch call, by SQS's quota.
const BATCH: usize = 10;

/// Calls under way at a time.
const CALLS: usize = 16;

const OPERATION: &str = "dispatch monthly invoices";

/// The message for one subscription: see to it that it is billed up to `month`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceDue {
    /// Whose.
    pub university_id: UniversityId,
    /// What is billed.
    pub subscription_id: SubscriptionId,
    /// The run's month.
    pub month: Month,
}

impl InvoiceDue {
    /// Reads a message's body.
    pub fn from_json(body: &str) -> Result<Self, ListenError> {
        serde_json::from_str(body).map_err(ListenError::Body)
    }
}

/// Sends the messages.
#[derive(Debug)]
pub struct Dispatcher {
    /// What is billed.
    pub subscriptions: Subscriptions,
    /// How far the run came.
    pub runs: JobRuns,
    /// SQS.
    pub sqs: Client,
    /// Where the messages go.
    pub queue_url: String,
}

impl Dispatcher {
    /// Sends one message for each subscription that the run of the month of `scheduled_at` looks
    /// at; how many. A run that died goes on after its last whole page, one that ended does nothing.
    ///
    /// A message may come twice: whoever gets it bills a month once.
    pub async fn dispatch(&self, scheduled_at: Timestamp) -> Result<usize, PortalError> {
        let month = Month::containing(scheduled_at);
        let run = month.to_string();
        let so_far = self.runs.load(&run).await.map_err(load(OPERATION))?;
        if so_far.done {
            return Ok(0);
        }
        let mut at = Position::read(so_far.position.as_deref());
        let mut sent = 0;
        while let Some(status) = SubscriptionStatus::BILLED.get(at.status) {
            let page = self
                .subscriptions
                .keys_by_status(*status, PAGE, at.cursor.as_deref())
                .await
                .map_err(|source| PortalError::List {
                    operation: OPERATION,
                    source,
                })?;
            self.send(&page.data, month).await?;
            sent += page.data.len();
            at = match page.next_cursor {
                Some(cursor) => Position {
                    cursor: Some(cursor),
                    ..at
                },
                None => Position {
                    status: at.status + 1,
                    cursor: None,
                },
            };
            let saved = self.runs.save(&run, &at.write(), scheduled_at).await;
            saved.map_err(load(OPERATION))?;
        }
        let finished = self.runs.finish(&run, scheduled_at).await;
        finished.map_err(load(OPERATION))?;
        Ok(sent)
    }

    async fn send(&self, keys: &[SubscriptionKey], month: Month) -> Result<(), PortalError> {
        stream::iter(keys.chunks(BATCH))
            .map(|batch| self.send_batch(batch, month))
            .buffer_unordered(CALLS)
            .try_collect::<()>()
            .await
    }

    /// One call; what SQS did not take is sent again, three times at most.
    async fn send_batch(&self, keys: &[SubscriptionKey], month: Month) -> Result<(), PortalError> {
        let mut left: Vec<usize> = (0..keys.len()).collect();
        let mut code = String::new();
        for _ in 0..3 {
            let entries = left.iter().map(|at| {
                let due = InvoiceDue {
                    university_id: keys[*at].university_id,
                    subscription_id: keys[*at].subscription_id,
                    month,
                };
                SendMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .message_body(serde_json::to_string(&due).expect("ids and a month are JSON"))
                    .build()
                    .expect("id and body are set")
            });
            let answer = self
                .sqs
                .send_message_batch()
                .queue_url(&self.queue_url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| PortalError::Queue {
                    code: aws_sdk_sqs::error::ProvideErrorMetadata::code(&error)
                        .unwrap_or("no answer")
                        .to_owned(),
                })?;
            left = answer
                .failed()
                .iter()
                .filter_map(|failed| failed.id().parse().ok())
                .collect();
            let Some(failed) = answer.failed().first() else {
                return Ok(());
            };
            code.clear();
            let _ = write!(code, "{}", failed.code());
        }
        Err(PortalError::Queue { code })
    }
}

/// Where a run is: which status, and where in its index.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Position {
    status: usize,
    cursor: Option<String>,
}

impl Position {
    fn read(text: Option<&str>) -> Self {
        let Some((status, cursor)) = text.and_then(|text| text.split_once(' ')) else {
            return Self::default();
        };
        Self {
            status: status.parse().unwrap_or_default(),
            cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()),
        }
    }

    fn write(&self) -> String {
        format!("{} {}", self.status, self.cursor.as_deref().unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was() {
        for cursor in [None, Some("eyJ".to_owned())] {
            let at = Position { status: 2, cursor };
            assert_eq!(Position::read(Some(&at.write())), at);
        }
        assert_eq!(Position::read(None), Position::default());
    }
}
