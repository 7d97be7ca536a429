//! Invoices, their items and payments. <https://docs.stripe.com/api/invoices>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::State;
use super::subscriptions;

/// Automatic retries of a failed payment: after 3, 5 and 7 days, then never.
const RETRY_DAYS: [i64; 3] = [3, 5, 7];

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    let customer = state.find("customer", &customer, Some("customer"))?;
    let collection = params
        .text("collection_method")
        .unwrap_or_else(|| "charge_automatically".to_owned());
    let days_until_due = params.integer("days_until_due")?;
    let due_date = params
        .integer("due_date")?
        .or(days_until_due.map(|days| now + days * 86_400));
    if due_date.is_some() && collection != "send_invoice" {
        return Err(ApiError::invalid(
            "You can only specify `days_until_due` or `due_date` if `collection_method` is `send_invoice`.",
        ));
    }
    let mut invoice = draft(&customer, "manual", now);
    invoice["auto_advance"] = params.flag("auto_advance")?.unwrap_or(false).into();
    invoice["collection_method"] = collection.into();
    invoice["due_date"] = due_date.into();
    invoice["description"] = params.text("description").into();
    invoice["metadata"] = params.metadata(&Value::Null);
    if let Some(currency) = params.text("currency") {
        invoice["currency"] = currency.to_lowercase().into();
    }
    params.text("pending_invoice_items_behavior");
    params.finish()?;
    state.put(invoice.clone());
    state.raise("invoice.created", &invoice, None, now);
    Ok(invoice)
}

pub(super) fn update(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("invoice", id, None)?;
    let mut invoice = before.clone();
    invoice["metadata"] = params.metadata(&before["metadata"]);
    if let Some(description) = params.text("description") {
        invoice["description"] = description.into();
    }
    if let Some(auto_advance) = params.flag("auto_advance")? {
        invoice["auto_advance"] = auto_advance.into();
    }
    params.finish()?;
    state.put(invoice.clone());
    state.raise("invoice.updated", &invoice, Some(&before), now);
    Ok(invoice)
}

