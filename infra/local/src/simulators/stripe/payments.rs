//! How invoices are paid: payment intents, and the invoice payments that tie them to invoices.
//! <https://docs.stripe.com/api/invoice-payment>

use serde_json::{Value, json};

use super::error::ApiError;
use super::invoices::{changed, stop_collection, subscription_of};
use super::params::Params;
use super::payment_methods::{self, Behaviour, PaymentMethod};
use super::state::State;
use super::{charges, invoices, subscriptions};

/// Automatic retries of a failed payment: after 3, 5 and 7 days, then never. The schedule is the
/// account's choice. <https://docs.stripe.com/billing/revenue-recovery/smart-retries>
const RETRY_DAYS: [i64; 3] = [3, 5, 7];

/// Who tries to pay. "Manual payment attempts after the first attempt do not affect the retry
/// schedule." <https://docs.stripe.com/api/invoices/object#invoice_object-attempt_count>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Automatic,
    Manual,
}

/// Gives an invoice that becomes open what it can be paid with.
pub(super) fn prepare(state: &mut State, invoice: &mut Value, now: i64) {
    let intent = json!({
        "id": State::new_id("pi"),
        "object": "payment_intent",
        "amount": invoice["amount_due"],
        "amount_received": 0,
        "canceled_at": Value::Null,
        "cancellation_reason": Value::Null,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "last_payment_error": Value::Null,
        "latest_charge": Value::Null,
        "livemode": false,
        "metadata": {},
        "next_action": Value::Null,
        "payment_method": Value::Null,
        "payment_method_types": ["card", "sepa_debit"],
        "status": "requires_payment_method",
        "_older": { "invoice": invoice["id"] },
    });
    let payment = json!({
        "id": State::new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": Value::Null,
        "amount_requested": invoice["amount_due"],
        "created": now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": true,
        "livemode": false,
        "payment": { "type": "payment_intent", "payment_intent": intent["id"] },
        "status": "open",
        "status_transitions": { "canceled_at": Value::Null, "paid_at": Value::Null },
    });
    invoice["_older"]["payment_intent"] = intent["id"].clone();
    state.put(intent.clone());
    state.put(payment);
    state.raise("payment_intent.created", &intent, None, now);
}

/// `POST /v1/invoices/{id}/pay`. <https://docs.stripe.com/api/invoices/pay>
pub(super) fn pay_as_asked(
    state: &mut State,
    id: &str,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let out_of_band = params.flag("paid_out_of_band")?.unwrap_or(false);
    params.finish()?;
    let invoice = state.find("invoice", id, None)?;
    if invoice["status"] == "draft" {
        let finalized = invoices::finalize(state, id, None, now)?;
        if finalized["status"] == "paid" {
            return Ok(finalized);
        }
    }
    if out_of_band {
        return pay_out_of_band(state, id, now);
    }
    collect(state, id, Attempt::Manual, now)
}

/// An attempt with the customer's default payment method; it goes as that behaves.
pub(super) fn collect(
    state: &mut State,
    id: &str,
    attempt: Attempt,
    now: i64,
) -> Result<Value, ApiError> {
    let invoice = payable(state, id)?;
    let customer = invoice["customer"].as_str().unwrap_or_default();
    let Some((method, with)) = payment_methods::default_of(state, customer) else {
        return Err(ApiError::coded(
            "resource_missing",
            None,
            "This customer has no attached payment source or default payment method. Please consider \
             adding a default payment method. For more information, visit \
             https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.",
        ));
    };
    match with.behaviour {
        Behaviour::Succeeds | Behaviour::None => {
            Ok(succeed(state, &invoice, &method, attempt, now))
        }
        Behaviour::Declines => {
            let code = with.decline_code.as_deref().unwrap_or("generic_decline");
            decline(state, &invoice, (Some(&method), code), attempt, now);
            Err(ApiError::declined(code))
        }
        Behaviour::RequiresAction => {
            ask_for_action(state, &invoice, Some(&method), attempt, now);
            Err(ApiError::requires_action())
        }
    }
}

/// A customer pays on the invoice's page: with the default payment method, unless that is refused.
pub(super) fn pay(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let invoice = payable(state, id)?;
    let customer = invoice["customer"].as_str().unwrap_or_default();
    let method = match payment_methods::default_of(state, customer) {
        Some((id, with)) if with.behaviour != Behaviour::Declines => id,
        known => {
            let mut other = PaymentMethod::from(Behaviour::Succeeds);
            other.kind = known.map(|(_, with)| with.kind).unwrap_or_default();
            let made = payment_methods::attach(state, customer, other, now);
            made["id"].as_str().unwrap_or_default().to_owned()
        }
    };
    Ok(succeed(state, &invoice, &method, Attempt::Manual, now))
}

