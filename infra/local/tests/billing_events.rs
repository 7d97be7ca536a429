//! What Stripe tells beyond payments: invoices withdrawn and given up on, money that goes back,
//! trials that end, customers that are deleted.

mod support;

use bitflow_domain::billing::invoice::InvoiceStatus;
use bitflow_domain::billing::payment::PaymentStatus;
use bitflow_local::simulators::sendgrid::Mail;
use bitflow_local::simulators::stripe::shape::Shape;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, text};

fn subjects(stack: &TestStack) -> Vec<String> {
    stack.mails().into_iter().map(|mail| mail.subject).collect()
}

#[tokio::test]
async fn an_invoice_is_given_up_on_or_waits_for_its_customer() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (waiting, at_stripe) = stack.invoice(university, 1000).await;
    stack.stripe.require_action(&at_stripe).unwrap();
    stack.settle().await;
    let status = async |id| stack.stored_invoice(university, id).await.status;
    assert_eq!(status(waiting).await, InvoiceStatus::ActionRequired);
    let confirm = |mail: &Mail| mail.subject.starts_with("Please confirm");
    assert!(stack.mails().iter().any(confirm), "{:?}", subjects(&stack));

    let give_up = format!("invoices/{at_stripe}/mark_uncollectible");
    stack.stripe.create(&give_up, "").unwrap();
    stack.settle().await;
    assert_eq!(status(waiting).await, InvoiceStatus::Uncollectible);
    // What is given up may be paid all the same, here outside of Stripe.
    let pay = format!("invoices/{at_stripe}/pay");
    stack.stripe.create(&pay, "paid_out_of_band=true").unwrap();
    stack.settle().await;
    assert_eq!(status(waiting).await, InvoiceStatus::Paid);
    let payments = stack.payments(university).await;
    assert_eq!(payments.len(), 1);
    assert_eq!(payments[0].stripe_payment_intent_id, None);

    let (voided, at_stripe) = stack.invoice(university, 1000).await;
    let void = format!("invoices/{at_stripe}/void");
    stack.stripe.create(&void, "").unwrap();
    stack.settle().await;
    assert_eq!(status(voided).await, InvoiceStatus::Void);
    let expected = [
        "UniversityCreated",
        "InvoiceGenerated",
        "PaymentActionRequired",
        "InvoiceMarkedUncollectible",
        "PaymentProcessed",
        "InvoiceGenerated",
        "InvoiceVoided",
    ];
    assert_eq!(stack.events(university).await, expected);
    stack.finish().await;
}

#[tokio::test]
async fn a_payment_says_how_it_was_made() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    for shape in [Shape::Newer, Shape::Older] {
        stack.stripe.set_webhook_shape(shape);
        let (invoice, at_stripe) = stack.invoice(university, 1000).await;
        stack.stripe.pay(&at_stripe).unwrap();
        stack.settle().await;
        let path = format!("/api/admin/universities/{university}/payments");
        let page = stack.get(&path).await.1;
        let payments = page["data"].as_array().unwrap();
        let of_invoice = |it: &&Value| it["invoice_id"] == invoice.to_string();
        let payment = payments.iter().find(of_invoice).expect("a payment");
        assert_eq!(payment["payment_method"], "card", "{shape:?}");
        let intents = stack.stripe.objects("payment_intent");
        let intent = intents.last().expect("an intent");
        assert_eq!(payment["stripe_payment_intent_id"], intent["id"]);
    }
    stack.finish().await;
}

