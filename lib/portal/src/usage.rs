//! What a university has and uses: what its portal reports, what its files with us come to, and the
//! warning when that comes near its quota.

pub mod due;
#[cfg(feature = "files")]
pub mod measure;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::usage::{Metric, MetricValue};
use bitflow_domain::university::{University, UniversityStatus};
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::{StorageQuotaExceeded, UniversityChange, UniversityUpdated};
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;
use bitflow_store::transaction::{CommitError, Transaction};
use bitflow_store::universities::Universities;
use jiff::{SignedDuration, Timestamp};

use crate::contention;
use crate::error::{PortalError, load};
use crate::fresh;
use crate::portals::Caller;

/// The inbox's name for what portals report.
pub const CONSUMER: &str = "university-sync";

/// How long a report is remembered: longer than a copy of it verifies, whose time may be 300 s
/// before now or after.
pub const REPORTS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Where use is written down.
#[derive(Debug)]
pub struct Usage {
    /// DynamoDB.
    pub dynamo: Client,
    /// Whose use.
    pub universities: Universities,
    /// Where events leave.
    pub outbox: Outbox,
}

/// What a portal reports (contract section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Of what.
    pub metric: Metric,
    /// How much.
    pub value: MetricValue,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It is written down.
    Applied,
    /// It was before.
    Repeated,
}

/// What became of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// It is written down.
    Applied,
    /// It is what was known.
    Known,
    /// The university is deleted: nobody counts its files.
    Deleted,
}

impl Usage {
    /// Writes down what the portal of a university reported, once, with the event that tells the old
    /// value and the new one; and warns where it thereby comes near its quota.
    ///
    /// A copy of the call meets the row of the first in `inbox`, committed with its effect, and so
    /// brings no old value back.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that was deleted since its portal was authenticated.
    pub async fn report(
        &self,
        caller: Caller,
        report: &Report,
        inbox: &Inbox,
        context: &Context,
        now: Timestamp,
    ) -> Result<Reported, PortalError> {
        const OPERATION: &str = "report metric";
        let (mut stored, digest) = (caller.university, caller.digest);
        for _ in 0..3 {
            if stored.status == UniversityStatus::Deleted {
                return Err(PortalError::NoUniversity(stored.id));
            }
            let next = stored.reported(report.metric, report.value, now);
            let updated = UniversityUpdated {
                changes: vec![UniversityChange {
                    field: report.metric.field(),
                    old: stored.metrics.get(report.metric).into(),
                    new: next.metrics.get(report.metric).into(),
                }],
            };
            let event = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                stored.id,
                (stored.id, next.version),
                updated.into(),
            );
            let mut transaction = self.replacement(&stored, &next, context, now);
            self.outbox.put(&mut transaction, &event);
            inbox.handled(&mut transaction, &digest, now);
            match transaction.commit().await {
                Ok(()) => return Ok(Reported::Applied),
                Err(CommitError::AlreadyHandled) => return Ok(Reported::Repeated),
                Err(error) => {
                    contention::lost(OPERATION, error).await?;
                    stored = self.known(OPERATION, stored.id).await?;
                }
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    /// Writes down that the files of a university come to `bytes`, and warns where it thereby comes
    /// near its quota. Again changes nothing.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that never was.
    pub async fn measured(
        &self,
        id: UniversityId,
        bytes: u64,
        context: &Context,
        now: Timestamp,
    ) -> Result<Measured, PortalError> {
        const OPERATION: &str = "write down measured storage";
        for _ in 0..3 {
            let stored = self.known(OPERATION, id).await?;
            if stored.status == UniversityStatus::Deleted {
                return Ok(Measured::Deleted);
            }
            let Some(next) = stored.measured(bytes, now) else {
                return Ok(Measured::Known);
            };
            let transaction = self.replacement(&stored, &next, context, now);
            match transaction.commit().await {
                Ok(()) => return Ok(Measured::Applied),
                Err(error) => contention::lost(OPERATION, error).await?,
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    fn replacement(
        &self,
        stored: &University,
        next: &University,
        context: &Context,
        now: Timestamp,
    ) -> Transaction {
        let mut transaction = Transaction::new(&self.dynamo);
        self.universities
            .replace(&mut transaction, next, stored.version);
        if let Some(warning) = warning(stored, next, context, now) {
            self.outbox.put(&mut transaction, &warning);
        }
        transaction
    }

    pub(crate) async fn known(
        &self,
        operation: &'static str,
        id: UniversityId,
    ) -> Result<University, PortalError> {
        let found = self.universities.get(id).await.map_err(load(operation))?;
        found.ok_or(PortalError::NoUniversity(id))
    }
}

/// The event that tells of a university that comes near its quota by becoming `next`, however it
/// does: it uses more, or may use less.
pub(crate) fn warning(
    stored: &University,
    next: &University,
    context: &Context,
    now: Timestamp,
) -> Option<Envelope> {
    let exceeded = StorageQuotaExceeded {
        usage_percentage: next.storage_usage(),
        storage_used: next.storage_used(),
        storage_quota: next.storage_quota,
    };
    let aggregate = (next.id, next.version);
    stored.is_to_be_warned(next).then(|| {
        Envelope::new(
            fresh::event_id(now),
            now,
            context,
            next.id,
            aggregate,
            exceeded.into(),
        )
    })
}
