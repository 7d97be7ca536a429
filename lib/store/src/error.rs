//! Why something could not be read or stored.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use bitflow_fault::{Class, Fault};

/// An operation on a table, or on the bucket, failed.
///
/// Reads and single writes fail with nothing else; what is not there is `None`, and no error. Its
/// class tells whether it may work later: the SDK has tried a few times by then. A write that got
/// no answer may have happened. What is broken stays so until somebody mends it: a grant or a table
/// that is missing, a row of another build.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB refused, or could not be reached.
    #[error("DynamoDB {operation} failed")]
    Dynamo {
        /// The call, e.g. `GetItem universities`.
        operation: String,
        /// Whether it may work later.
        class: Class,
        /// What the SDK said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// S3 refused, or could not be reached.
    #[error("S3 {operation} failed")]
    Files {
        /// The call, e.g. `ListObjectsV2`.
        operation: &'static str,
        /// Whether it may work later.
        class: Class,
        /// What the SDK said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A stored row is not what this build writes.
    #[error("a row of {table} could not be read")]
    Row {
        /// The kind of thing it should be.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_dynamo::Error,
    },
}

impl StoreError {
    /// Classifies what the SDK says of `operation`.
    pub(crate) fn dynamo<E, R>(operation: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        Self::Dynamo {
            operation: operation.into(),
            class: class_of(&error),
            source: Box::new(error),
        }
    }

    /// Likewise for the bucket.
    #[cfg(feature = "files")]
    pub(crate) fn s3<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        Self::Files {
            operation,
            class: class_of(&error),
            source: Box::new(error),
        }
    }
}

fn class_of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Class {
    match error {
        SdkError::ServiceError(service) => class_of_code(service.err().code()),
        SdkError::ConstructionFailure(_) => Class::Broken,
        _ => Class::Busy,
    }
}

impl Fault for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Dynamo { class, .. } | Self::Files { class, .. } => *class,
            Self::Row { .. } => Class::Broken,
        }
    }
}

/// Error codes that mean "later": DynamoDB's by its developer guide ("Error handling"), S3's by its
/// API reference ("Error responses").
fn class_of_code(code: Option<&str>) -> Class {
    match code {
        Some(
            "InternalError"
            | "InternalServerError"
            | "LimitExceededException"
            | "ProvisionedThroughputExceededException"
            | "ReplicatedWriteConflictException"
            | "RequestLimitExceeded"
            | "RequestTimeout"
            | "ServiceUnavailable"
            | "SlowDown"
            | "ThrottlingException"
            | "TransactionConflictException"
            | "TransactionInProgressException",
        ) => Class::Busy,
        _ => Class::Broken,
    }
}
