//! All or nothing: one TransactWriteItems, and what its refusal means.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::{PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Delete, Put, TransactWriteItem};
use bitflow_fault::{Class, Fault, Violation};

use crate::error::StoreError;
use crate::item::{Item, s};

/// Changes that happen together or not at all. At most 100 (DynamoDB's limit).
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    items: Vec<TransactWriteItem>,
    guards: Vec<Guard>,
}

/// What the condition on one item protects, hence what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The inbox row: the message was handled before.
    Inbox,
    /// The version of this kind of entity: somebody was faster.
    Version(&'static str),
    /// The uniqueness of this field.
    Unique(&'static str),
}

/// The transaction was refused, wholly.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The message that caused it was handled before: to the sender, a success.
    #[error("the message was handled before")]
    AlreadyHandled,
    /// The entity changed since it was loaded: load and decide again.
    #[error("the {entity} changed since it was loaded")]
    Conflict {
        /// The kind of entity.
        entity: &'static str,
    },
    /// Another entity has this value already.
    #[error("the {field} is taken")]
    Taken {
        /// The field.
        field: &'static str,
        /// The same, as the client reads it.
        violation: [Violation; 1],
    },
    /// Another transaction held one of the items: try again.
    #[error("another transaction held one of the items")]
    Contended,
    /// DynamoDB refused, or could not be reached.
    #[error("the transaction failed")]
    Store(#[from] StoreError),
}

impl Fault for CommitError {
    fn class(&self) -> Class {
        match self {
            Self::AlreadyHandled | Self::Conflict { .. } | Self::Taken { .. } => Class::Conflict,
            Self::Contended => Class::Busy,
            Self::Store(error) => error.class(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Taken { violation, .. } => violation,
            _ => &[],
        }
    }
}

impl Transaction {
    /// A transaction with nothing in it yet.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            items: Vec::new(),
            guards: Vec::new(),
        }
    }

    /// Makes it all happen, or none of it.
    ///
    /// The SDK sends a client request token, so its own retries within ten minutes are one
    /// transaction; beyond that the conditions see to it.
    ///
    /// # Errors
    /// Nothing happened, unless it is [`CommitError::Store`] without an answer.
    /// [`CommitError::AlreadyHandled`]: the message had its effect before, which is a success.
    /// [`CommitError::Conflict`]: load, decide and commit again. [`CommitError::Contended`]:
    /// likewise, a moment later. [`CommitError::Taken`]: whoever asked takes another value. Of
    /// several conditions that fail the inbox's is told, or else the one that was added first.
    pub async fn commit(self) -> Result<(), CommitError> {
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(self.items))
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            error.as_service_error()
            && let Some(meaning) = meaning(&self.guards, canceled.cancellation_reasons())
        {
            return Err(meaning);
        }
        Err(StoreError::dynamo("TransactWriteItems", error).into())
    }

    /// Adds a row that must not exist yet.
    pub(crate) fn insert(&mut self, table: &str, key: &str, item: Item, guard: Guard) {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", key);
        self.push(put, guard);
    }

    /// Adds a row that replaces the one with this `version`.
    pub(crate) fn replace(&mut self, table: &str, version: u64, item: Item, entity: &'static str) {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", crate::item::n(version));
        self.push(put, Guard::Version(entity));
    }

    /// Adds a row that replaces the one that has all of `expected`.
    pub(crate) fn replace_where(
        &mut self,
        table: &str,
        item: Item,
        expected: &[(&str, AttributeValue)],
        entity: &'static str,
    ) {
        let mut put = Put::builder().table_name(table).set_item(Some(item));
        let mut conditions = Vec::new();
        for (at, (attribute, value)) in expected.iter().enumerate() {
            conditions.push(format!("#expected{at} = :expected{at}"));
            put = put
                .expression_attribute_names(format!("#expected{at}"), *attribute)
                .expression_attribute_values(format!(":expected{at}"), value.clone());
        }
        let put = put.condition_expression(conditions.join(" AND "));
        self.push(put, Guard::Version(entity));
    }

    /// Adds a row that must not exist yet, or replaces the one that has `expected`.
    pub(crate) fn put(
        &mut self,
        table: &str,
        key: &str,
        item: Item,
        expected: Option<(&str, AttributeValue)>,
        entity: &'static str,
    ) {
        let mut put = Put::builder().table_name(table).set_item(Some(item));
        put = match expected {
            None => put
                .condition_expression("attribute_not_exists(#key)")
                .expression_attribute_names("#key", key),
            Some((attribute, value)) => put
                .condition_expression("#expected = :expected")
                .expression_attribute_names("#expected", attribute)
                .expression_attribute_values(":expected", value),
        };
        self.push(put, Guard::Version(entity));
    }

    /// Changes a row where it is, on the condition that the update names.
    pub(crate) fn update(&mut self, update: UpdateBuilder, entity: &'static str) {
        let update = update.build().expect("table, key and change are set");
        self.items
            .push(TransactWriteItem::builder().update(update).build());
        self.guards.push(Guard::Version(entity));
    }

    /// Removes the row with this key, if `owner` has this value; nothing where there is none.
    pub(crate) fn remove(
        &mut self,
        table: &str,
        (key, value): (&str, &str),
        (owner, of): (&str, &str),
        entity: &'static str,
    ) {
        let delete = Delete::builder()
            .table_name(table)
            .key(key, s(value))
            .condition_expression("attribute_not_exists(#key) OR #owner = :owner")
            .expression_attribute_names("#key", key)
            .expression_attribute_names("#owner", owner)
            .expression_attribute_values(":owner", s(of));
        let delete = delete.build().expect("table and key are set");
        self.items
            .push(TransactWriteItem::builder().delete(delete).build());
        self.guards.push(Guard::Version(entity));
    }

    fn push(&mut self, put: PutBuilder, guard: Guard) {
        let put = put.build().expect("table and item are set");
        self.items
            .push(TransactWriteItem::builder().put(put).build());
        self.guards.push(guard);
    }
}

