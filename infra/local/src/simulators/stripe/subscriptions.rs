//! Subscriptions. <https://docs.stripe.com/api/subscriptions>

use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::payments::{self, Attempt};
use super::state::State;
use super::{customers, invoices, payment_methods};

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    state.find("customer", &customer, Some("customer"))?;
    let trial_days = params.integer("trial_period_days")?.unwrap_or(0);
    let behavior = params
        .text("payment_behavior")
        .unwrap_or_else(|| "allow_incomplete".to_owned());
    let collection = invoices::collection_method(&mut params)?;
    let days_until_due = params.integer("days_until_due")?;
    let cancel_at_period_end = params.flag("cancel_at_period_end")?.unwrap_or(false);
    let id = State::new_id("sub");
    let trial_end = (trial_days > 0).then(|| now + trial_days * 86_400);
    let items = items(state, &mut params, &id, trial_end, now)?;
    let metadata = params.metadata(&Value::Null);
    params.finish()?;
    let currency = items[0]["price"]["currency"].clone();
    customers::refuse_other_currency(state, &customer, &currency)?;
    let free = items
        .iter()
        .all(|item| item["price"]["unit_amount"] == 0 || item["quantity"] == 0);
    let status = match (trial_end, collection.as_str()) {
        (Some(_), _) => "trialing",
        (None, "send_invoice") => "active",
        (None, _) if free => "active",
        (None, _) => "incomplete",
    };
    let mut subscription = json!({
        "id": id,
        "object": "subscription",
        "billing_cycle_anchor": now,
        "cancel_at": Value::Null,
        "cancel_at_period_end": cancel_at_period_end,
        "canceled_at": Value::Null,
        "collection_method": collection,
        "created": now,
        "currency": currency,
        "customer": customer,
        "days_until_due": days_until_due,
        "default_payment_method": Value::Null,
        "ended_at": Value::Null,
        "items": { "object": "list", "has_more": false, "url": format!("/v1/subscription_items?subscription={id}"), "data": items },
        "latest_invoice": Value::Null,
        "livemode": false,
        "metadata": metadata,
        "start_date": now,
        "status": status,
        "trial_end": trial_end,
        "trial_start": trial_end.map(|_| now),
    });
    customers::settle_currency(state, &customer, &currency, now);
    let invoice = invoices::of_period(state, &subscription, "subscription_create", now)?;
    subscription["latest_invoice"] = invoice["id"].clone();
    state.put(subscription.clone());
    state.raise("customer.subscription.created", &subscription, None, now);
    if status != "incomplete" || behavior == "default_incomplete" {
        return Ok(subscription);
    }
    // The other behaviours try to pay at once.
    let tried = try_to_pay(state, &invoice, now);
    if behavior == "error_if_incomplete"
        && let Some(error) = tried
    {
        return Err(error.without_effect());
    }
    state.find("subscription", &id, None)
}

