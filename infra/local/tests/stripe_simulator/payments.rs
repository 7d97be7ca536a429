//! Payments: attempts, how they go, refunds and disputes.

use bitflow_local::simulators::stripe::payment_methods::{Behaviour, MethodType, PaymentMethod};
use serde_json::{Value, json};

use super::harness::{Stripe, id};

fn intent_of(stripe: &Stripe, invoice: &str) -> Value {
    let payments = stripe.objects("invoice_payment");
    let payment = payments.iter().find(|it| it["invoice"] == *invoice);
    let intent = &payment.expect("a payment")["payment"]["payment_intent"];
    stripe.now(intent.as_str().expect("an id"))
}

#[tokio::test]
async fn a_payment_is_seen_from_all_sides() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let sepa = json!({ "behaviour": "succeeds", "type": "sepa_debit" });
    let path = format!("customers/{customer}/payment_method");
    assert_eq!(stripe.control(&path, &sepa).await.0, 200);
    let invoice = stripe.invoice(&customer, 700).await;
    let (status, _) = stripe
        .control(&format!("invoices/{invoice}/pay"), &Value::Null)
        .await;
    assert_eq!(status, 200);
    let intent = intent_of(&stripe, &invoice);
    assert_eq!(
        (&intent["status"], &intent["amount_received"]),
        (&json!("succeeded"), &json!(700))
    );
    let method = stripe.now(intent["payment_method"].as_str().unwrap());
    assert_eq!(method["type"], "sepa_debit");
    let charge = intent["latest_charge"].as_str().unwrap().to_owned();
    let seen = stripe.get(&format!("charges/{charge}")).await;
    assert_eq!(
        (&seen["paid"], &seen["amount"]),
        (&json!(true), &json!(700))
    );
    assert_eq!(seen["payment_method_details"]["type"], "sepa_debit");
    assert_eq!(seen["payment_intent"], intent["id"]);
    let succeeded = stripe.event("charge.succeeded");
    for object in [&seen, &succeeded["data"]["object"], &intent] {
        assert!(object.get("invoice").is_none() && object.get("_older").is_none());
    }
    let older = stripe.get_older(&format!("charges/{charge}")).await;
    assert_eq!(older["invoice"], *invoice);
    let older = stripe.get_older(&format!("invoices/{invoice}")).await;
    assert_eq!(older["charge"], *charge);
    assert_eq!(
        (&older["payment_intent"], &older["paid"]),
        (&intent["id"], &json!(true))
    );
    assert_eq!(older["paid_out_of_band"], false);
    assert_eq!(older["lines"]["data"][0]["type"], "invoiceitem");
    let newer = stripe.get(&format!("invoices/{invoice}")).await;
    for gone in ["charge", "payment_intent", "paid", "paid_out_of_band"] {
        assert!(newer.get(gone).is_none(), "{gone}");
    }
}