/// An automatic attempt that fails, whatever the customer's payment method.
pub(super) fn fail(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let invoice = payable(state, id)?;
    let customer = invoice["customer"].as_str().unwrap_or_default();
    let known = payment_methods::default_of(state, customer);
    let method = known.as_ref().map(|(id, _)| id.as_str());
    let code = known
        .as_ref()
        .and_then(|(_, it)| it.decline_code.as_deref());
    let with = (method, code.unwrap_or("generic_decline"));
    Ok(decline(state, &invoice, with, Attempt::Automatic, now))
}

/// An automatic attempt that needs the customer.
pub(super) fn require_action(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let invoice = payable(state, id)?;
    let customer = invoice["customer"].as_str().unwrap_or_default();
    let known = payment_methods::default_of(state, customer);
    let method = known.as_ref().map(|(id, _)| id.as_str());
    Ok(ask_for_action(
        state,
        &invoice,
        method,
        Attempt::Automatic,
        now,
    ))
}

/// Nothing is due: paid, with no payment and no attempt.
pub(super) fn settle_without_payment(state: &mut State, before: &Value, now: i64) -> Value {
    let mut invoice = before.clone();
    invoice["attempted"] = true.into();
    mark_paid(state, before, &mut invoice, now);
    state.raise("invoice.payment_succeeded", &invoice, None, now);
    invoice
}

/// Paid outside of Stripe: the payment intent is not needed any more, and no attempt was made.
/// `invoice.payment_succeeded` tells of attempts only; `invoice.paid` of this as well.
/// <https://docs.stripe.com/api/events/types#event_types-invoice.paid>
fn pay_out_of_band(state: &mut State, id: &str, now: i64) -> Result<Value, ApiError> {
    let before = payable(state, id)?;
    let mut invoice = before.clone();
    invoice["_older"]["paid_out_of_band"] = true.into();
    invoice["_older"]["payment_intent"] = Value::Null;
    cancel(state, &before, Value::Null, now);
    mark_paid(state, &before, &mut invoice, now);
    Ok(invoice)
}

/// The payment intent and the payment of an invoice that is not to be paid are canceled.
pub(super) fn cancel(state: &mut State, invoice: &Value, reason: impl Into<Value>, now: i64) {
    let Some((mut payment, mut intent)) = of_invoice(state, invoice) else {
        return;
    };
    intent["status"] = "canceled".into();
    intent["canceled_at"] = now.into();
    intent["cancellation_reason"] = reason.into();
    payment["status"] = "canceled".into();
    payment["status_transitions"]["canceled_at"] = now.into();
    state.put(intent.clone());
    state.put(payment);
    state.raise("payment_intent.canceled", &intent, None, now);
}

/// The payment intent `id`, or that of the invoice `id`.
pub(super) fn intent_named(state: &State, id: &str) -> Result<Value, ApiError> {
    if id.starts_with("in_") {
        let invoice = state.find("invoice", id, None)?;
        let intent = of_invoice(state, &invoice).map(|(_, intent)| intent);
        return intent.ok_or_else(|| ApiError::invalid("This invoice has no payment."));
    }
    state.find("payment_intent", id, None)
}

fn succeed(state: &mut State, before: &Value, method: &str, attempt: Attempt, now: i64) -> Value {
    let mut invoice = before.clone();
    count(&mut invoice, attempt);
    if let Some((mut payment, mut intent)) = of_invoice(state, before) {
        intent["status"] = "succeeded".into();
        intent["amount_received"] = intent["amount"].clone();
        intent["last_payment_error"] = Value::Null;
        intent["next_action"] = Value::Null;
        intent["payment_method"] = method.into();
        let charge = charges::create(state, &intent, &before["id"], None, now);
        intent["latest_charge"] = charge["id"].clone();
        payment["status"] = "paid".into();
        payment["amount_paid"] = payment["amount_requested"].clone();
        payment["status_transitions"]["paid_at"] = now.into();
        invoice["_older"]["charge"] = charge["id"].clone();
        state.put(intent.clone());
        state.put(payment);
        state.raise("payment_intent.succeeded", &intent, None, now);
    }
    mark_paid(state, before, &mut invoice, now);
    state.raise("invoice.payment_succeeded", &invoice, None, now);
    invoice
}

