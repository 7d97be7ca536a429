//! Invoices: from draft to open to paid, void or uncollectible.
//! <https://docs.stripe.com/invoicing/integration/workflow-transitions>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::{Params, within_limits};
use super::state::State;
use super::{customers, invoice_items, payments};

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    let customer = state.find("customer", &customer, Some("customer"))?;
    let collection = collection_method(&mut params)?;
    let days_until_due = params.integer("days_until_due")?;
    let due_date = params
        .integer("due_date")?
        .or(days_until_due.map(|days| now + days * 86_400));
    if due_date.is_some() != (collection == "send_invoice") {
        return Err(ApiError::invalid(if due_date.is_some() {
            "You can only specify 'due_date' or 'days_until_due' if invoice collection method is 'send_invoice'."
        } else {
            "If invoice collection method is 'send_invoice', you must specify 'due_date' or 'days_until_due'."
        }));
    }
    let mut invoice = draft(&customer, "manual", now);
    invoice["auto_advance"] = params.flag("auto_advance")?.unwrap_or(false).into();
    invoice["collection_method"] = collection.into();
    invoice["due_date"] = due_date.into();
    invoice["description"] = params.text("description").into();
    invoice["metadata"] = params.metadata(&Value::Null);
    if let Some(currency) = params.currency("currency")? {
        invoice["currency"] = currency.into();
    }
    params.text("pending_invoice_items_behavior");
    params.finish()?;
    let id = customer["id"].as_str().unwrap_or_default();
    customers::settle_currency(state, id, &invoice["currency"], now);
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
        if before["status"] != "draft" {
            return Err(ApiError::param(
                "description",
                "Finalized invoices can't be updated in this way",
            ));
        }
        invoice["description"] = description.into();
    }
    if let Some(auto_advance) = params.flag("auto_advance")? {
        // "Automatic advancement and collection never occur" on the others.
        // <https://docs.stripe.com/invoicing/integration/automatic-advancement-collection>
        let advances = matches!(before["status"].as_str(), Some("draft" | "open"));
        invoice["auto_advance"] = (auto_advance && advances).into();
    }
    params.finish()?;
    changed(state, &before, &invoice, now);
    Ok(invoice)
}

/// `POST /v1/invoices/{id}/finalize`.
pub(super) fn finalize_as_asked(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let auto_advance = params.flag("auto_advance")?;
    params.finish()?;
    finalize(state, id, auto_advance, now)
}

/// Draft to open; paid where nothing is due. Nothing is collected yet: with `auto_advance` Stripe
/// does that about an hour later. <https://docs.stripe.com/api/invoices/finalize>
pub(super) fn finalize(
    state: &mut State,
    id: &str,
    auto_advance: Option<bool>,
    now: i64,
) -> Result<Value, ApiError> {
    let before = state.find("invoice", id, None)?;
    if before["status"] != "draft" {
        return Err(ApiError::invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
        ));
    }
    within_limits("amount", before["amount_due"].as_i64().unwrap_or(0))?;
    let mut invoice = before.clone();
    if let Some(auto_advance) = auto_advance {
        invoice["auto_advance"] = auto_advance.into();
    }
    open(state, &mut invoice, now);
    let due = invoice["amount_due"] != 0;
    if due {
        payments::prepare(state, &mut invoice, now);
    }
    state.put(invoice.clone());
    state.raise("invoice.finalized", &invoice, None, now);
    state.raise("invoice.updated", &invoice, Some(&before), now);
    if due {
        Ok(invoice)
    } else {
        Ok(payments::settle_without_payment(state, &invoice, now))
    }
}

