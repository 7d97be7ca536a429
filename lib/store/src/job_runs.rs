//! Table `job_runs`: key `job, run`. How far a run of a job came, so that one that died is taken up
//! where it was, and one that ended is not repeated.

use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::error::StoreError;
use crate::item::{n, s};
use crate::table::Table;
use crate::time::{fixed, ttl};

/// How long a run is remembered: longer than anybody replays it.
pub const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The table, as one job sees it.
#[derive(Debug, Clone)]
pub struct JobRuns {
    table: Table,
    job: &'static str,
}

/// How far a run came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobRun {
    /// Where it goes on; the job's own words.
    pub position: Option<String>,
    /// It came to its end.
    pub done: bool,
}

impl JobRuns {
    /// The runs of `job` in the table named `table`.
    pub fn new(client: &Client, table: impl Into<String>, job: &'static str) -> Self {
        Self {
            table: Table::new(client, table, "job_runs"),
            job,
        }
    }

    /// How far `run` came; nowhere if it never began.
    pub async fn load(&self, run: &str) -> Result<JobRun, StoreError> {
        let key = [("job", self.job.to_owned()), ("run", run.to_owned())];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map_or_else(JobRun::default, |record| JobRun {
            position: record.position,
            done: record.done_at.is_some(),
        }))
    }

    /// Notes where `run` goes on. A run that is done stays done.
    pub async fn save(&self, run: &str, position: &str, now: Timestamp) -> Result<(), StoreError> {
        self.set(run, ("position", position), now).await
    }

    /// Notes that `run` came to its end.
    pub async fn finish(&self, run: &str, now: Timestamp) -> Result<(), StoreError> {
        self.set(run, ("done_at", &fixed(now)), now).await
    }

    async fn set(
        &self,
        run: &str,
        (attribute, value): (&str, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.table
            .client
            .update_item()
            .table_name(&self.table.name)
            .key("job", s(self.job))
            .key("run", s(run))
            .update_expression("SET #attribute = :value, expires_at = :expires")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", s(value))
            .expression_attribute_values(":expires", n(ttl(now + KEPT)))
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::dynamo("UpdateItem job_runs", error))
    }
}

#[derive(Deserialize)]
struct Record {
    position: Option<String>,
    done_at: Option<String>,
}
