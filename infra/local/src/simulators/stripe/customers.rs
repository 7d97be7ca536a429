//! Customers. <https://docs.stripe.com/api/customers>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::State;
use super::subscriptions;

const FIELDS: [&str; 4] = ["email", "name", "description", "phone"];

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let mut customer = json!({
        "id": State::new_id("cus"),
        "object": "customer",
        "balance": 0,
        "created": now,
        "currency": Value::Null,
        "default_source": Value::Null,
        "delinquent": false,
        "invoice_prefix": State::new_id("x")[2..10].to_uppercase(),
        "invoice_settings": { "custom_fields": Value::Null, "default_payment_method": Value::Null, "footer": Value::Null },
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

/// "Also immediately cancels any active subscriptions on the customer."
/// <https://docs.stripe.com/api/customers/delete>
pub(super) fn delete(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let mut customer = state.find("customer", id, None)?;
    let active: Vec<Value> = state
        .of_kind("subscription", Some(("customer", id)))
        .filter(|subscription| !subscriptions::has_ended(subscription))
        .cloned()
        .collect();
    for subscription in active {
        subscriptions::end(state, subscription, now);
    }
    state.raise("customer.deleted", &customer, None, now);
    customer["deleted"] = true.into();
    customer["invoice_settings"]["default_payment_method"] = Value::Null;
    state.put(customer);
    Ok(gone(id))
}

/// "Unlike other objects, deleted customers can still be retrieved."
pub(super) fn retrieve(state: &State, id: &str) -> Result<Value, ApiError> {
    match state.get(id) {
        Some(customer) if customer["object"] == "customer" && customer["deleted"] == true => {
            Ok(gone(id))
        }
        _ => state.find("customer", id, None),
    }
}

fn gone(id: &str) -> Value {
    json!({ "id": id, "object": "customer", "deleted": true })
}

/// The currency of a customer's first bill is the customer's from then on.
/// <https://docs.stripe.com/api/customers/object#customer_object-currency>
pub(super) fn settle_currency(state: &mut State, id: &str, currency: &Value, now: i64) {
    if let Some(before) = state.get(id).filter(|it| it["currency"].is_null()).cloned() {
        let mut customer = before.clone();
        customer["currency"] = currency.clone();
        state.put(customer.clone());
        state.raise("customer.updated", &customer, Some(&before), now);
    }
}

/// "You can't have two active subscriptions with different currencies"; nor a subscription beside
/// items in another that wait for an invoice. An invoice in another currency is fine.
/// <https://docs.stripe.com/invoicing/multi-currency-customers>
pub(super) fn refuse_other_currency(
    state: &State,
    id: &str,
    currency: &Value,
) -> Result<(), ApiError> {
    let of = Some(("customer", id));
    let subscriptions = state
        .of_kind("subscription", of)
        .filter(|subscription| !subscriptions::has_ended(subscription));
    let waiting = state
        .of_kind("invoiceitem", of)
        .filter(|item| item["invoice"].is_null());
    let other = subscriptions
        .chain(waiting)
        .find(|object| object["currency"] != *currency);
    other.map_or(Ok(()), |other| {
        Err(ApiError::invalid(format!(
            "You cannot combine currencies on a single customer. This customer has an active \
             subscription, subscription schedule, discount, quote, or invoice item with currency {}.",
            other["currency"].as_str().unwrap_or_default()
        )))
    })
}

/// `query` with clauses `field:'value'` and `metadata['key']:'value'`, joined by AND.
pub(super) fn search(state: &State, mut params: Params) -> Result<Value, ApiError> {
    let query = params.required("query")?;
    let limit = usize::try_from(params.integer("limit")?.unwrap_or(10)).unwrap_or(10);
    params.text("page");
    params.finish()?;
    let mut found: Vec<&Value> = state
        .of_kind("customer", None)
        .rev()
        .filter(|customer| customer["deleted"] != true)
        .collect();
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
