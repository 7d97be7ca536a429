//! Universities: onboarding, reading, listing, changing, deleting and restoring; their portals'
//! secrets.

mod change;
#[cfg(feature = "logos")]
pub mod logo;
mod onboard;
mod secrets;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{NamePrefix, University, UniversityStatus};
use bitflow_store::activities::{Activities, Activity};
use bitflow_store::domains::UniversityDomains;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{Page, PageRequest};
use bitflow_store::universities::Universities;

pub use secrets::Rotated;

use crate::error::{PortalError, load};

/// The universities, as admins see them.
#[derive(Debug)]
pub struct Registry {
    /// DynamoDB.
    pub dynamo: Client,
    /// Their table.
    pub universities: Universities,
    /// Their domains' table.
    pub domains: UniversityDomains,
    /// Their histories.
    pub activities: Activities,
    /// Where events leave.
    pub outbox: Outbox,
}

impl Registry {
    /// One university that is not deleted.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted.
    pub async fn get(&self, id: UniversityId) -> Result<University, PortalError> {
        let known = self.known("get university", id).await?;
        active(known)
    }

    /// Universities of one status by name, those whose name begins with `prefix`. A cursor of
    /// another list is refused.
    pub async fn list(
        &self,
        status: UniversityStatus,
        prefix: Option<&NamePrefix>,
        page: &PageRequest,
    ) -> Result<Page<University>, PortalError> {
        let operation = "list universities";
        self.universities
            .list(status, prefix, page)
            .await
            .map_err(|source| PortalError::List { operation, source })
    }

    /// What happened to a university, deleted or not, newest first.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that never was.
    pub async fn activity(
        &self,
        id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Activity>, PortalError> {
        let operation = "list activity";
        self.known(operation, id).await?;
        self.activities
            .list(id, page)
            .await
            .map_err(|source| PortalError::List { operation, source })
    }

    /// A university, deleted or not.
    async fn known(
        &self,
        operation: &'static str,
        id: UniversityId,
    ) -> Result<University, PortalError> {
        self.universities
            .get(id)
            .await
            .map_err(load(operation))?
            .ok_or(PortalError::NoUniversity(id))
    }
}

/// To admins, one that is deleted is not there.
fn active(university: University) -> Result<University, PortalError> {
    match university.status {
        UniversityStatus::Active => Ok(university),
        UniversityStatus::Deleted => Err(PortalError::NoUniversity(university.id)),
    }
}
