//! Why a use case did not end well.

use bitflow_domain::id::UniversityId;
use bitflow_email::sendgrid::EmailError;
use bitflow_fault::{Class, Fault, Violation};
use bitflow_store::error::StoreError;
use bitflow_store::page::ListError;
use bitflow_store::transaction::CommitError;
use bitflow_stripe::error::StripeError;

/// A use case failed; nothing of it is stored unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Something could not be loaded.
    #[error("{operation}: loading failed")]
    Load {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// A list could not be read.
    #[error("{operation}: the list could not be read")]
    List {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: ListError,
    },
    /// What was decided could not be committed.
    #[error("{operation}: the commit failed")]
    Commit {
        /// The use case.
        operation: &'static str,
        /// What the store said.
        #[source]
        source: CommitError,
    },
    /// Stripe did not do what was asked; it may have been done all the same.
    #[error("{operation}: the call to Stripe failed")]
    Stripe {
        /// The use case.
        operation: &'static str,
        /// What Stripe said.
        #[source]
        source: StripeError,
    },
    /// The mail was not sent, or may have been.
    #[error("the mail for the event was not sent")]
    Mail(#[source] EmailError),
    /// The mail was sent, but that could not be noted: it may be sent again.
    #[error("the mail was sent, but not noted as sent")]
    MailNotNoted(#[source] StoreError),
    /// The bus did not take the event.
    #[error("the bus did not take the event ({code})")]
    Bus {
        /// EventBridge's error code, or what happened to the call.
        code: String,
    },
    /// There is no such university.
    #[error("there is no university {0}")]
    NoUniversity(UniversityId),
    /// Another delivery of the same message is at work, or died a moment ago.
    #[error("another delivery of the message is at work")]
    Held,
    /// It changed under our hands, three times in a row.
    #[error("{operation}: it kept changing")]
    Contended {
        /// The use case.
        operation: &'static str,
    },
}

impl Fault for PortalError {
    fn class(&self) -> Class {
        match self {
            Self::Load { source, .. } | Self::MailNotNoted(source) => source.class(),
            Self::List { source, .. } => source.class(),
            Self::Commit { source, .. } => source.class(),
            Self::Stripe { source, .. } => source.class(),
            Self::Mail(source) => source.class(),
            Self::NoUniversity(_) => Class::Missing,
            Self::Bus { .. } | Self::Held | Self::Contended { .. } => Class::Busy,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::List { source, .. } => source.violations(),
            Self::Commit { source, .. } => source.violations(),
            _ => &[],
        }
    }

    fn detail(&self) -> Option<String> {
        matches!(self, Self::NoUniversity(_)).then(|| "There is no such university.".to_owned())
    }
}

/// What a load says when it fails, for `map_err`.
pub(crate) fn load(operation: &'static str) -> impl Fn(StoreError) -> PortalError {
    move |source| PortalError::Load { operation, source }
}

/// What a commit says when it fails, for `map_err`.
pub(crate) fn commit(operation: &'static str) -> impl Fn(CommitError) -> PortalError {
    move |source| PortalError::Commit { operation, source }
}
