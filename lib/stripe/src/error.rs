//! What Stripe's API may answer instead of what was asked.

use bitflow_fault::{Class, Fault};
use serde::Deserialize;

/// A call to Stripe did not do what it should. <https://docs.stripe.com/api/errors>
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// The request did not reach Stripe, or no answer came back: what happened there is unknown.
    #[error("Stripe {operation} got no answer")]
    Unreachable {
        /// Method and path.
        operation: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// Stripe answered that it did not do it.
    #[error("Stripe {operation} was refused with {status}: {refusal}")]
    Refused {
        /// Method and path.
        operation: String,
        /// HTTP status.
        status: u16,
        /// Stripe's reason.
        refusal: Box<Refusal>,
        /// It is the answer to an earlier request under the same idempotency key.
        replayed: bool,
    },
    /// Stripe answered something we cannot read.
    #[error("Stripe {operation} answered what could not be read")]
    Unreadable {
        /// Method and path.
        operation: String,
        /// What is wrong with it. It may quote what was found.
        #[source]
        source: serde_json::Error,
    },
    /// The idempotency key is none that Stripe takes.
    #[error("Stripe {operation} cannot be sent under its idempotency key")]
    Key {
        /// Method and path.
        operation: String,
    },
}

/// Stripe's `error` object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// `card_error`, `invalid_request_error`, `idempotency_error`, `api_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A word to act on, e.g. `resource_missing`.
    pub code: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// The bank's reason, of a card that was declined.
    pub decline_code: Option<String>,
    /// A sentence for people. It may quote what was sent: for who sent it, never for a log.
    pub message: Option<String>,
}

const REUSE_OF_KEY: &str = "idempotency_error";

impl std::fmt::Display for Refusal {
    /// Without Stripe's message, which may quote what was sent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.kind.is_empty() {
            "no reason given"
        } else {
            &self.kind
        })?;
        for part in [&self.code, &self.decline_code, &self.param]
            .into_iter()
            .flatten()
        {
            write!(f, ", {part}")?;
        }
        Ok(())
    }
}

impl StripeError {
    /// Stripe's reason, where it is the request that is at fault and not the moment: sending the
    /// same again does not help.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused {
                status: 400 | 402 | 404,
                refusal,
                ..
            } => Some(refusal),
            _ => None,
        }
    }

    /// Whether an idempotency key was used before, for a request that was not quite the same.
    pub fn is_reuse_of_key(&self) -> bool {
        let refusal = self.refusal();
        refusal.is_some_and(|refusal| refusal.kind == REUSE_OF_KEY)
    }

    /// Stripe failed once and repeats that under the same idempotency key for as long as it knows
    /// the key: it helps to look what became of it, and to ask under another.
    /// <https://docs.stripe.com/api/idempotent_requests>
    pub fn is_stored_failure(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 500..,
                replayed: true,
                ..
            }
        )
    }

    /// What an answer that is no success means.
    pub(crate) fn refused(operation: &str, status: u16, body: &[u8], replayed: bool) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Refusal,
        }
        let refusal = serde_json::from_slice::<Body>(body)
            .map(|body| body.error)
            .unwrap_or_default();
        Self::Refused {
            operation: operation.to_owned(),
            status,
            refusal: Box::new(refusal),
            replayed,
        }
    }
}

impl Fault for StripeError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { status: 429, .. } => Class::TooMany,
            Self::Unreachable { .. }
            | Self::Refused {
                status: 409 | 424 | 500..,
                ..
            } => Class::Busy,
            Self::Refused { status: 404, .. } => Class::Missing,
            // An idempotency error is a key of ours on two requests of ours.
            Self::Refused {
                status: 400 | 402,
                refusal,
                ..
            } if refusal.kind != REUSE_OF_KEY => Class::Invalid,
            // 401 and 403 mean that our key is wrong: ours to mend.
            Self::Refused { .. } | Self::Unreadable { .. } | Self::Key { .. } => Class::Broken,
        }
    }
}
