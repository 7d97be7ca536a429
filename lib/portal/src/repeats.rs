//! What makes a creation safe to repeat: the client's idempotency key.

use bitflow_fault::Violation;
use bitflow_store::idempotency::{Answer, Attempt, Begun, IdempotencyKeys};
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::error::{PortalError, load};
use crate::fresh;

const OPERATION: &str = "begin request";

/// Which creation is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'a> {
    /// Whose key it is, and for what: `<admin> <path>`.
    pub scope: &'a str,
    /// The client's key, where it sent one.
    pub key: Option<&'a str>,
    /// Digest of what is to be created.
    pub fingerprint: &'a str,
}

/// Runs `create` under the id that its key stands for, or answers what it was answered before.
///
/// Where the first try died, or is still at it, a repeat runs `create` again with the same
/// [`Attempt`]: `create` must find and complete what an earlier try began. Without a key each
/// request is a creation of its own.
pub async fn once<'a>(
    keys: &IdempotencyKeys,
    creation: Creation<'_>,
    now: Timestamp,
    create: impl FnOnce(Attempt) -> BoxFuture<'a, Result<Answer, PortalError>>,
) -> Result<Answer, PortalError> {
    let resource = fresh::uuid(now);
    let Some(key) = creation.key else {
        let attempt = Attempt {
            resource,
            started_at: now,
        };
        return create(attempt).await;
    };
    let key = format!("{} {key}", creation.scope);
    let begun = keys.begin(&key, creation.fingerprint, resource, now).await;
    let attempt = match begun.map_err(load(OPERATION))? {
        Begun::Go(attempt) => attempt,
        Begun::Done(answer) => return Ok(answer),
        Begun::OtherRequest => {
            let message = "was used for another request; take a new one";
            return Err(PortalError::KeyReused([Violation::new(
                "Idempotency-Key",
                message,
            )]));
        }
    };
    let answer = create(attempt).await?;
    // Not noted is no harm: a repeat finds what was made, and answers the same.
    if let Err(error) = keys.answer(&key, &answer).await {
        tracing::warn!(target: "bitflow", %error, "the answer was not noted under its idempotency key");
    }
    Ok(answer)
}