/// `void` and `mark_uncollectible`: from open, and to void also from uncollectible.
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
        return Err(ApiError::invalid(
            "You can only pass in open invoices. This invoice isn't open.",
        ));
    }
    let mut invoice = before.clone();
    invoice["status"] = status.into();
    let (event, transition) = match status {
        "void" => ("invoice.voided", "voided_at"),
        _ => ("invoice.marked_uncollectible", "marked_uncollectible_at"),
    };
    invoice["status_transitions"][transition] = now.into();
    stop_collection(&mut invoice);
    changed(state, &before, &invoice, now);
    state.raise(event, &invoice, None, now);
    if status == "void" {
        payments::cancel(state, &invoice, "void_invoice", now);
    }
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
    invoice_items::of_subscription(&mut invoice, subscription);
    state.put(invoice.clone());
    state.raise("invoice.created", &invoice, None, now);
    let id = invoice["id"].as_str().unwrap_or_default().to_owned();
    finalize(state, &id, None, now)
}

/// "Stripe stops automatic collection of all finalized invoices for the customer."
/// <https://docs.stripe.com/api/subscriptions/cancel>
pub(super) fn stop_collecting(state: &mut State, customer: &str, now: i64) {
    let open: Vec<Value> = state
        .of_kind("invoice", Some(("customer", customer)))
        .filter(|invoice| invoice["status"] == "open" && invoice["auto_advance"] == true)
        .cloned()
        .collect();
    for before in open {
        let mut invoice = before.clone();
        stop_collection(&mut invoice);
        changed(state, &before, &invoice, now);
    }
}

/// `charge_automatically`, or as asked.
pub(super) fn collection_method(params: &mut Params) -> Result<String, ApiError> {
    let given = params.text("collection_method");
    match given.as_deref() {
        None => Ok("charge_automatically".to_owned()),
        Some(known @ ("charge_automatically" | "send_invoice")) => Ok(known.to_owned()),
        Some(other) => Err(ApiError::param(
            "collection_method",
            format!(
                "Invalid collection_method: must be one of charge_automatically or send_invoice, not {other}"
            ),
        )),
    }
}

/// Puts an invoice that changed, and tells of it.
pub(super) fn changed(state: &mut State, before: &Value, after: &Value, now: i64) {
    state.put(after.clone());
    if before != after {
        state.raise("invoice.updated", after, Some(before), now);
    }
}

/// No attempt to collect is made any more.
pub(super) fn stop_collection(invoice: &mut Value) {
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
}

fn draft(customer: &Value, reason: &str, now: i64) -> Value {
    let id = State::new_id("in");
    json!({
        "id": id,
        "object": "invoice",
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "attempt_count": 0,
        "attempted": false,
        "billing_reason": reason,
        "created": now,
        "currency": invoice_items::default_currency(customer),
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "default_payment_method": Value::Null,
        "description": Value::Null,
        "due_date": Value::Null,
        "effective_at": Value::Null,
        "hosted_invoice_url": Value::Null,
        "invoice_pdf": Value::Null,
        "lines": { "object": "list", "has_more": false, "url": format!("/v1/invoices/{id}/lines"), "data": [] },
        "livemode": false,
        "metadata": {},
        "next_payment_attempt": Value::Null,
        "number": Value::Null,
        "parent": Value::Null,
        "period_start": now,
        "period_end": now,
        "status": "draft",
        "status_transitions": { "finalized_at": Value::Null, "marked_uncollectible_at": Value::Null, "paid_at": Value::Null, "voided_at": Value::Null },
        "subtotal": 0,
        "total": 0,
        "_older": { "charge": Value::Null, "paid_out_of_band": false, "payment_intent": Value::Null },
    })
}

/// A number, and a page to pay on.
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
    invoice["effective_at"] = now.into();
    invoice["hosted_invoice_url"] = format!("https://invoice.stripe.com/i/local/{id}").into();
    invoice["invoice_pdf"] = format!("https://pay.stripe.com/invoice/local/{id}/pdf").into();
}

/// `sub_…` of what an invoice bills.
pub(super) fn subscription_of(invoice: &Value) -> Option<String> {
    super::state::field(invoice, "subscription").map(str::to_owned)
}
