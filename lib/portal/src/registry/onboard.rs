//! Onboarding.

use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, University};
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::UniversityCreated;
use bitflow_store::idempotency::Attempt;
use bitflow_store::transaction::{CommitError, Transaction};

use super::Registry;
use crate::error::{PortalError, commit, load};
use crate::fresh;

const OPERATION: &str = "onboard university";

impl Registry {
    /// Onboards a university: the row, the claim on its domain and `UniversityCreated`, or none.
    /// What follows (the Stripe customer, the welcome mail, the audit line) follows from the event.
    ///
    /// A repeat of `attempt` gets the university as it was onboarded, whatever became of it since:
    /// it follows from the request, but for the secret, which is read from the row. Once that is
    /// another, the first answer cannot be given again.
    ///
    /// # Errors
    /// [`PortalError::Commit`] with [`Taken`](bitflow_store::transaction::CommitError::Taken):
    /// another university has the domain. [`PortalError::NotNow`]: it was onboarded by this
    /// attempt, and the secret that was answered is not in force any more.
    pub async fn onboard(
        &self,
        new: NewUniversity,
        attempt: &Attempt,
        context: &Context,
    ) -> Result<University, PortalError> {
        let id = UniversityId::from_uuid(attempt.resource);
        let now = attempt.started_at;
        let secrets = PortalSecrets::new(fresh::portal_secret());
        let university = University::onboard(id, new.clone(), secrets, now);
        let created = UniversityCreated {
            name: university.name.clone(),
            primary_email: university.primary_email.clone(),
            domain: university.domain.clone(),
            storage_quota: university.storage_quota,
        };
        let aggregate = (id, university.version);
        let event = fresh::event_id(now);
        let event = Envelope::new(event, now, context, id, aggregate, created.into());
        let mut transaction = Transaction::new(&self.dynamo);
        self.universities.insert(&mut transaction, &university);
        self.domains.claim(&mut transaction, &university.domain, id);
        self.outbox.put(&mut transaction, &event);
        let refused = match transaction.commit().await {
            Ok(()) => return Ok(university),
            Err(refused @ (CommitError::Conflict { .. } | CommitError::Contended)) => refused,
            Err(error) => return Err(commit(OPERATION)(error)),
        };
        // An earlier try of the same request was here, or is just now.
        let stored = self.universities.get(id).await.map_err(load(OPERATION))?;
        let Some(stored) = stored else {
            return Err(commit(OPERATION)(refused));
        };
        if stored.portal_secrets.rotation.is_some() {
            return Err(PortalError::NotNow(
                "The university was created under this key, and its portal's secret was rotated \
                 since: the first answer cannot be given again."
                    .to_owned(),
            ));
        }
        let secrets = PortalSecrets::new(stored.portal_secrets.current);
        Ok(University::onboard(id, new, secrets, now))
    }
}