#[tokio::test]
async fn attempts_go_as_the_payment_method_behaves() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 700).await;
    let pay = format!("invoices/{invoice}/pay");
    stripe
        .refused(&pay, "", (400, "resource_missing", ""))
        .await;
    let method = format!("customers/{customer}/payment_method");
    let declines = json!({ "behaviour": "declines", "decline_code": "insufficient_funds" });
    stripe.control(&method, &declines).await;
    for _ in 0..2 {
        let declined = stripe.post(&pay, "").await;
        assert_eq!(
            (declined.status, declined.error()),
            (402, ("card_error", "card_declined", ""))
        );
        assert_eq!(declined.body["error"]["decline_code"], "insufficient_funds");
    }
    // That it was tried stays, and trying by hand does not change the schedule.
    let tried = stripe.now(&invoice);
    assert_eq!(
        (&tried["status"], &tried["attempt_count"]),
        (&json!("open"), &json!(1))
    );
    assert_eq!(stripe.events("invoice.payment_failed").len(), 2);
    let intent = intent_of(&stripe, &invoice);
    assert_eq!(
        (
            &intent["status"],
            &intent["last_payment_error"]["decline_code"]
        ),
        (
            &json!("requires_payment_method"),
            &json!("insufficient_funds")
        )
    );
    assert_eq!(stripe.events("charge.failed").len(), 2);

    let behaves = |behaviour: Behaviour| stripe.set_payment_behaviour(&customer, behaviour);
    behaves(Behaviour::RequiresAction).unwrap();
    let asked = stripe.post(&pay, "").await;
    let code = "invoice_payment_intent_requires_action";
    assert_eq!((asked.status, asked.error().1), (402, code));
    assert_eq!(intent_of(&stripe, &invoice)["status"], "requires_action");
    stripe.event("invoice.payment_action_required");

    behaves(Behaviour::None).unwrap();
    assert!(stripe.now(&customer)["invoice_settings"]["default_payment_method"].is_null());
    behaves(Behaviour::Succeeds).unwrap();
    let paid = stripe.made(&pay, "").await;
    assert_eq!(
        (&paid["status"], &paid["attempt_count"]),
        (&json!("paid"), &json!(1))
    );
    assert!(intent_of(&stripe, &invoice)["last_payment_error"].is_null());

    // A customer whose method is refused pays with another of its kind.
    let (kind, behaviour) = (MethodType::SepaDebit, Behaviour::Declines);
    let refused = PaymentMethod {
        kind,
        ..behaviour.into()
    };
    stripe.set_payment_behaviour(&customer, refused).unwrap();
    let default = stripe.now(&customer)["invoice_settings"]["default_payment_method"].clone();
    let invoice = stripe.invoice(&customer, 800).await;
    stripe.pay(&invoice).unwrap();
    let used = intent_of(&stripe, &invoice)["payment_method"].clone();
    assert_ne!(used, default);
    assert_eq!(stripe.now(used.as_str().unwrap())["type"], "sepa_debit");
}

#[tokio::test]
async fn automatic_attempts_follow_a_schedule_and_then_end() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 700).await;
    stripe.fail(&invoice).unwrap();
    stripe
        .set_payment_behaviour(&customer, Behaviour::Declines)
        .unwrap();
    let collect = format!("invoices/{invoice}/collect");
    for _ in 0..3 {
        assert_eq!(stripe.control(&collect, &Value::Null).await.0, 200);
    }
    let failures = stripe.events("invoice.payment_failed");
    let told: Vec<_> = failures
        .iter()
        .map(|event| {
            let invoice = &event["data"]["object"];
            let next = invoice["next_payment_attempt"].as_i64();
            let days = next.map(|at| (at - event["created"].as_i64().unwrap()) / 86_400);
            (invoice["attempt_count"].as_i64().unwrap(), days)
        })
        .collect();
    assert_eq!(told, [(1, Some(3)), (2, Some(5)), (3, Some(7)), (4, None)]);
    stripe
        .control(&format!("invoices/{invoice}/require_action"), &Value::Null)
        .await;
    let event = stripe.event("invoice.payment_action_required");
    assert_eq!(event["data"]["object"]["attempt_count"], 5);
    stripe
        .set_payment_behaviour(&customer, Behaviour::Succeeds)
        .unwrap();
    assert_eq!(stripe.collect(&invoice).unwrap()["status"], "paid");
    assert!(stripe.collect(&invoice).is_err());
}

#[tokio::test]
async fn paid_outside_of_stripe_has_no_payment_intent() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 700).await;
    let paid = stripe
        .made(&format!("invoices/{invoice}/pay"), "paid_out_of_band=true")
        .await;
    assert_eq!(
        (&paid["status"], &paid["amount_paid"]),
        (&json!("paid"), &json!(700))
    );
    assert_eq!(
        (&paid["attempted"], &paid["attempt_count"]),
        (&json!(false), &json!(0))
    );
    let query = format!("invoice_payments?invoice={invoice}&status=paid");
    assert_eq!(stripe.get(&query).await["data"], json!([]));
    let canceled = query.replace("paid", "canceled");
    assert!(stripe.get(&canceled).await["data"][0].is_object());
    assert_eq!(intent_of(&stripe, &invoice)["status"], "canceled");
    let older = stripe.get_older(&format!("invoices/{invoice}")).await;
    assert_eq!(
        (&older["paid_out_of_band"], &older["payment_intent"]),
        (&json!(true), &Value::Null)
    );
    stripe.event("invoice.paid");
    assert!(stripe.events("invoice.payment_succeeded").is_empty());
    assert!(stripe.refund(&invoice, None).is_err());
    assert!(stripe.dispute(&invoice).is_err());
}

