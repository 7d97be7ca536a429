//! Universities: onboarding, reading, listing.

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, University, UniversityStatus};
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::UniversityCreated;
use bitflow_store::activities::{Activities, Activity};
use bitflow_store::domains::UniversityDomains;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{Page, PageRequest};
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use jiff::Timestamp;

use crate::error::{PortalError, commit, load};
use crate::fresh;

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
    /// Onboards a university: the row, the claim on its domain and `UniversityCreated`, or none.
    /// What follows (the Stripe customer, the welcome mail, the audit line) follows from the event.
    pub async fn onboard(
        &self,
        new: NewUniversity,
        context: &Context,
        now: Timestamp,
    ) -> Result<University, PortalError> {
        let id = UniversityId::from_uuid(fresh::uuid(now));
        let secrets = PortalSecrets::new(fresh::portal_secret());
        let university = University::onboard(id, new, secrets, now);
        let created = UniversityCreated {
            name: university.name.clone(),
            primary_email: university.primary_email.clone(),
            domain: university.domain.clone(),
            storage_quota: university.storage_quota,
        };
        let event = Envelope::new(
            fresh::event_id(now),
            now,
            context,
            id,
            (id, university.version),
            created.into(),
        );
        let mut transaction = Transaction::new(&self.dynamo);
        self.universities.insert(&mut transaction, &university);
        self.domains.claim(&mut transaction, &university.domain, id);
        self.outbox.put(&mut transaction, &event);
        transaction
            .commit()
            .await
            .map_err(commit("onboard university"))?;
        Ok(university)
    }

    /// One university.
    pub async fn get(&self, id: UniversityId) -> Result<University, PortalError> {
        self.universities
            .get(id)
            .await
            .map_err(load("get university"))?
            .filter(|university| university.status == UniversityStatus::Active)
            .ok_or(PortalError::NoUniversity(id))
    }

    /// Active universities by name.
    pub async fn list(&self, page: &PageRequest) -> Result<Page<University>, PortalError> {
        let operation = "list universities";
        self.universities
            .list(UniversityStatus::Active, page)
            .await
            .map_err(|source| PortalError::List { operation, source })
    }

    /// What happened to a university, newest first.
    pub async fn activity(
        &self,
        id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Activity>, PortalError> {
        let operation = "list activity";
        self.universities
            .get(id)
            .await
            .map_err(load(operation))?
            .ok_or(PortalError::NoUniversity(id))?;
        self.activities
            .list(id, page)
            .await
            .map_err(|source| PortalError::List { operation, source })
    }
}
