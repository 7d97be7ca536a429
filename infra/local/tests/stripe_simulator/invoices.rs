//! Invoices: from draft to open to paid, void or uncollectible.

use bitflow_local::simulators::stripe::shape::Shape;
use serde_json::{Value, json};

use super::harness::{Stripe, id};

#[tokio::test]
async fn an_invoice_goes_through_its_states() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let form = format!("customer={customer}&auto_advance=false");
    let invoice = stripe.made("invoices", &form).await;
    assert_eq!(invoice["status"], "draft");
    let invoice = id(&invoice);
    let item = |cents: i64, currency: &str| {
        format!("customer={customer}&invoice={invoice}&amount={cents}&currency={currency}")
    };
    for cents in [1000, 250] {
        stripe.made("invoiceitems", &item(cents, "usd")).await;
    }
    let other_currency = (400, "", "currency");
    stripe
        .refused("invoiceitems", &item(1, "eur"), other_currency)
        .await;
    let finalize = format!("invoices/{invoice}/finalize");
    let open = stripe.made(&finalize, "auto_advance=true").await;
    assert_eq!(open["status"], "open");
    assert_eq!(
        (&open["amount_due"], &open["auto_advance"]),
        (&json!(1250), &json!(true))
    );
    assert!(open["number"].as_str().unwrap().ends_with("-0001"));
    // Nothing is collected at once.
    assert_eq!(
        (&open["attempted"], &open["attempt_count"]),
        (&json!(false), &json!(0))
    );
    let again = stripe.post(&finalize, "").await;
    assert_eq!(
        (again.status, again.error().0),
        (400, "invalid_request_error")
    );
    let message = again.body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("This invoice is already finalized"));
    let closed = (400, "invoice_not_editable", "invoice");
    stripe
        .refused("invoiceitems", &item(1, "usd"), closed)
        .await;
    let described = (400, "", "description");
    let update = format!("invoices/{invoice}");
    stripe.refused(&update, "description=a", described).await;
    stripe.made(&update, "metadata[a]=b").await;

    stripe.pay(&invoice).unwrap();
    let paid = stripe.now(&invoice);
    assert_eq!(
        (&paid["status"], &paid["amount_paid"]),
        (&json!("paid"), &json!(1250))
    );
    assert_eq!(
        (&paid["amount_remaining"], &paid["auto_advance"]),
        (&json!(0), &json!(false))
    );
    for action in ["pay", "void", "mark_uncollectible"] {
        let path = format!("invoices/{invoice}/{action}");
        stripe.refused(&path, "", (400, "", "")).await;
    }
    for kind in [
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ] {
        assert_eq!(
            stripe.event(kind)["data"]["object"]["id"],
            *invoice,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn events_tell_what_was_before_in_both_shapes() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 700).await;
    stripe.settle().await;
    let updates = stripe.events("invoice.updated").len();
    stripe.set_webhook_shape(Shape::Older);
    stripe.pay(&invoice).unwrap();
    stripe.settle().await;
    let update = stripe.events("invoice.updated").remove(updates);
    let before = &update["data"]["previous_attributes"];
    assert_eq!(before["status"], "open");
    assert_eq!(before["status_transitions"], json!({ "paid_at": null }));
    assert!(before.get("total").is_none() && before.get("charge").is_none());
    assert_eq!(update["api_version"], "2025-03-31.basil");

    let taken = stripe.taken();
    let older = taken
        .iter()
        .find(|event| event["id"] == update["id"])
        .unwrap();
    let before = &older["data"]["previous_attributes"];
    assert_eq!(
        (&before["paid"], &before["charge"]),
        (&json!(false), &Value::Null)
    );
    assert!(before.as_object().unwrap().contains_key("charge"));
    assert_eq!(older["api_version"], "2022-11-15");
    assert_eq!(older["data"]["object"]["paid"], true);
    let finalized = stripe.event("invoice.finalized");
    assert!(finalized["data"].get("previous_attributes").is_none());
}

#[tokio::test]
async fn nothing_due_is_paid_with_no_payment() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = id(&stripe
        .made("invoices", &format!("customer={customer}"))
        .await);
    let paid = stripe
        .made(&format!("invoices/{invoice}/finalize"), "")
        .await;
    assert_eq!(
        (&paid["status"], &paid["amount_paid"]),
        (&json!("paid"), &json!(0))
    );
    assert_eq!(
        (&paid["attempted"], &paid["attempt_count"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(stripe.count("payment_intent"), 0);
    assert_eq!(stripe.count("invoice_payment"), 0);
    stripe.event("invoice.paid");
    assert!(stripe.refund(&invoice, None).is_err());
}

#[tokio::test]
async fn what_is_void_or_uncollectible_is_not_collected() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let draft = id(&stripe
        .made("invoices", &format!("customer={customer}"))
        .await);
    let void = |invoice: &str| format!("invoices/{invoice}/void");
    stripe.refused(&void(&draft), "", (400, "", "")).await;

    let voided = stripe.invoice(&customer, 700).await;
    stripe.made(&void(&voided), "").await;
    assert_eq!(stripe.now(&voided)["status"], "void");
    stripe.refused(&void(&voided), "", (400, "", "")).await;
    assert!(stripe.pay(&voided).is_err());
    let intent = stripe.objects("payment_intent").remove(0);
    assert_eq!(
        (&intent["status"], &intent["cancellation_reason"]),
        (&json!("canceled"), &json!("void_invoice"))
    );
    stripe.event("invoice.voided");

    let given_up = stripe.invoice(&customer, 700).await;
    let path = format!("invoices/{given_up}/mark_uncollectible");
    stripe.made(&path, "").await;
    stripe.event("invoice.marked_uncollectible");
    stripe.refused(&path, "", (400, "", "")).await;
    // It can still be paid, or voided.
    stripe.pay(&given_up).unwrap();
    let other = stripe.invoice(&customer, 700).await;
    stripe
        .made(&format!("invoices/{other}/mark_uncollectible"), "")
        .await;
    stripe.made(&void(&other), "").await;
}

#[tokio::test]
async fn how_an_invoice_is_collected_has_to_fit() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    for form in [
        "collection_method=send_invoice",
        "days_until_due=30",
        "collection_method=by_pigeon",
    ] {
        let answer = stripe
            .post("invoices", &format!("customer={customer}&{form}"))
            .await;
        assert_eq!(answer.status, 400, "{form}");
    }
    let form = format!("customer={customer}&collection_method=send_invoice&days_until_due=30");
    let sent = stripe.made("invoices", &form).await;
    let created = sent["created"].as_i64().unwrap();
    assert_eq!(sent["due_date"], created + 30 * 86_400);
    // A draft that is paid is finalized first; too much for one payment is not.
    let other = stripe.customer().await;
    let item = format!("customer={customer}&invoice={}&amount=99999999", id(&sent));
    stripe.made("invoiceitems", &item).await;
    let foreign = item.replace(&customer, &other);
    let not_theirs = (400, "resource_missing", "invoice");
    stripe.refused("invoiceitems", &foreign, not_theirs).await;
    stripe.made("invoiceitems", &item).await;
    let path = format!("invoices/{}/finalize", id(&sent));
    let large = (400, "amount_too_large", "amount");
    stripe.refused(&path, "", large).await;
}