pub(super) fn create_item(
    state: &mut State,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    state.find("customer", &customer, Some("customer"))?;
    let amount = params.integer("amount")?.ok_or_else(|| {
        ApiError::coded(
            "parameter_missing",
            Some("amount"),
            "Missing required param: amount.",
        )
    })?;
    let currency = params.required("currency")?.to_lowercase();
    let invoice = params.text("invoice");
    let item = json!({
        "id": State::new_id("ii"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "date": now,
        "description": params.text("description"),
        "discountable": true,
        "invoice": invoice,
        "livemode": false,
        "metadata": params.metadata(&Value::Null),
        "period": { "start": now, "end": now },
        "proration": false,
        "quantity": 1,
    });
    params.finish()?;
    if let Some(id) = invoice {
        let mut invoice = state.find("invoice", &id, Some("invoice"))?;
        if invoice["status"] != "draft" {
            return Err(ApiError::coded(
                "invoice_not_editable",
                Some("invoice"),
                "This invoice is no longer editable.",
            ));
        }
        let line = json!({
            "id": State::new_id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": item["currency"],
            "description": item["description"],
            "invoice": id,
            "metadata": item["metadata"],
            "parent": { "type": "invoice_item_details", "invoice_item_details": { "invoice_item": item["id"] } },
            "period": item["period"],
            "quantity": 1,
        });
        invoice["currency"] = item["currency"].clone();
        add_line(&mut invoice, line);
        state.put(invoice);
    }
    state.put(item.clone());
    state.raise("invoiceitem.created", &item, None, now);
    Ok(item)
}

pub(super) fn finalize(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = state.find("invoice", id, None)?;
    if before["status"] != "draft" {
        return Err(ApiError::coded(
            "invoice_not_editable",
            None,
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
        ));
    }
    let mut invoice = before.clone();
    open(state, &mut invoice, now);
    state.put(invoice.clone());
    state.raise("invoice.finalized", &invoice, None, now);
    state.raise("invoice.updated", &invoice, Some(&before), now);
    if invoice["amount_due"] == 0 {
        return pay(state, id, now);
    }
    Ok(invoice)
}

/// A payment that succeeds.
pub(super) fn pay(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = payable(state, id)?;
    let mut invoice = before.clone();
    invoice["status"] = "paid".into();
    invoice["amount_paid"] = invoice["amount_due"].clone();
    invoice["amount_remaining"] = 0.into();
    invoice["attempted"] = true.into();
    invoice["attempt_count"] = (invoice["attempt_count"].as_i64().unwrap_or(0) + 1).into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["paid_at"] = now.into();
    if let Some(mut intent) = intent_of(state, &invoice) {
        intent["status"] = "succeeded".into();
        intent["amount_received"] = intent["amount"].clone();
        intent["payment_method_types"] = json!(["card"]);
        state.put(intent.clone());
        state.raise("payment_intent.succeeded", &intent, None, now);
    }
    if let Some(payment) = invoice.pointer_mut("/payments/data/0") {
        payment["status"] = "paid".into();
        payment["amount_paid"] = payment["amount_requested"].clone();
        payment["status_transitions"]["paid_at"] = now.into();
    }
    state.put(invoice.clone());
    state.raise("invoice.updated", &invoice, Some(&before), now);
    state.raise("invoice.paid", &invoice, None, now);
    state.raise("invoice.payment_succeeded", &invoice, None, now);
    if let Some(subscription) = subscription_of(&invoice) {
        let status = state
            .get(&subscription)
            .map(|it| it["status"].clone())
            .unwrap_or_default();
        if matches!(status.as_str(), Some("incomplete" | "past_due" | "unpaid")) {
            subscriptions::set_status(state, &subscription, "active", now);
        }
    }
    Ok(invoice)
}

/// A payment that is tried and fails.
pub(super) fn fail(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = payable(state, id)?;
    let mut invoice = before.clone();
    let tried = invoice["attempt_count"].as_i64().unwrap_or(0) + 1;
    let automatic = invoice["collection_method"] == "charge_automatically";
    let next = usize::try_from(tried - 1)
        .ok()
        .and_then(|at| RETRY_DAYS.get(at))
        .filter(|_| automatic);
    invoice["attempted"] = true.into();
    invoice["attempt_count"] = tried.into();
    invoice["next_payment_attempt"] = next.map(|days| now + days * 86_400).into();
    if let Some(mut intent) = intent_of(state, &invoice) {
        intent["status"] = "requires_payment_method".into();
        intent["last_payment_error"] = json!({
            "type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
            "message": "Your card was declined.",
        });
        state.put(intent.clone());
        state.raise("payment_intent.payment_failed", &intent, None, now);
    }
    state.put(invoice.clone());
    state.raise("invoice.updated", &invoice, Some(&before), now);
    state.raise("invoice.payment_failed", &invoice, None, now);
    if let Some(subscription) = subscription_of(&invoice) {
        let status = state
            .get(&subscription)
            .map(|it| it["status"].clone())
            .unwrap_or_default();
        if status == "active" {
            subscriptions::set_status(state, &subscription, "past_due", now);
        }
    }
    Ok(invoice)
}

/// `void` and `mark_uncollectible`: from open (or, to void, from uncollectible).
pub(super) fn close(
    state: &mut State,
    id: &str,
    status: &str,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("invoice", id, None)?;
    let allowed =
        before["status"] == "open" || status == "void" && before["status"] == "uncollectible";
    if !allowed {
        let message = format!(
            "You can only pass in open invoices. This invoice isn't open. Its status is {}.",
            before["status"]
        );
        return Err(ApiError::invalid(message));
    }
    let mut invoice = before.clone();
    invoice["status"] = status.into();
    let (event, transition) = match status {
        "void" => ("invoice.voided", "voided_at"),
        _ => ("invoice.marked_uncollectible", "marked_uncollectible_at"),
    };
    invoice["status_transitions"][transition] = now.into();
    invoice["next_payment_attempt"] = Value::Null;
    state.put(invoice.clone());
    state.raise("invoice.updated", &invoice, Some(&before), now);
    state.raise(event, &invoice, None, now);
    Ok(invoice)
}

/// The invoice of a subscription's current period: finalized at once, paid where nothing is due.
pub(super) fn of_period(
    state: &mut State,
    subscription: &Value,
    reason: &str,
    now: i64,
) -> Result<Value, ApiError> {
    let customer = subscription["customer"].as_str().unwrap_or_default();
    let customer = state.find("customer", customer, None)?;
    let mut invoice = draft(&customer, reason, now);
    invoice["auto_advance"] = true.into();
    invoice["collection_method"] = subscription["collection_method"].clone();
    if let Some(days) = subscription["days_until_due"].as_i64() {
        invoice["due_date"] = (now + days * 86_400).into();
    }
    invoice["currency"] = subscription["currency"].clone();
    let details =
        json!({ "subscription": subscription["id"], "metadata": subscription["metadata"] });
    invoice["parent"] = json!({ "type": "subscription_details", "quote_details": Value::Null, "subscription_details": details });
    let trialing = subscription["status"] == "trialing";
    for item in subscription["items"]["data"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let unit = item["price"]["unit_amount"].as_i64().unwrap_or(0);
        let amount = if trialing {
            0
        } else {
            unit * item["quantity"].as_i64().unwrap_or(1)
        };
        let line = json!({
            "id": State::new_id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": subscription["currency"],
            "description": "Subscription",
            "invoice": invoice["id"],
            "metadata": subscription["metadata"],
            "parent": { "type": "subscription_item_details", "subscription_item_details": { "subscription": subscription["id"], "subscription_item": item["id"] } },
            "period": { "start": item["current_period_start"], "end": item["current_period_end"] },
            "pricing": { "type": "price_details", "price_details": { "price": item["price"]["id"], "product": item["price"]["product"] } },
            "quantity": item["quantity"],
        });
        add_line(&mut invoice, line);
    }
    state.put(invoice.clone());
    state.raise("invoice.created", &invoice, None, now);
    let id = invoice["id"].as_str().unwrap_or_default().to_owned();
    finalize(state, &id, now)
}

/// `GET /v1/invoice_payments?invoice=…`
pub(super) fn payments(state: &State, mut params: Params) -> Result<Value, ApiError> {
    let id = params.required("invoice")?;
    params.integer("limit")?;
    params.finish()?;
    let invoice = state.find("invoice", &id, Some("invoice"))?;
    Ok(invoice["payments"].clone())
}

fn draft(customer: &Value, reason: &str, now: i64) -> Value {
    let id = State::new_id("in");
    json!({
        "id": id,
        "object": "invoice",
        "amount_due": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "attempt_count": 0,
        "attempted": false,
        "billing_reason": reason,
        "created": now,
        "currency": "usd",
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "due_date": Value::Null,
        "hosted_invoice_url": Value::Null,
        "invoice_pdf": Value::Null,
        "lines": { "object": "list", "has_more": false, "url": format!("/v1/invoices/{id}/lines"), "data": [] },
        "livemode": false,
        "metadata": {},
        "next_payment_attempt": Value::Null,
        "number": Value::Null,
        "parent": Value::Null,
        "payments": { "object": "list", "has_more": false, "url": "/v1/invoice_payments", "data": [] },
        "period_start": now,
        "period_end": now,
        "status": "draft",
        "status_transitions": { "finalized_at": Value::Null, "marked_uncollectible_at": Value::Null, "paid_at": Value::Null, "voided_at": Value::Null },
        "subtotal": 0,
        "total": 0,
    })
}

fn add_line(invoice: &mut Value, line: Value) {
    let total = invoice["total"].as_i64().unwrap_or(0) + line["amount"].as_i64().unwrap_or(0);
    if let Some(lines) = invoice
        .pointer_mut("/lines/data")
        .and_then(Value::as_array_mut)
    {
        lines.push(line);
    }
    invoice["subtotal"] = total.into();
    invoice["total"] = total.into();
    invoice["amount_due"] = total.max(0).into();
    invoice["amount_remaining"] = total.max(0).into();
}

/// Draft to open: a number, a page to pay on, and a payment intent.
fn open(state: &mut State, invoice: &mut Value, now: i64) {
    let customer = invoice["customer"].as_str().unwrap_or_default();
    if let Some(mut customer) = state.get(customer).cloned() {
        let sequence = customer["next_invoice_sequence"].as_i64().unwrap_or(1);
        let prefix = customer["invoice_prefix"].as_str().unwrap_or_default();
        invoice["number"] = format!("{prefix}-{sequence:04}").into();
        customer["next_invoice_sequence"] = (sequence + 1).into();
        state.put(customer);
    }
    let id = invoice["id"].as_str().unwrap_or_default().to_owned();
    invoice["status"] = "open".into();
    invoice["status_transitions"]["finalized_at"] = now.into();
    invoice["hosted_invoice_url"] = format!("https://invoice.stripe.com/i/local/{id}").into();
    invoice["invoice_pdf"] = format!("https://pay.stripe.com/invoice/local/{id}/pdf").into();
    if invoice["amount_due"] == 0 {
        return;
    }
    let intent = json!({
        "id": State::new_id("pi"),
        "object": "payment_intent",
        "amount": invoice["amount_due"],
        "amount_received": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "last_payment_error": Value::Null,
        "livemode": false,
        "metadata": {},
        "payment_method": Value::Null,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    });
    let payment = json!({
        "id": State::new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": Value::Null,
        "amount_requested": invoice["amount_due"],
        "created": now,
        "currency": invoice["currency"],
        "invoice": id,
        "is_default": true,
        "livemode": false,
        "payment": { "type": "payment_intent", "payment_intent": intent["id"] },
        "status": "open",
        "status_transitions": { "canceled_at": Value::Null, "paid_at": Value::Null },
    });
    invoice["payments"]["data"] = json!([payment]);
    state.put(intent);
}

fn payable(state: &State, id: &str) -> Result<Value, ApiError> {
    let invoice = state.find("invoice", id, None)?;
    match invoice["status"].as_str() {
        Some("open" | "uncollectible") => Ok(invoice),
        Some("paid") => Err(ApiError::coded(
            "invoice_already_paid",
            None,
            "Invoice is already paid",
        )),
        Some("draft") => Err(ApiError::coded(
            "invoice_not_finalized",
            None,
            "This invoice is a draft; finalize it first.",
        )),
        other => {
            let message = format!(
                "This invoice can no longer be paid; its status is {}.",
                other.unwrap_or("unknown")
            );
            Err(ApiError::invalid(message))
        }
    }
}

fn intent_of(state: &State, invoice: &Value) -> Option<Value> {
    let id = invoice
        .pointer("/payments/data/0/payment/payment_intent")?
        .as_str()?;
    state.get(id).cloned()
}

fn subscription_of(invoice: &Value) -> Option<String> {
    let id = invoice
        .pointer("/parent/subscription_details/subscription")?
        .as_str()?;
    Some(id.to_owned())
}
