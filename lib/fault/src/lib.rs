//! Error classes, and nothing else: what the outside needs to know of an error.
//!
//! Every crate's error enum implements [`Fault`]. The runtime maps the [`Class`] to an HTTP status
//! and to SQS retry or dead-letter; nobody else looks at it. `infra/ARCHITECTURE.md` §9.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// What kind of failure it is, seen from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The input is wrong and stays wrong: 422 (400 without violations); never retried.
    Invalid,
    /// Nobody is known to be asking: 401.
    Unauthenticated,
    /// Who asks may not: 403.
    Forbidden,
    /// What is asked for is not there: 404.
    Missing,
    /// It contradicts what is stored: 409.
    Conflict,
    /// It was asked on a condition that does not hold: 412.
    Precondition,
    /// Too many requests: 429; retried later.
    TooMany,
    /// A dependency is down, slow or contended: 503; retried.
    Busy,
    /// A bug or a misconfiguration: 500; retried, because a deployment may mend it, then dead-lettered.
    Broken,
}

impl Class {
    /// Whether the same message may succeed later. What may not goes to its dead-letter queue
    /// by way of the same redeliveries, since SQS has no other way there.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::TooMany | Self::Busy)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Precondition => "precondition",
            Self::TooMany => "too_many",
            Self::Busy => "busy",
            Self::Broken => "broken",
        })
    }
}

/// One thing that is wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The field as the client wrote it, dotted where nested (`items.0.amount`).
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Violation {
    /// `message` is about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// An error that knows its [`Class`].
pub trait Fault: Error + Send + Sync + 'static {
    /// The class; decides status, retry and log level.
    fn class(&self) -> Class;

    /// Every wrong field at once; empty where the input as a whole is at fault.
    fn violations(&self) -> &[Violation] {
        &[]
    }

    /// What a client may read about it, beyond the class. Never holds internals.
    fn detail(&self) -> Option<String> {
        None
    }

    /// The stored version, where the class is [`Class::Conflict`] or [`Class::Precondition`] and a version
    /// is what clashed.
    fn current_version(&self) -> Option<u64> {
        None
    }
}
