//! Subscriptions: how they begin, renew and end.

use bitflow_local::simulators::stripe::payment_methods::Behaviour;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Stripe, id};

fn latest_invoice(stripe: &Stripe, subscription: &str) -> Value {
    let invoice = stripe.now(subscription)["latest_invoice"].clone();
    stripe.now(invoice.as_str().expect("an id"))
}

#[tokio::test]
async fn a_renewal_is_paid_as_the_payment_method_behaves() {
    for (behaviour, invoice, status, event) in [
        (None, "open", "active", None),
        (Some("succeeds"), "paid", "active", Some("invoice.paid")),
        (
            Some("declines"),
            "open",
            "past_due",
            Some("invoice.payment_failed"),
        ),
        (
            Some("requires_action"),
            "open",
            "past_due",
            Some("invoice.payment_action_required"),
        ),
    ] {
        let stripe = Stripe::start().await;
        let customer = stripe.customer().await;
        let subscription = id(&stripe.subscription(&customer).await);
        assert_eq!(stripe.now(&subscription)["status"], "incomplete");
        stripe
            .pay(&id(&latest_invoice(&stripe, &subscription)))
            .unwrap();
        assert_eq!(stripe.now(&subscription)["status"], "active");
        if let Some(behaviour) = behaviour {
            let path = format!("customers/{customer}/payment_method");
            let method = json!({ "behaviour": behaviour });
            assert_eq!(stripe.control(&path, &method).await.0, 200);
        }
        let before = stripe.now(&subscription);
        let path = format!("subscriptions/{subscription}/advance");
        assert_eq!(stripe.control(&path, &Value::Null).await.0, 200);
        let after = stripe.now(&subscription);
        assert_eq!(after["status"], status, "{behaviour:?}");
        let renewed = latest_invoice(&stripe, &subscription);
        assert_eq!(renewed["status"], invoice, "{behaviour:?}");
        assert_eq!(renewed["billing_reason"], "subscription_cycle");
        let start = "/items/data/0/current_period_start";
        let end = "/items/data/0/current_period_end";
        assert_eq!(after.pointer(start), before.pointer(end));
        if let Some(event) = event {
            let told = stripe.events(event).pop().unwrap();
            assert_eq!(told["data"]["object"]["id"], renewed["id"]);
        }
        // What is owed can be paid, and all is well again.
        if invoice == "open" {
            stripe.pay(&id(&renewed)).unwrap();
            assert_eq!(stripe.now(&subscription)["status"], "active");
        }
    }
}

#[tokio::test]
async fn a_first_payment_is_tried_unless_it_is_to_wait() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let price = stripe.price("usd", 9900).await;
    let form = |behavior: &str| {
        format!("customer={customer}&items[0][price]={price}&payment_behavior={behavior}")
    };
    let status = async |behavior: &str| {
        let made = stripe.made("subscriptions", &form(behavior)).await;
        let invoice = latest_invoice(&stripe, &id(&made));
        let text = |value: &Value| value["status"].as_str().unwrap().to_owned();
        (text(&made), text(&invoice))
    };
    let is = |it: (String, String), subscription: &str, invoice: &str| {
        assert_eq!(it, (subscription.to_owned(), invoice.to_owned()));
    };
    let behaves = |behaviour: Behaviour| stripe.set_payment_behaviour(&customer, behaviour);
    is(status("default_incomplete").await, "incomplete", "open");
    is(status("allow_incomplete").await, "incomplete", "open");
    behaves(Behaviour::Succeeds).unwrap();
    is(status("default_incomplete").await, "incomplete", "open");
    is(status("allow_incomplete").await, "active", "paid");
    is(status("error_if_incomplete").await, "active", "paid");
    behaves(Behaviour::Declines).unwrap();
    is(status("allow_incomplete").await, "incomplete", "open");
    let before = (stripe.count("subscription"), stripe.count("event"));
    let refused = stripe
        .post("subscriptions", &form("error_if_incomplete"))
        .await;
    assert_eq!((refused.status, refused.error().1), (402, "card_declined"));
    let after = (stripe.count("subscription"), stripe.count("event"));
    assert_eq!(after, before, "nothing was made");
    // What costs nothing starts at once.
    let free = stripe.price("usd", 0).await;
    let form = form("default_incomplete").replace(&price, &free);
    let made = stripe.made("subscriptions", &form).await;
    assert_eq!(made["status"], "active");
    assert_eq!(latest_invoice(&stripe, &id(&made))["status"], "paid");
}

#[tokio::test]
async fn a_subscription_that_is_never_paid_expires() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let subscription = id(&stripe.subscription(&customer).await);
    stripe.advance(&subscription).unwrap();
    assert_eq!(stripe.now(&subscription)["status"], "incomplete_expired");
    assert_eq!(latest_invoice(&stripe, &subscription)["status"], "void");
    assert!(stripe.advance(&subscription).is_err());
    let update = stripe.event("customer.subscription.updated");
    let before = &update["data"]["previous_attributes"];
    assert_eq!(before, &json!({ "status": "incomplete", "ended_at": null }));
}

