//! The monthly run: which subscriptions are to be looked at, as one message each.

use bitflow_domain::billing::month::Month;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_events::envelope::CorrelationId;
use bitflow_store::job_runs::JobRuns;
use bitflow_store::subscriptions::Subscriptions;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::enqueue::Queue;
use crate::error::{PortalError, load};
use crate::listen::ListenError;

/// Subscriptions read, sent and noted at a time: what a run that dies repeats, and what it holds
/// in memory.
const PAGE: u16 = 500;

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
    ///
    /// # Errors
    /// [`ListenError::Body`] for what is no such message, and stays none.
    pub fn from_json(body: &str) -> Result<Self, ListenError> {
        serde_json::from_str(body).map_err(ListenError::Body)
    }
}

/// What the ids begin with that the work of one run goes by.
pub fn correlation(scheduled_at: Timestamp) -> CorrelationId {
    CorrelationId::new(format!("invoices-{}", Month::containing(scheduled_at)))
}

/// Sends the messages of a month's run.
#[derive(Debug)]
pub struct Dispatcher {
    /// What is billed.
    pub subscriptions: Subscriptions,
    /// How far the run came.
    pub runs: JobRuns,
    /// Where the messages go.
    pub queue: Queue,
}

impl Dispatcher {
    /// Sends one message for each subscription that the run of the month of `scheduled_at` looks
    /// at; how many. A run that died goes on after its last whole page, one that ended does nothing.
    ///
    /// A message may come twice: whoever gets it bills a month once.
    ///
    /// # Errors
    /// [`PortalError::Queue`]: the queue did not take all of a page. The run, asked for again, goes
    /// on after the page before.
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
            let due = page.data.iter().map(|key| InvoiceDue {
                university_id: key.university_id,
                subscription_id: key.subscription_id,
                month,
            });
            sent += self.queue.send(due).await?;
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
