//! Payloads of both shapes are read alike; what we do not follow is never refused.

use bitflow_stripe::event::{Object, ParseError, parse};
use bitflow_stripe::object::Invoice;
use serde_json::{Value, json};

fn event(object: &Value) -> Vec<u8> {
    json!({
        "id": "evt_1", "object": "event", "type": "followed", "created": 1_700_000_000,
        "api_version": "2022-11-15", "data": { "object": object },
    })
    .to_string()
    .into_bytes()
}

fn invoice(extra: &Value) -> Invoice {
    let mut object = json!({
        "id": "in_1", "object": "invoice", "customer": "cus_1", "currency": "usd", "created": 1_700_000_000,
        "amount_due": 5000, "amount_paid": 5000, "attempt_count": 1, "number": "A-\u{e9}\n1",
        "status_transitions": { "paid_at": 1_700_000_100 },
    });
    for (name, value) in extra.as_object().expect("an object") {
        object[name] = value.clone();
    }
    match parse(&event(&object), |_| true).expect("an event").object {
        Object::Invoice(invoice) => *invoice,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_shapes_of_an_invoice_are_read_alike() {
    let older = invoice(&json!({
        "subscription": "sub_1",
        "subscription_details": { "metadata": { "university_id": "u" } },
        "payment_intent": "pi_1",
    }));
    let newer = invoice(&json!({
        "parent": { "type": "subscription_details", "subscription_details": { "subscription": "sub_1", "metadata": { "university_id": "u" } } },
        "payments": { "data": [{ "payment": { "type": "payment_intent", "payment_intent": "pi_1" } }] },
    }));
    assert_eq!(older, newer);
    assert_eq!(newer.payment_intent.as_deref(), Some("pi_1"));
    assert_eq!(newer.subscription.as_deref(), Some("sub_1"));
    assert_eq!(newer.number.as_deref(), Some("A-\u{e9}\n1"));
}

#[test]
fn ids_may_be_expanded_objects() {
    let expanded = invoice(&json!({
        "customer": { "id": "cus_1", "object": "customer" },
        "payment_intent": { "id": "pi_1", "payment_method": { "id": "pm_1", "type": "card" } },
    }));
    assert_eq!(expanded.customer.as_deref(), Some("cus_1"));
    assert_eq!(expanded.payment_intent.as_deref(), Some("pi_1"));
    assert_eq!(expanded.payment_method_type.as_deref(), Some("card"));
    let by_id = invoice(&json!({ "payment_intent": { "id": "pi_1", "payment_method": "pm_1" } }));
    assert_eq!(by_id.payment_method_type, None);
}

#[test]
fn both_shapes_of_a_subscription_are_read_alike() {
    let read = |extra: &Value| {
        let mut object = json!({ "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active" });
        for (name, value) in extra.as_object().expect("an object") {
            object[name] = value.clone();
        }
        parse(&event(&object), |_| true)
    };
    let older = read(
        &json!({ "current_period_start": 1, "current_period_end": 2, "items": { "data": [{ "price": { "id": "price_1" } }] } }),
    );
    let newer = read(
        &json!({ "items": { "data": [{ "price": { "id": "price_1" }, "current_period_start": 1, "current_period_end": 2 }] } }),
    );
    assert_eq!(older.expect("read"), newer.expect("read"));
    let error = read(&json!({})).expect_err("no period");
    assert!(matches!(error, ParseError::Object { .. }), "{error:?}");
}

#[test]
fn what_is_not_followed_is_not_looked_into() {
    let odd = event(&json!({ "object": "invoice", "id": 7 }));
    assert_eq!(
        parse(&odd, |_| false).expect("an event").object,
        Object::Other
    );
    assert!(matches!(
        parse(&odd, |_| true),
        Err(ParseError::Object { .. })
    ));
    assert!(matches!(parse(b"{}", |_| true), Err(ParseError::Event(_))));
}
