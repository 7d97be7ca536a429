//! Subscriptions. <https://docs.stripe.com/api/subscriptions>

use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::error::ApiError;
use super::invoices;
use super::params::Params;
use super::state::State;

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    let customer = state.find("customer", &customer, Some("customer"))?;
    let trial_days = params.integer("trial_period_days")?.unwrap_or(0);
    let behavior = params
        .text("payment_behavior")
        .unwrap_or_else(|| "allow_incomplete".to_owned());
    let collection = params
        .text("collection_method")
        .unwrap_or_else(|| "charge_automatically".to_owned());
    let days_until_due = params.integer("days_until_due")?;
    let cancel_at_period_end = params.flag("cancel_at_period_end")?.unwrap_or(false);
    let id = State::new_id("sub");
    let requested = params.list("items");
    if requested.is_empty() {
        return Err(ApiError::coded(
            "parameter_missing",
            Some("items"),
            "Missing required param: items.",
        ));
    }
    let mut items = Vec::new();
    let trial_end = (trial_days > 0).then(|| now + trial_days * 86_400);
    for mut item in requested {
        let price = item.required("price")?;
        let price = state.find("price", &price, Some("items[0][price]"))?;
        if price["recurring"].is_null() {
            return Err(ApiError::invalid(
                "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            ));
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
    let metadata = params.metadata(&Value::Null);
    params.finish()?;
    let status = match (trial_end, collection.as_str()) {
        (Some(_), _) => "trialing",
        (None, "send_invoice") => "active",
        // Without a payment method the first payment cannot succeed.
        (None, _) if behavior == "error_if_incomplete" => return Err(ApiError::declined()),
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
        "currency": items[0]["price"]["currency"],
        "customer": customer["id"],
        "days_until_due": days_until_due,
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
    state.put(subscription.clone());
    let invoice = invoices::of_period(state, &subscription, "subscription_create", now)?;
    subscription["latest_invoice"] = invoice["id"].clone();
    state.put(subscription.clone());
    state.raise("customer.subscription.created", &subscription, None, now);
    Ok(subscription)
}

pub(super) fn update(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("subscription", id, None)?;
    if before["status"] == "canceled" {
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
    params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let mut subscription = state.find("subscription", id, None)?;
    if subscription["status"] == "canceled" {
        return Err(ApiError::no_such("subscription", id, None));
    }
    params.finish()?;
    end(&mut subscription, now);
    state.put(subscription.clone());
    state.raise("customer.subscription.deleted", &subscription, None, now);
    Ok(subscription)
}

/// Moves a subscription to its next period: it renews with an open invoice, or ends.
pub(super) fn advance(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = state.find("subscription", id, None)?;
    let mut subscription = before.clone();
    if before["status"] == "canceled" {
        return Err(ApiError::invalid("This subscription is canceled."));
    }
    if before["cancel_at_period_end"] == true {
        end(&mut subscription, now);
        state.put(subscription.clone());
        state.raise("customer.subscription.deleted", &subscription, None, now);
        return Ok(subscription);
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
    Ok(subscription)
}

/// Sets the status that a payment, or its failure, leads to.
pub(super) fn set_status(state: &mut State, id: &str, status: &str, now: i64) {
    let Some(before) = state.get(id).cloned() else {
        return;
    };
    if before["status"] != status {
        let mut subscription = before.clone();
        subscription["status"] = status.into();
        put(state, &before, &subscription, now);
    }
}

fn put(state: &mut State, before: &Value, after: &Value, now: i64) {
    state.put(after.clone());
    if before != after {
        state.raise("customer.subscription.updated", after, Some(before), now);
    }
}

fn end(subscription: &mut Value, now: i64) {
    subscription["status"] = "canceled".into();
    subscription["canceled_at"] = now.into();
    subscription["ended_at"] = now.into();
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
