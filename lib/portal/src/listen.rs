//! What every listener has in common: the event in a message, and why it was given back.

use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{DecodeError, Envelope};
use bitflow_fault::{Class, Fault};

use crate::error::PortalError;

/// A listener did not handle a message; it is delivered again, and after its last delivery lies in
/// the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The body is not an event we know.
    #[error("the message is not an event")]
    Decode(#[source] DecodeError),
    /// The body is not what this queue carries.
    #[error("the message cannot be read")]
    Body(#[source] serde_json::Error),
    /// A rule sent an event that this listener has nothing to do with.
    #[error("{kind} is not an event of this listener")]
    Unexpected {
        /// The event's type.
        kind: &'static str,
    },
    /// The use case failed.
    #[error("the event was not handled")]
    Handle(#[from] PortalError),
}

impl Fault for ListenError {
    fn class(&self) -> Class {
        match self {
            Self::Decode(_) | Self::Body(_) => Class::Invalid,
            Self::Unexpected { .. } => Class::Broken,
            Self::Handle(source) => source.class(),
        }
    }
}

/// The event in a message's body.
///
/// # Errors
/// [`ListenError::Decode`], with what [`Envelope::from_json`] says of it.
pub fn decode(body: &str) -> Result<Envelope, ListenError> {
    Envelope::from_json(body).map_err(ListenError::Decode)
}

/// The university of an event that has one.
///
/// # Errors
/// [`ListenError::Decode`] for an event of the platform's.
pub fn university(event: &Envelope) -> Result<UniversityId, ListenError> {
    event.university().map_err(ListenError::Decode)
}
