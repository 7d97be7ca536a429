//! Charges, and how they go back: refunds and disputes. <https://docs.stripe.com/api/charges>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::payment_methods::MethodType;
use super::state::State;

/// The charge of an attempt to pay; `declined` says why the bank refused.
pub(super) fn create(
    state: &mut State,
    intent: &Value,
    invoice: &Value,
    declined: Option<&str>,
    now: i64,
) -> Value {
    let method = intent["payment_method"].as_str();
    let kind = method
        .and_then(|id| state.methods.get(id))
        .map_or(MethodType::Card, |method| method.kind);
    let succeeded = declined.is_none();
    let refusal = declined.map(|_| "Your card was declined.");
    let charge = json!({
        "id": State::new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": if succeeded { intent["amount"].clone() } else { 0.into() },
        "amount_refunded": 0,
        "balance_transaction": Value::Null,
        "captured": succeeded,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": Value::Null,
        "disputed": false,
        "failure_code": declined.map(|_| "card_declined"),
        "failure_message": refusal,
        "livemode": false,
        "metadata": {},
        "outcome": {
            "network_status": if succeeded { "approved_by_network" } else { "declined_by_network" },
            "reason": declined,
            "type": if succeeded { "authorized" } else { "issuer_declined" },
        },
        "paid": succeeded,
        "payment_intent": intent["id"],
        "payment_method": method,
        "payment_method_details": { "type": kind.name(), kind.name(): kind.details() },
        "receipt_url": Value::Null,
        "refunded": false,
        "status": if succeeded { "succeeded" } else { "failed" },
        "_older": { "invoice": invoice },
    });
    state.put(charge.clone());
    let event = if succeeded {
        "charge.succeeded"
    } else {
        "charge.failed"
    };
    state.raise(event, &charge, None, now);
    charge
}

/// `POST /v1/refunds`: of all that is left, or of `amount`.
/// <https://docs.stripe.com/api/refunds/create>
pub(super) fn refund(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    let charge = match (params.text("charge"), params.text("payment_intent")) {
        (Some(id), _) => state.find("charge", &id, Some("charge"))?,
        (None, Some(id)) => {
            let intent = state.find("payment_intent", &id, Some("payment_intent"))?;
            charge_of(state, &intent)?
        }
        (None, None) => {
            return Err(ApiError::coded(
                "parameter_missing",
                None,
                "One of the following params should be provided for this request: payment_intent or charge.",
            ));
        }
    };
    let amount = params.integer("amount")?;
    let reason = params.text("reason");
    let metadata = params.metadata(&Value::Null);
    params.finish()?;
    let id = charge["id"].as_str().unwrap_or_default().to_owned();
    if charge["status"] != "succeeded" {
        return Err(ApiError::invalid(format!(
            "Charge {id} has not succeeded; nothing can be refunded."
        )));
    }
    let refunded = charge["amount_refunded"].as_i64().unwrap_or(0);
    let left = charge["amount"].as_i64().unwrap_or(0) - refunded;
    if left == 0 {
        return Err(ApiError::coded(
            "charge_already_refunded",
            None,
            format!("Charge {id} has already been refunded."),
        ));
    }
    if charge["disputed"] == true {
        return Err(ApiError::coded(
            "charge_disputed",
            None,
            format!("Charge {id} has been charged back; cannot issue a refund."),
        ));
    }
    let amount = amount.unwrap_or(left);
    if amount <= 0 {
        return Err(ApiError::coded(
            "parameter_invalid_integer",
            Some("amount"),
            "Invalid positive integer",
        ));
    }
    if amount > left {
        let message = format!(
            "Refund amount ({}) is greater than unrefunded amount on charge ({})",
            pretty(amount, &charge["currency"]),
            pretty(left, &charge["currency"]),
        );
        return Err(ApiError::param("amount", message));
    }
    let refund = json!({
        "id": State::new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": Value::Null,
        "charge": id,
        "created": now,
        "currency": charge["currency"],
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": Value::Null,
        "status": "succeeded",
    });
    let mut after = charge.clone();
    after["amount_refunded"] = (refunded + amount).into();
    after["refunded"] = (amount == left).into();
    state.put(refund.clone());
    state.put(after.clone());
    state.raise("refund.created", &refund, None, now);
    state.raise("charge.refunded", &after, Some(&charge), now);
    Ok(refund)
}

/// The customer's bank takes the whole charge back. <https://docs.stripe.com/api/disputes>
pub(super) fn dispute(state: &mut State, intent: &Value, now: i64) -> Result<Value, ApiError> {
    let mut charge = charge_of(state, intent)?;
    if charge["disputed"] == true {
        return Err(ApiError::invalid("This charge is disputed already."));
    }
    let dispute = json!({
        "id": State::new_id("dp"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "evidence": {},
        "evidence_details": { "due_by": now + 7 * 86_400, "has_evidence": false, "past_due": false, "submission_count": 0 },
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    });
    charge["disputed"] = true.into();
    state.put(charge);
    state.put(dispute.clone());
    state.raise("charge.dispute.created", &dispute, None, now);
    Ok(dispute)
}

/// The charge that a payment intent succeeded with.
fn charge_of(state: &State, intent: &Value) -> Result<Value, ApiError> {
    let charge = intent["latest_charge"]
        .as_str()
        .and_then(|id| state.get(id))
        .filter(|charge| charge["status"] == "succeeded");
    charge.cloned().ok_or_else(|| {
        ApiError::invalid(format!(
            "This PaymentIntent ({}) does not have a successful charge to refund.",
            intent["id"].as_str().unwrap_or_default()
        ))
    })
}

/// `$21.45`; other currencies by their code.
fn pretty(amount: i64, currency: &Value) -> String {
    let number = format!("{}.{:02}", amount / 100, amount % 100);
    match currency.as_str() {
        Some("usd") | None => format!("${number}"),
        Some(other) => format!("{number} {}", other.to_uppercase()),
    }
}