#[tokio::test]
async fn a_draft_that_is_to_be_paid_is_finalized_first() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    stripe
        .set_payment_behaviour(&customer, Behaviour::Succeeds)
        .unwrap();
    let invoice = id(&stripe
        .made("invoices", &format!("customer={customer}"))
        .await);
    let item = format!("customer={customer}&invoice={invoice}&amount=700");
    stripe.made("invoiceitems", &item).await;
    assert!(stripe.pay(&invoice).is_err(), "it has no page yet");
    let paid = stripe.made(&format!("invoices/{invoice}/pay"), "").await;
    assert_eq!(paid["status"], "paid");
    stripe.event("invoice.finalized");
}

#[tokio::test]
async fn refunds_add_up_to_the_charge_and_no_further() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 1000).await;
    let unpaid = intent_of(&stripe, &invoice);
    let form = format!("payment_intent={}", id(&unpaid));
    stripe.refused("refunds", &form, (400, "", "")).await;
    stripe.pay(&invoice).unwrap();
    let charge = intent_of(&stripe, &invoice)["latest_charge"].clone();
    let charge = charge.as_str().unwrap();

    let refund = stripe.made("refunds", &format!("{form}&amount=300")).await;
    assert_eq!(
        (&refund["amount"], &refund["charge"]),
        (&json!(300), &json!(charge))
    );
    assert_eq!(stripe.now(charge)["refunded"], false);
    let by_charge = format!("charge={charge}");
    for (amount, code, param) in [
        (701, "", "amount"),
        (0, "parameter_invalid_integer", "amount"),
    ] {
        let form = format!("{by_charge}&amount={amount}");
        stripe.refused("refunds", &form, (400, code, param)).await;
    }
    let path = format!("payments/{invoice}/refund");
    let (status, _) = stripe.control(&path, &json!({ "amount": 200 })).await;
    assert_eq!(status, 200);
    stripe.refund(&invoice, 100).unwrap();
    stripe.made("refunds", &by_charge).await;
    assert_eq!(stripe.now(charge)["refunded"], true);
    let over = (400, "charge_already_refunded", "");
    stripe.refused("refunds", &by_charge, over).await;
    stripe
        .refused("refunds", "", (400, "parameter_missing", ""))
        .await;

    let told = stripe.events("charge.refunded");
    let amounts: Vec<_> = told
        .iter()
        .map(|event| {
            let data = &event["data"];
            assert!(data["object"].get("invoice").is_none());
            let before = &data["previous_attributes"]["amount_refunded"];
            (before.as_i64(), data["object"]["amount_refunded"].as_i64())
        })
        .collect();
    let steps = [(0, 300), (300, 500), (500, 600), (600, 1000)];
    assert_eq!(amounts, steps.map(|(from, to)| (Some(from), Some(to))));
    assert_eq!(stripe.events("refund.created").len(), 4);
    let listed = stripe.get(&format!("refunds?charge={charge}")).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 4);
    let event = id(&told[0]);
    let older = stripe.get_older(&format!("events/{event}")).await;
    assert_eq!(older["data"]["object"]["invoice"], *invoice);
    assert_eq!(stripe.now(&invoice)["status"], "paid");
}

#[tokio::test]
async fn a_disputed_charge_cannot_be_refunded() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 1000).await;
    let dispute = format!("payments/{invoice}/dispute");
    assert_eq!(stripe.control(&dispute, &Value::Null).await.0, 400);
    stripe.pay(&invoice).unwrap();
    let intent = intent_of(&stripe, &invoice);
    let by_intent = format!("payments/{}/dispute", id(&intent));
    assert_eq!(stripe.control(&by_intent, &Value::Null).await.0, 200);
    let event = stripe.event("charge.dispute.created");
    let told = &event["data"]["object"];
    assert_eq!(
        (&told["object"], &told["amount"]),
        (&json!("dispute"), &json!(1000))
    );
    assert_eq!(
        (&told["payment_intent"], &told["charge"]),
        (&intent["id"], &intent["latest_charge"])
    );
    let form = format!("payment_intent={}", id(&intent));
    let disputed = (400, "charge_disputed", "");
    stripe.refused("refunds", &form, disputed).await;
    let listed = stripe.get(&format!("disputes?{form}")).await;
    assert_eq!(listed["data"][0]["id"], told["id"]);
    assert!(stripe.dispute(&invoice).is_err(), "once is enough");
}
