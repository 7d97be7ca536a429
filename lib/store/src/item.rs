//! Records to items and back.

use std::collections::HashMap;
use std::fmt::Display;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// A row as the SDK has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A record as an item. Records hold only what DynamoDB can, so this cannot fail.
pub(crate) fn to_item(record: &impl Serialize) -> Item {
    serde_dynamo::to_item(record).expect("a record is a map of DynamoDB types")
}

/// An item as a record of `table`.
pub(crate) fn from_item<R: DeserializeOwned>(
    table: &'static str,
    item: Item,
) -> Result<R, StoreError> {
    serde_dynamo::from_item(item).map_err(|source| StoreError::Row { table, source })
}

/// A string attribute.
pub(crate) fn s(value: impl Display) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number attribute.
pub(crate) fn n(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
