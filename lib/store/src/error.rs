//! Why something could not be read or stored.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use bitflow_fault::{Class, Fault};

/// An operation on a table failed.
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
        let class = match &error {
            SdkError::ServiceError(service) => class_of_code(service.err().code()),
            SdkError::ConstructionFailure(_) => Class::Broken,
            _ => Class::Busy,
        };
        Self::Dynamo {
            operation: operation.into(),
            class,
            source: Box::new(error),
        }
    }
}

impl Fault for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Dynamo { class, .. } => *class,
            Self::Row { .. } => Class::Broken,
        }
    }
}

/// DynamoDB's error codes that mean "later", by its developer guide ("Error handling").
fn class_of_code(code: Option<&str>) -> Class {
    match code {
        Some(
            "InternalServerError"
            | "LimitExceededException"
            | "ProvisionedThroughputExceededException"
            | "ReplicatedWriteConflictException"
            | "RequestLimitExceeded"
            | "ServiceUnavailable"
            | "ThrottlingException"
            | "TransactionConflictException"
            | "TransactionInProgressException",
        ) => Class::Busy,
        _ => Class::Broken,
    }
}
