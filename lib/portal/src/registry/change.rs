//! Changing, deleting, restoring: what becomes of a university that there is.

use bitflow_domain::contact::DomainName;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{
    University, UniversityChanges, UniversityField, UniversityStatus,
};
use bitflow_domain::version::Expected;
use bitflow_events::envelope::{Context, Envelope, EventId};
use bitflow_events::payload::{
    Payload, UniversityChange, UniversityDeleted, UniversityRestored, UniversityUpdated,
};
use bitflow_store::outbox::Outbox;
use bitflow_store::transaction::{CommitError, Transaction};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Registry, active};
use crate::error::PortalError;
use crate::{contention, fresh, usage};

/// What a university becomes, and the event that tells of it.
pub(super) struct Next {
    pub(super) university: University,
    pub(super) event_id: EventId,
    pub(super) payload: Payload,
}

impl Registry {
    /// Changes a university; the new domain is claimed, and the old one freed, in the same
    /// transaction. Where nothing changes, nothing is written.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted. [`PortalError::OtherVersion`].
    /// [`PortalError::Commit`] with [`Taken`](bitflow_store::transaction::CommitError::Taken):
    /// another university has the domain.
    pub async fn change(
        &self,
        id: UniversityId,
        changes: &UniversityChanges,
        expected: &Expected,
        context: &Context,
        now: Timestamp,
    ) -> Result<University, PortalError> {
        self.update("change university", id, (context, now), |stored| {
            let stored = active(stored.clone())?;
            allowed(&stored, expected)?;
            let next = stored.changed(changes.clone(), now);
            Ok(next.map(|university| {
                let fields = stored.differences(&university).into_iter();
                let updated = UniversityUpdated {
                    changes: fields
                        .map(|field| UniversityChange {
                            field,
                            old: value(&stored, field),
                            new: value(&university, field),
                        })
                        .collect(),
                };
                Next::of(university, updated, now)
            }))
        })
        .await
    }

    /// Deletes a university: it is kept, but to admins not there, and its domain is free. One that
    /// is deleted is left as it is, whatever version is `expected`: what was asked for is so.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that never was. [`PortalError::OtherVersion`].
    pub async fn delete(
        &self,
        id: UniversityId,
        expected: &Expected,
        context: &Context,
        now: Timestamp,
    ) -> Result<University, PortalError> {
        self.update("delete university", id, (context, now), |stored| {
            let Some(university) = stored.deleted(now) else {
                return Ok(None);
            };
            allowed(stored, expected)?;
            let deleted = UniversityDeleted {
                name: university.name.clone(),
                domain: university.domain.clone(),
            };
            Ok(Some(Next::of(university, deleted, now)))
        })
        .await
    }

    /// Takes a deletion back, if the domain is still free. One that is not deleted is left as it
    /// is.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that never was. [`PortalError::Commit`] with
    /// [`Taken`](bitflow_store::transaction::CommitError::Taken): another university has the
    /// domain.
    pub async fn restore(
        &self,
        id: UniversityId,
        context: &Context,
        now: Timestamp,
    ) -> Result<University, PortalError> {
        self.update("restore university", id, (context, now), |stored| {
            Ok(stored.restored(now).map(|university| {
                let restored = UniversityRestored {
                    name: university.name.clone(),
                    domain: university.domain.clone(),
                };
                Next::of(university, restored, now)
            }))
        })
        .await
    }

    pub(super) async fn update(
        &self,
        operation: &'static str,
        id: UniversityId,
        when: (&Context, Timestamp),
        decide: impl Fn(&University) -> Result<Option<Next>, PortalError>,
    ) -> Result<University, PortalError> {
        match self.write(operation, id, when, decide).await? {
            Some(university) => Ok(university),
            // Its event has an id that nobody else draws.
            None => self.known(operation, id).await,
        }
    }

    /// Writes what `decide` makes of the university, with its event and what follows for its
    /// domain; what is stored then. Nothing where the event was committed before, by another try of
    /// the same request. While somebody else is faster it is loaded and decided again, three times
    /// at most.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        id: UniversityId,
        (context, now): (&Context, Timestamp),
        decide: impl Fn(&University) -> Result<Option<Next>, PortalError>,
    ) -> Result<Option<University>, PortalError> {
        for _ in 0..3 {
            let stored = self.known(operation, id).await?;
            let Some(next) = decide(&stored)? else {
                return Ok(Some(stored));
            };
            let university = next.university;
            let aggregate = (id, university.version);
            let event = Envelope::new(next.event_id, now, context, id, aggregate, next.payload);
            let mut transaction = Transaction::new(&self.dynamo);
            // First, since a lost race is what it is, whatever else it makes fail.
            self.universities
                .replace(&mut transaction, &university, stored.version);
            let (had, has) = (held(&stored), held(&university));
            if had != has {
                if let Some(domain) = had {
                    self.domains.release(&mut transaction, domain, id);
                }
                if let Some(domain) = has {
                    self.domains.claim(&mut transaction, domain, id);
                }
            }
            self.outbox.put(&mut transaction, &event);
            if let Some(warning) = usage::warning(&stored, &university, context, now) {
                self.outbox.put(&mut transaction, &warning);
            }
            match transaction.commit().await {
                Ok(()) => return Ok(Some(university)),
                Err(CommitError::Conflict {
                    entity: Outbox::ENTITY,
                }) => return Ok(None),
                Err(error) => contention::lost(operation, error).await?,
            }
        }
        Err(PortalError::Contended { operation })
    }
}

impl Next {
    pub(super) fn of(university: University, payload: impl Into<Payload>, now: Timestamp) -> Self {
        Self {
            university,
            event_id: fresh::event_id(now),
            payload: payload.into(),
        }
    }
}

/// The domain that a university has a claim on.
fn held(university: &University) -> Option<&DomainName> {
    let active = university.status == UniversityStatus::Active;
    active.then_some(&university.domain)
}

pub(super) fn allowed(stored: &University, expected: &Expected) -> Result<(), PortalError> {
    let current = stored.version;
    if expected.allows(current) {
        Ok(())
    } else {
        Err(PortalError::OtherVersion { current })
    }
}

/// A field as the API shows it.
pub(super) fn value(university: &University, field: UniversityField) -> Value {
    match field {
        UniversityField::Name => json!(university.name),
        UniversityField::PrimaryEmail => json!(university.primary_email),
        UniversityField::Domain => json!(university.domain),
        UniversityField::StorageQuota => json!(university.storage_quota),
        UniversityField::Logo => json!(university.logo.as_ref().map(|logo| json!({
            "content_type": logo.format.media_type(),
            "size": logo.bytes,
            "uploaded_at": logo.uploaded_at,
        }))),
        UniversityField::Students => json!(university.metrics.students),
        UniversityField::Faculty => json!(university.metrics.faculty),
        UniversityField::Storage => json!(university.metrics.storage),
    }
}