fn items(
    state: &State,
    params: &mut Params,
    id: &str,
    trial_end: Option<i64>,
    now: i64,
) -> Result<Vec<Value>, ApiError> {
    let requested = params.list("items");
    if requested.is_empty() {
        return Err(ApiError::coded(
            "parameter_missing",
            Some("items"),
            "Missing required param: items.",
        ));
    }
    let mut items: Vec<Value> = Vec::new();
    for (at, mut item) in requested.into_iter().enumerate() {
        let param = format!("items[{at}][price]");
        let price = item.required("price")?;
        let price = state.find("price", &price, Some(&param))?;
        if price["recurring"].is_null() {
            return Err(ApiError::param(
                &param,
                "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            ));
        }
        let expected = items.first().map(|item| &item["price"]["currency"]);
        if let Some(expected) = expected.filter(|expected| **expected != price["currency"]) {
            let message = format!(
                "The price specified only supports `{}`. This doesn't match the expected currency: `{}`.",
                price["currency"].as_str().unwrap_or_default(),
                expected.as_str().unwrap_or_default(),
            );
            return Err(ApiError::param(&param, message));
        }
        let quantity = item.integer("quantity")?.unwrap_or(1);
        item.finish()?;
        let end = trial_end.unwrap_or_else(|| period_end(now, &price));
        items.push(json!({
            "id": State::new_id("si"),
            "object": "subscription_item",
            "created": now,
            "current_period_start": now,
            "current_period_end": end,
            "metadata": {},
            "price": price,
            "quantity": quantity,
            "subscription": id,
        }));
    }
    Ok(items)
}

pub(super) fn update(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("subscription", id, None)?;
    if has_ended(&before) {
        return Err(ApiError::invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
        ));
    }
    let mut subscription = before.clone();
    if let Some(cancel) = params.flag("cancel_at_period_end")? {
        subscription["cancel_at_period_end"] = cancel.into();
        let end = subscription["items"]["data"][0]["current_period_end"].clone();
        subscription["cancel_at"] = if cancel { end } else { Value::Null };
        subscription["canceled_at"] = if cancel { now.into() } else { Value::Null };
    }
    subscription["metadata"] = params.metadata(&before["metadata"]);
    params.finish()?;
    put(state, &before, &subscription, now);
    Ok(subscription)
}

pub(super) fn cancel(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let subscription = state.find("subscription", id, None)?;
    if has_ended(&subscription) {
        return Err(ApiError::no_such("subscription", id, None));
    }
    params.flag("invoice_now")?;
    params.flag("prorate")?;
    params.finish()?;
    Ok(end(state, subscription, now))
}

/// Moves a subscription to its next period: it renews with an invoice, or ends. Stripe finalizes
/// that invoice and tries to pay it about an hour later; here both happen at once, the payment
/// where the customer has a payment method.
pub(super) fn advance(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = state.find("subscription", id, None)?;
    let mut subscription = before.clone();
    if has_ended(&before) {
        return Err(ApiError::invalid("This subscription has ended."));
    }
    if before["status"] == "incomplete" {
        return Ok(expire(state, before, now));
    }
    if before["cancel_at_period_end"] == true {
        return Ok(end(state, subscription, now));
    }
    if let Some(items) = subscription
        .pointer_mut("/items/data")
        .and_then(Value::as_array_mut)
    {
        for item in items {
            let start = item["current_period_end"].as_i64().unwrap_or(now);
            item["current_period_start"] = start.into();
            item["current_period_end"] = period_end(start, &item["price"]).into();
        }
    }
    if before["status"] == "trialing" {
        subscription["status"] = "active".into();
    }
    let invoice = invoices::of_period(state, &subscription, "subscription_cycle", now)?;
    subscription["latest_invoice"] = invoice["id"].clone();
    put(state, &before, &subscription, now);
    if invoice["collection_method"] == "charge_automatically" {
        try_to_pay(state, &invoice, now);
    }
    state.find("subscription", id, None)
}

/// Three days before a trial ends.
/// <https://docs.stripe.com/api/events/types#event_types-customer.subscription.trial_will_end>
pub(super) fn trial_will_end(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let subscription = state.find("subscription", id, None)?;
    if subscription["status"] != "trialing" {
        return Err(ApiError::invalid("This subscription is in no trial."));
    }
    let event = "customer.subscription.trial_will_end";
    state.raise(event, &subscription, None, now);
    Ok(subscription)
}

/// Sets the status that a payment, or its failure, leads to.
pub(super) fn set_status(state: &mut State, id: &str, status: &str, now: i64) {
    let Some(before) = state.get(id).cloned() else {
        return;
    };
    let mut subscription = before.clone();
    subscription["status"] = status.into();
    put(state, &before, &subscription, now);
}

/// Ends a subscription now.
pub(super) fn end(state: &mut State, mut subscription: Value, now: i64) -> Value {
    subscription["status"] = "canceled".into();
    if subscription["canceled_at"].is_null() {
        subscription["canceled_at"] = now.into();
    }
    subscription["ended_at"] = now.into();
    state.put(subscription.clone());
    state.raise("customer.subscription.deleted", &subscription, None, now);
    let customer = subscription["customer"].as_str().unwrap_or_default();
    invoices::stop_collecting(state, customer, now);
    subscription
}

pub(super) fn has_ended(subscription: &Value) -> bool {
    matches!(
        subscription["status"].as_str(),
        Some("canceled" | "incomplete_expired")
    )
}

/// "If the first invoice is not paid within 23 hours, the subscription transitions to
/// `incomplete_expired`. This is a terminal status, the open invoice will be voided."
/// <https://docs.stripe.com/api/subscriptions/object#subscription_object-status>
fn expire(state: &mut State, before: Value, now: i64) -> Value {
    let mut subscription = before.clone();
    subscription["status"] = "incomplete_expired".into();
    subscription["ended_at"] = now.into();
    put(state, &before, &subscription, now);
    let invoice = before["latest_invoice"].as_str().unwrap_or_default();
    // One that is void or uncollectible already stays so.
    let _ = invoices::close(state, invoice, "void", now);
    subscription
}

/// Pays an invoice, where the customer has a payment method; why it was not paid.
fn try_to_pay(state: &mut State, invoice: &Value, now: i64) -> Option<ApiError> {
    let customer = invoice["customer"].as_str().unwrap_or_default();
    if invoice["status"] != "open" {
        return None;
    }
    if payment_methods::default_of(state, customer).is_none() {
        return Some(ApiError::declined("generic_decline"));
    }
    let id = invoice["id"].as_str().unwrap_or_default();
    payments::collect(state, id, Attempt::Automatic, now).err()
}

fn put(state: &mut State, before: &Value, after: &Value, now: i64) {
    state.put(after.clone());
    if before != after {
        state.raise("customer.subscription.updated", after, Some(before), now);
    }
}

/// One interval after `start`, by the calendar in UTC.
fn period_end(start: i64, price: &Value) -> i64 {
    let count = price["recurring"]["interval_count"].as_i64().unwrap_or(1);
    let span = match price["recurring"]["interval"].as_str() {
        Some("day") => Span::new().days(count),
        Some("week") => Span::new().weeks(count),
        Some("year") => Span::new().years(count),
        _ => Span::new().months(count),
    };
    let start = Timestamp::from_second(start).unwrap_or_default();
    let end = Offset::UTC.to_datetime(start).checked_add(span);
    let end = end.ok().and_then(|end| Offset::UTC.to_timestamp(end).ok());
    end.unwrap_or(start).as_second()
}
