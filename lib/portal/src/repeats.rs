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
///
/// # Errors
/// [`PortalError::KeyReused`], without anything done. What `create` fails with is not noted: a
/// repeat runs it again.
pub async fn once<'a>(
    keys: &IdempotencyKeys,
    creation: Creation<'_>,
    now: Timestamp,
    create: impl FnOnce(Attempt) -> BoxFuture<'a, Result<Answer, PortalError>>,
) -> Result<Answer, PortalError> {
    let attempt = match begin(keys, &creation, now).await? {
        Begun::Go(attempt) => attempt,
        Begun::Done(answer) => return Ok(answer),
        Begun::OtherRequest => return Err(other_request()),
    };
    let answer = create(attempt).await?;
    if let Some(key) = creation.row() {
        // Not noted is no harm: a repeat finds what was made, and answers the same.
        if let Err(error) = keys.answer(&key, &answer).await {
            tracing::warn!(target: "bitflow", %error, "the answer was not noted under its idempotency key");
        }
    }
    Ok(answer)
}

/// The try that a request stands for, where its answer holds what must not be stored twice, such
/// as a secret: every repeat gets the same [`Attempt`] and makes the same answer of it again.
///
/// # Errors
/// [`PortalError::KeyReused`].
pub async fn attempt(
    keys: &IdempotencyKeys,
    creation: Creation<'_>,
    now: Timestamp,
) -> Result<Attempt, PortalError> {
    match begin(keys, &creation, now).await? {
        Begun::Go(attempt) => Ok(attempt),
        // No answer is ever noted under such a key; one that is, is another request's.
        Begun::Done(_) | Begun::OtherRequest => Err(other_request()),
    }
}

async fn begin(
    keys: &IdempotencyKeys,
    creation: &Creation<'_>,
    now: Timestamp,
) -> Result<Begun, PortalError> {
    let resource = fresh::uuid(now);
    match creation.row() {
        None => Ok(Begun::Go(Attempt {
            resource,
            started_at: now,
        })),
        Some(key) => keys
            .begin(&key, creation.fingerprint, resource, now)
            .await
            .map_err(load(OPERATION)),
    }
}

fn other_request() -> PortalError {
    let message = "was used for another request; take a new one";
    PortalError::KeyReused([Violation::new("Idempotency-Key", message)])
}

impl Creation<'_> {
    /// Under which key of the table it is noted.
    fn row(&self) -> Option<String> {
        self.key.map(|key| format!("{} {key}", self.scope))
    }
}