#[tokio::test]
async fn money_goes_back_in_either_order_of_its_news() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (_, at_stripe) = stack.invoice(university, 1000).await;
    stack.stripe.pay(&at_stripe).unwrap();
    stack.settle().await;
    stack.stripe.hold_deliveries();
    stack.stripe.refund(&at_stripe, 300).unwrap();
    stack.stripe.refund(&at_stripe, 700).unwrap();
    let held = stack.stripe.held();
    let refunds: Vec<_> = held
        .iter()
        .filter(|event| event["type"] == "charge.refunded")
        .map(|event| text(&event["id"]))
        .collect();
    let [part, whole] = &refunds[..] else {
        panic!("two refunds: {refunds:?}")
    };
    stack.stripe.release(&[whole, part, whole]).await;
    stack.settle().await;
    let payments = stack.payments(university).await;
    assert_eq!(payments[0].amount_refunded, 1000);
    assert_eq!(payments[0].status, PaymentStatus::Refunded);
    stack.stripe.dispute(&at_stripe).unwrap();
    stack.settle().await;
    assert!(stack.payments(university).await[0].disputed_at.is_some());
    let events = stack.events(university).await;
    let count = |kind: &str| events.iter().filter(|it| *it == kind).count();
    assert_eq!((count("PaymentRefunded"), count("PaymentDisputed")), (1, 1));
    stack.finish().await;
}

#[tokio::test]
async fn a_refund_that_is_told_before_its_payment_waits() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (_, at_stripe) = stack.invoice(university, 1000).await;
    stack.settle().await;
    stack.stripe.hold_deliveries();
    stack.stripe.pay(&at_stripe).unwrap();
    stack.stripe.refund(&at_stripe, None).unwrap();
    let held = stack.stripe.held();
    let of = |kind: &str| {
        let event = held.iter().find(|event| event["type"] == kind);
        event.expect(kind).clone()
    };
    let refund = of("charge.refunded").to_string();
    let (status, _) = stack.webhook(refund.as_bytes()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "come again");
    let paid = of("invoice.payment_succeeded").to_string();
    assert_eq!(stack.webhook(paid.as_bytes()).await.0, StatusCode::OK);
    assert_eq!(stack.webhook(refund.as_bytes()).await.0, StatusCode::OK);
    stack.settle().await;
    let payments = stack.payments(university).await;
    assert_eq!(payments[0].status, PaymentStatus::Refunded);
    stack.finish().await;
}

#[tokio::test]
async fn the_end_of_a_trial_is_told_and_a_subscription_of_stripes_adopted() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    // Made at Stripe, by hand: nothing in its metadata says whose it is.
    let price = stack.price(9900, "usd");
    let form = format!("customer={customer}&items[0][price]={price}&trial_period_days=10");
    let made = stack.stripe.create("subscriptions", &form).unwrap();
    stack.settle().await;
    stack.stripe.trial_will_end(&text(&made["id"])).unwrap();
    stack.settle().await;
    let path = format!("/api/admin/universities/{university}/subscriptions");
    let listed = stack.get(&path).await.1;
    assert_eq!(listed["data"][0]["status"], "trialing");
    assert_eq!(listed["data"][0]["stripe_subscription_id"], made["id"]);
    let events = stack.events(university).await;
    let count = |kind: &str| events.iter().filter(|it| *it == kind).count();
    assert_eq!(count("SubscriptionStatusChanged"), 1, "{events:?}");
    assert_eq!(count("SubscriptionExpiring"), 1, "{events:?}");
    let trial = |subject: &String| subject.starts_with("Your Bitflow trial ends");
    assert!(subjects(&stack).iter().any(trial), "{:?}", subjects(&stack));
    stack.finish().await;
}

#[tokio::test]
async fn a_customer_that_was_deleted_is_made_anew_for_the_next_bill() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let (id, _) = stack.subscription(university).await;
    stack.settle().await;
    stack.stripe.delete_customer(&customer).unwrap();
    stack.settle().await;
    let read = async |path: &str| stack.get(path).await.1;
    let university_path = format!("/api/admin/universities/{university}");
    let row = read(&university_path).await;
    assert_eq!(row["stripe_customer_id"], Value::Null);
    let subscription = read(&format!("{university_path}/subscriptions/{id}")).await;
    assert_eq!(subscription["status"], "cancelled");

    stack.invoice(university, 1000).await;
    let row = read(&university_path).await;
    assert_ne!(row["stripe_customer_id"], json!(customer));
    assert!(row["stripe_customer_id"].is_string());
    stack.settle().await;
    let events = stack.events(university).await;
    assert!(events.contains(&"StripeCustomerDeleted".to_owned()));
    stack.finish().await;
}