#[tokio::test]
async fn a_trial_is_announced_to_end() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let price = stripe.price("usd", 9900).await;
    let form = format!("customer={customer}&items[0][price]={price}&trial_period_days=14");
    let trial = stripe.made("subscriptions", &form).await;
    assert_eq!(trial["status"], "trialing");
    let id = id(&trial);
    assert_eq!(latest_invoice(&stripe, &id)["status"], "paid");
    let path = format!("subscriptions/{id}/trial_will_end");
    assert_eq!(stripe.control(&path, &Value::Null).await.0, 200);
    let event = stripe.event("customer.subscription.trial_will_end");
    assert_eq!(event["data"]["object"]["trial_end"], trial["trial_end"]);
    assert!(event["data"].get("previous_attributes").is_none());
    stripe.trial_will_end(&id).unwrap();
    stripe.advance(&id).unwrap();
    assert_eq!(stripe.now(&id)["status"], "active");
    assert_eq!(latest_invoice(&stripe, &id)["amount_due"], 9900);
    assert!(stripe.trial_will_end(&id).is_err(), "it is over");
}

#[tokio::test]
async fn with_its_customer_a_subscription_ends() {
    let stripe = Stripe::start().await;
    let (gone, other) = (stripe.customer().await, stripe.customer().await);
    let one = id(&stripe.subscription(&gone).await);
    let two = id(&stripe.subscription(&gone).await);
    let kept = id(&stripe.subscription(&other).await);
    let open = id(&latest_invoice(&stripe, &one));
    let path = format!("/v1/customers/{gone}");
    let deleted = stripe.send(Method::DELETE, &path, "", &[]).await;
    assert_eq!(
        deleted.body,
        json!({ "id": gone, "object": "customer", "deleted": true })
    );
    let ended = stripe.events("customer.subscription.deleted");
    let ended: Vec<_> = ended.iter().map(|it| id(&it["data"]["object"])).collect();
    assert_eq!(ended, [&*one, &*two]);
    assert_eq!(stripe.now(&one)["status"], "canceled");
    assert_eq!(stripe.now(&kept)["status"], "incomplete");
    assert_eq!(
        id(&stripe.event("customer.deleted")["data"]["object"]),
        gone
    );
    // No more is collected from the customer, and no more can be billed; the history stays.
    assert_eq!(stripe.now(&open)["auto_advance"], false);
    assert_eq!(
        stripe.get(&format!("customers/{gone}")).await["deleted"],
        true
    );
    let form = format!("customer={gone}");
    let missing = (400, "resource_missing", "customer");
    stripe.refused("invoices", &form, missing).await;
    let listed = stripe
        .get(&format!("subscriptions?customer={gone}&status=all"))
        .await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert!(stripe.delete_customer(&gone).is_err());
    stripe.delete_customer(&other).unwrap();
    assert_eq!(stripe.now(&kept)["status"], "canceled");
}

#[tokio::test]
async fn a_customer_has_subscriptions_in_one_currency() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    assert!(stripe.now(&customer)["currency"].is_null());
    let first = id(&stripe.subscription(&customer).await);
    assert_eq!(stripe.now(&customer)["currency"], "usd");
    let (euros, dollars) = (
        stripe.price("eur", 100).await,
        stripe.price("usd", 100).await,
    );
    let form = format!("customer={customer}&items[0][price]={euros}");
    let refused = stripe.post("subscriptions", &form).await;
    assert_eq!(refused.status, 400);
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("You cannot combine currencies on a single customer."));
    assert!(message.ends_with("with currency usd."), "{message}");
    let mixed = format!("customer={customer}&items[0][price]={dollars}&items[1][price]={euros}");
    let param = (400, "", "items[1][price]");
    stripe.refused("subscriptions", &mixed, param).await;
    // An invoice in another currency is fine, and so is a subscription when the other has ended.
    let invoice = format!("customer={customer}&currency=eur");
    assert_eq!(stripe.made("invoices", &invoice).await["currency"], "eur");
    let bare = format!("customer={customer}");
    assert_eq!(stripe.made("invoices", &bare).await["currency"], "usd");
    let path = format!("/v1/subscriptions/{first}");
    stripe.send(Method::DELETE, &path, "", &[]).await;
    let again = stripe.send(Method::DELETE, &path, "", &[]).await;
    assert_eq!((again.status, again.error().1), (404, "resource_missing"));
    stripe.made("subscriptions", &form).await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_period_if_it_shall() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let subscription = id(&stripe.subscription(&customer).await);
    let invoice = latest_invoice(&stripe, &subscription);
    stripe.pay(&id(&invoice)).unwrap();
    let one_off = stripe.invoice(&customer, 700).await;
    stripe.fail(&one_off).unwrap();
    let path = format!("subscriptions/{subscription}");
    let asked = stripe.made(&path, "cancel_at_period_end=true").await;
    assert_eq!(asked["status"], "active");
    assert_eq!(
        asked["cancel_at"],
        asked["items"]["data"][0]["current_period_end"]
    );
    stripe
        .clock
        .advance_to(stripe.clock.now() + SignedDuration::from_hours(1));
    stripe.advance(&subscription).unwrap();
    let ended = stripe.event("customer.subscription.deleted");
    let ended = &ended["data"]["object"];
    assert_eq!(
        ended["canceled_at"], asked["canceled_at"],
        "when it was asked for"
    );
    stripe.refused(&path, "metadata[a]=b", (400, "", "")).await;
    // Stripe does not try to collect from that customer any more.
    let left = stripe.now(&one_off);
    assert_eq!(
        (&left["status"], &left["auto_advance"]),
        (&json!("open"), &json!(false))
    );
    assert!(left["next_payment_attempt"].is_null());
}
