//! The daily run: which universities' files are to be measured, as one message each.

use bitflow_domain::id::UniversityId;
use bitflow_domain::university::UniversityStatus;
use bitflow_events::envelope::CorrelationId;
use bitflow_store::job_runs::JobRuns;
use bitflow_store::universities::Universities;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::enqueue::Queue;
use crate::error::{PortalError, load};
use crate::listen::ListenError;

/// Universities read, sent and noted at a time.
const PAGE: u16 = 500;

const OPERATION: &str = "dispatch storage measurements";

/// The message for one university: measure its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasurementDue {
    /// Whose.
    pub university_id: UniversityId,
    /// The run's day, UTC.
    pub day: Date,
}

impl MeasurementDue {
    /// Reads a message's body.
    ///
    /// # Errors
    /// [`ListenError::Body`] for what is no such message, and stays none.
    pub fn from_json(body: &str) -> Result<Self, ListenError> {
        serde_json::from_str(body).map_err(ListenError::Body)
    }

    /// What the log lines and events of the measurement carry.
    pub fn correlation(&self) -> CorrelationId {
        CorrelationId::new(format!("storage-{}-{}", self.day, self.university_id))
    }
}

/// What the ids begin with that the work of one run goes by.
pub fn correlation(scheduled_at: Timestamp) -> CorrelationId {
    CorrelationId::new(format!("storage-{}", day(scheduled_at)))
}

fn day(scheduled_at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(scheduled_at).date()
}

/// Sends the messages of a day's run.
#[derive(Debug)]
pub struct Dispatcher {
    /// Whose files are measured.
    pub universities: Universities,
    /// How far the run came.
    pub runs: JobRuns,
    /// Where the messages go.
    pub queue: Queue,
}

impl Dispatcher {
    /// Sends one message for each university that is not deleted; how many. A run that died goes on
    /// after its last whole page, one that ended does nothing.
    ///
    /// # Errors
    /// [`PortalError::Queue`]: the queue did not take all of a page. The run, asked for again, goes
    /// on after the page before.
    pub async fn dispatch(&self, scheduled_at: Timestamp) -> Result<usize, PortalError> {
        let day = day(scheduled_at);
        let run = day.to_string();
        let so_far = self.runs.load(&run).await.map_err(load(OPERATION))?;
        if so_far.done {
            return Ok(0);
        }
        let mut cursor = so_far.position;
        let mut sent = 0;
        loop {
            let page = self
                .universities
                .ids(UniversityStatus::Active, PAGE, cursor.as_deref())
                .await
                .map_err(|source| PortalError::List {
                    operation: OPERATION,
                    source,
                })?;
            let due = page
                .data
                .into_iter()
                .map(|university_id| MeasurementDue { university_id, day });
            sent += self.queue.send(due).await?;
            let Some(next) = page.next_cursor else { break };
            let saved = self.runs.save(&run, &next, scheduled_at).await;
            saved.map_err(load(OPERATION))?;
            cursor = Some(next);
        }
        let finished = self.runs.finish(&run, scheduled_at).await;
        finished.map_err(load(OPERATION))?;
        Ok(sent)
    }
}
