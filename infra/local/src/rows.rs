//! Tables, read whole: each row as plain JSON.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value};

use crate::stack::Stack;

/// Every row of a table.
pub(crate) async fn of(stack: &Stack, table: &str) -> Result<Vec<Value>, String> {
    let scan = stack.dynamo().scan().table_name(stack.name(table));
    // A page ends after 1 MB.
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(row) = pages.next().await {
        let row = row.map_err(|error| format!("{table} could not be read: {error}"))?;
        let row = row.iter().map(|(name, value)| (name.clone(), plain(value)));
        rows.push(Value::Object(row.collect::<Map<_, _>>()));
    }
    Ok(rows)
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => text.clone().into(),
        AttributeValue::N(number) => serde_json::from_str(number).unwrap_or_default(),
        AttributeValue::Bool(yes) => (*yes).into(),
        AttributeValue::L(list) => list.iter().map(plain).collect(),
        AttributeValue::M(map) => {
            let map = map.iter().map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(map.collect())
        }
        _ => Value::Null,
    }
}

/// A text, or nothing.
pub(crate) fn text<'a>(row: &'a Value, path: &str) -> &'a str {
    let found = row.pointer(path).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// A whole number, or 0.
pub(crate) fn number(row: &Value, path: &str) -> i64 {
    let found = row.pointer(path).and_then(Value::as_i64);
    found.unwrap_or_default()
}
