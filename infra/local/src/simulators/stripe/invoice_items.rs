//! What an invoice bills. <https://docs.stripe.com/api/invoiceitems>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::State;

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    let owner = state.find("customer", &customer, Some("customer"))?;
    let amount = params.amount("amount")?;
    let invoice = params.text("invoice");
    let invoice = invoice
        .map(|id| state.find("invoice", &id, Some("invoice")))
        .transpose()?;
    let given = params.currency("currency")?;
    let currency = match (&invoice, given) {
        (_, Some(given)) => Value::String(given),
        (Some(invoice), None) => invoice["currency"].clone(),
        (None, None) => default_currency(&owner),
    };
    let item = json!({
        "id": State::new_id("ii"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "date": now,
        "description": params.text("description"),
        "discountable": true,
        "invoice": invoice.as_ref().map(|invoice| &invoice["id"]),
        "livemode": false,
        "metadata": params.metadata(&Value::Null),
        "period": { "start": now, "end": now },
        "proration": false,
        "quantity": 1,
    });
    params.finish()?;
    if let Some(mut invoice) = invoice {
        if invoice["customer"] != *customer {
            return Err(ApiError::no_such(
                "invoice",
                invoice["id"].as_str().unwrap_or_default(),
                Some("invoice"),
            ));
        }
        if invoice["status"] != "draft" {
            return Err(ApiError::coded(
                "invoice_not_editable",
                Some("invoice"),
                "Invalid invoice: This invoice is no longer editable",
            ));
        }
        if invoice["currency"] != currency {
            let message = format!(
                "The currency of the invoice item ({currency}) must be that of the invoice ({}).",
                invoice["currency"]
            );
            return Err(ApiError::param("currency", message));
        }
        let line = json!({
            "id": State::new_id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": item["currency"],
            "description": item["description"],
            "invoice": invoice["id"],
            "livemode": false,
            "metadata": item["metadata"],
            "parent": { "type": "invoice_item_details", "invoice_item_details": { "invoice_item": item["id"] } },
            "period": item["period"],
            "quantity": 1,
        });
        add_line(&mut invoice, line);
        state.put(invoice);
    }
    state.put(item.clone());
    state.raise("invoiceitem.created", &item, None, now);
    Ok(item)
}

/// What a customer is billed in where nothing is said: as before, or the account's currency.
pub(super) fn default_currency(customer: &Value) -> Value {
    match &customer["currency"] {
        Value::Null => "usd".into(),
        currency => currency.clone(),
    }
}

/// One line for each of a subscription's items, for its current period.
pub(super) fn of_subscription(invoice: &mut Value, subscription: &Value) {
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
            "livemode": false,
            "metadata": subscription["metadata"],
            "parent": { "type": "subscription_item_details", "subscription_item_details": { "subscription": subscription["id"], "subscription_item": item["id"] } },
            "period": { "start": item["current_period_start"], "end": item["current_period_end"] },
            "pricing": { "type": "price_details", "price_details": { "price": item["price"]["id"], "product": item["price"]["product"] } },
            "quantity": item["quantity"],
        });
        add_line(invoice, line);
    }
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