/// What the reasons mean, given in the order of the items. "Handled before" outranks the rest:
/// then the other conditions fail because it was handled.
fn meaning(guards: &[Guard], reasons: &[CancellationReason]) -> Option<CommitError> {
    let failed = |code: &str| {
        guards
            .iter()
            .zip(reasons)
            .filter(move |(_, reason)| reason.code() == Some(code))
            .map(|(guard, _)| *guard)
            .collect::<Vec<_>>()
    };
    let conditions = failed("ConditionalCheckFailed");
    if conditions.contains(&Guard::Inbox) {
        return Some(CommitError::AlreadyHandled);
    }
    if let Some(guard) = conditions.first() {
        return Some(match *guard {
            Guard::Inbox => CommitError::AlreadyHandled,
            Guard::Version(entity) => CommitError::Conflict { entity },
            Guard::Unique(field) => CommitError::Taken {
                field,
                violation: [Violation::new(field, "is taken by another university")],
            },
        });
    }
    let contended = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ];
    contended
        .iter()
        .any(|code| !failed(code).is_empty())
        .then_some(CommitError::Contended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[&str], expect: Option<&str>) {
        let guards = [
            Guard::Version("invoice"),
            Guard::Unique("domain"),
            Guard::Inbox,
        ];
        let reasons: Vec<_> = codes
            .iter()
            .map(|code| CancellationReason::builder().code(*code).build())
            .collect();
        let seen = meaning(&guards, &reasons).map(|error| error.to_string());
        assert_eq!(seen.as_deref(), expect, "{codes:?}");
    }

    #[test]
    fn reasons_mean_what_their_item_guards() {
        let failed = "ConditionalCheckFailed";
        check(
            &[failed, "None", "None"],
            Some("the invoice changed since it was loaded"),
        );
        check(&["None", failed, "None"], Some("the domain is taken"));
        check(
            &["None", "None", failed],
            Some("the message was handled before"),
        );
        check(
            &[failed, failed, failed],
            Some("the message was handled before"),
        );
        check(
            &["TransactionConflict", "None", "None"],
            Some("another transaction held one of the items"),
        );
        check(&["ValidationError", "None", "None"], None);
    }
}
