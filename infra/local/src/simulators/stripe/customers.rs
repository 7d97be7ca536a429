//! Customers. <https://docs.stripe.com/api/customers>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::State;

const FIELDS: [&str; 4] = ["email", "name", "description", "phone"];

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let mut customer = json!({
        "id": State::new_id("cus"),
        "object": "customer",
        "balance": 0,
        "created": now,
        "currency": Value::Null,
        "delinquent": false,
        "invoice_prefix": State::new_id("x")[2..10].to_uppercase(),
        "livemode": false,
        "metadata": params.metadata(&Value::Null),
        "next_invoice_sequence": 1,
    });
    for field in FIELDS {
        customer[field] = params.text(field).filter(|text| !text.is_empty()).into();
    }
    params.finish()?;
    state.put(customer.clone());
    state.raise("customer.created", &customer, None, now);
    Ok(customer)
}

pub(super) fn update(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("customer", id, None)?;
    let mut customer = before.clone();
    for field in FIELDS {
        if let Some(text) = params.text(field) {
            customer[field] = Some(text).filter(|text| !text.is_empty()).into();
        }
    }
    customer["metadata"] = params.metadata(&before["metadata"]);
    params.finish()?;
    state.put(customer.clone());
    state.raise("customer.updated", &customer, Some(&before), now);
    Ok(customer)
}

pub(super) fn delete(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let mut customer = state.find("customer", id, None)?;
    state.raise("customer.deleted", &customer, None, now);
    customer["deleted"] = true.into();
    state.put(customer);
    Ok(json!({ "id": id, "object": "customer", "deleted": true }))
}

/// `query` with clauses `field:'value'` and `metadata['key']:'value'`, joined by AND.
pub(super) fn search(state: &State, mut params: Params) -> Result<Value, ApiError> {
    let query = params.required("query")?;
    let limit = usize::try_from(params.integer("limit")?.unwrap_or(10)).unwrap_or(10);
    params.text("page");
    params.finish()?;
    let mut found = state.of_kind("customer");
    found.reverse();
    found.retain(|customer| customer["deleted"] != true);
    for clause in query.split(" AND ") {
        let malformed = || {
            ApiError::invalid(format!(
                "We were unable to parse your search query: {query}"
            ))
        };
        let (field, value) = clause.trim().split_once(':').ok_or_else(malformed)?;
        let value = value.trim_matches(['\'', '"']);
        let key = field
            .strip_prefix("metadata[")
            .and_then(|it| it.strip_suffix(']'));
        match (key.map(|key| key.trim_matches(['\'', '"'])), field) {
            (Some(key), _) => found.retain(|customer| customer["metadata"][key] == value),
            (None, "email" | "name" | "phone") => found.retain(|customer| customer[field] == value),
            _ => return Err(malformed()),
        }
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(json!({
        "object": "search_result",
        "url": "/v1/customers/search",
        "has_more": has_more,
        "next_page": Value::Null,
        "data": found,
    }))
}
