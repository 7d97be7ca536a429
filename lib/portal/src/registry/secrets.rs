//! The rotation of a portal's secret.

use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_events::envelope::{Context, EventId};
use bitflow_events::payload::PortalSecretRotated;
use bitflow_store::idempotency::Attempt;
use jiff::Timestamp;
use secrecy::SecretString;

use super::change::Next;
use super::{Registry, active};
use crate::error::PortalError;
use crate::fresh;

/// What a rotation made.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The secret in force.
    pub secret: SecretString,
    /// Until when the one before it verifies.
    pub previous_expires_at: Timestamp,
}

impl Registry {
    /// Gives a university's portal a new secret. A repeat of `attempt` gets the same secret and
    /// rotates nothing; once that secret was replaced, it gets none.
    ///
    /// The row names the rotation that its secret came by, and the event's id is the attempt's:
    /// the outbox refuses a second one even where the row has forgotten the first.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted. [`PortalError::NotNow`]: the
    /// secret of this attempt is not in force any more.
    pub async fn rotate_secret(
        &self,
        id: UniversityId,
        attempt: &Attempt,
        context: &Context,
        now: Timestamp,
    ) -> Result<Rotated, PortalError> {
        const OPERATION: &str = "rotate portal secret";
        let rotation = attempt.resource;
        let written = self.write(OPERATION, id, (context, now), |stored| {
            let stored = active(stored.clone())?;
            if stored.portal_secrets.rotation == Some(rotation) {
                return Ok(None);
            }
            Ok(Some(Next {
                university: stored.with_new_secret(fresh::portal_secret(), rotation, now),
                event_id: EventId::from_ulid(rotation.as_u128().into()),
                payload: PortalSecretRotated {
                    previous_expires_at: now + PortalSecrets::GRACE,
                }
                .into(),
            }))
        });
        let replaced = || {
            PortalError::NotNow(
                "The secret was rotated under this key, and again since: it is not in force any \
                 more."
                    .to_owned(),
            )
        };
        let university = written.await?.ok_or_else(replaced)?;
        let secrets = university.portal_secrets;
        Ok(Rotated {
            previous_expires_at: secrets.previous.ok_or_else(replaced)?.expires_at,
            secret: secrets.current,
        })
    }
}