/// `with` is the payment method, where there is one, and why the bank refused.
fn decline(
    state: &mut State,
    before: &Value,
    with: (Option<&str>, &str),
    attempt: Attempt,
    now: i64,
) -> Value {
    let (method, decline_code) = with;
    let mut invoice = before.clone();
    count(&mut invoice, attempt);
    if attempt == Attempt::Automatic {
        let tried = invoice["attempt_count"].as_u64().unwrap_or(1);
        let retry = usize::try_from(tried - 1)
            .ok()
            .and_then(|at| RETRY_DAYS.get(at))
            .filter(|_| invoice["collection_method"] == "charge_automatically");
        invoice["next_payment_attempt"] = retry.map(|days| now + days * 86_400).into();
    }
    if let Some((_, mut intent)) = of_invoice(state, before) {
        intent["status"] = "requires_payment_method".into();
        intent["payment_method"] = method.into();
        let charge = charges::create(state, &intent, &before["id"], Some(decline_code), now);
        intent["latest_charge"] = charge["id"].clone();
        // The method that was refused is in the error, and no longer on the intent.
        intent["payment_method"] = Value::Null;
        intent["last_payment_error"] = json!({
            "type": "card_error",
            "code": "card_declined",
            "charge": charge["id"],
            "decline_code": decline_code,
            "message": "Your card was declined.",
            "payment_method": method.and_then(|id| state.get(id)),
        });
        invoice["_older"]["charge"] = charge["id"].clone();
        state.put(intent.clone());
        state.raise("payment_intent.payment_failed", &intent, None, now);
    }
    changed(state, before, &invoice, now);
    state.raise("invoice.payment_failed", &invoice, None, now);
    fall_behind(state, &invoice, now);
    invoice
}

fn ask_for_action(
    state: &mut State,
    before: &Value,
    method: Option<&str>,
    attempt: Attempt,
    now: i64,
) -> Value {
    let mut invoice = before.clone();
    count(&mut invoice, attempt);
    if let Some((_, mut intent)) = of_invoice(state, before) {
        intent["status"] = "requires_action".into();
        intent["payment_method"] = method.into();
        intent["next_action"] = json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} });
        state.put(intent.clone());
        state.raise("payment_intent.requires_action", &intent, None, now);
    }
    changed(state, before, &invoice, now);
    state.raise("invoice.payment_action_required", &invoice, None, now);
    fall_behind(state, &invoice, now);
    invoice
}

fn mark_paid(state: &mut State, before: &Value, invoice: &mut Value, now: i64) {
    invoice["status"] = "paid".into();
    invoice["amount_paid"] = invoice["amount_due"].clone();
    invoice["amount_remaining"] = 0.into();
    invoice["status_transitions"]["paid_at"] = now.into();
    stop_collection(invoice);
    changed(state, before, invoice, now);
    state.raise("invoice.paid", invoice, None, now);
    if let Some(subscription) = subscription_of(invoice)
        && matches!(
            status_of(state, &subscription),
            Some("incomplete" | "past_due" | "unpaid")
        )
    {
        subscriptions::set_status(state, &subscription, "active", now);
    }
}

/// A subscription "becomes `past_due` when payment is required but cannot be paid (due to failed
/// payment or awaiting additional user actions)"; its first invoice leaves it `incomplete`.
/// <https://docs.stripe.com/api/subscriptions/object#subscription_object-status>
fn fall_behind(state: &mut State, invoice: &Value, now: i64) {
    if let Some(subscription) = subscription_of(invoice)
        && status_of(state, &subscription) == Some("active")
    {
        subscriptions::set_status(state, &subscription, "past_due", now);
    }
}

fn status_of<'a>(state: &'a State, subscription: &str) -> Option<&'a str> {
    state.get(subscription)?["status"].as_str()
}

/// "Any payment attempt counts as the first attempt, and subsequently only automatic retries
/// increment the attempt count."
fn count(invoice: &mut Value, attempt: Attempt) {
    let tried = invoice["attempt_count"].as_i64().unwrap_or(0);
    if tried == 0 || attempt == Attempt::Automatic {
        invoice["attempt_count"] = (tried + 1).into();
    }
    invoice["attempted"] = true.into();
}

fn payable(state: &State, id: &str) -> Result<Value, ApiError> {
    let invoice = state.find("invoice", id, None)?;
    match invoice["status"].as_str() {
        Some("open" | "uncollectible") => Ok(invoice),
        Some("paid") => Err(ApiError::invalid("Invoice is already paid")),
        other => Err(ApiError::invalid(format!(
            "This invoice can't be paid; its status is {}.",
            other.unwrap_or("unknown")
        ))),
    }
}

/// An invoice's payment and its payment intent.
fn of_invoice(state: &State, invoice: &Value) -> Option<(Value, Value)> {
    let of = Some(("invoice", invoice["id"].as_str()?));
    let payment = state.of_kind("invoice_payment", of).next()?.clone();
    let intent = payment.pointer("/payment/payment_intent")?.as_str()?;
    let intent = state.get(intent)?.clone();
    Some((payment, intent))
}
