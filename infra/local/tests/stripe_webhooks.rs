//! Stripe's webhooks: verified, applied once, in any order, in both shapes.

mod support;

use bitflow_domain::billing::invoice::InvoiceStatus;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_local::simulators::sendgrid::Mail;
use bitflow_local::simulators::stripe::Failure;
use bitflow_local::simulators::stripe::shape::Shape;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, real_now};

#[tokio::test]
async fn a_payment_is_applied_in_both_shapes() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    for (shape, cents) in [(Shape::Newer, 5000), (Shape::Older, 7000)] {
        stack.stripe.set_webhook_shape(shape);
        let (id, stripe_id) = stack.invoice(university, cents).await;
        stack.settle().await;
        stack.stripe.pay(&stripe_id).unwrap();
        stack.settle().await;
        let invoice = stack.stored_invoice(university, id).await;
        assert_eq!(invoice.status, InvoiceStatus::Paid, "{shape:?}");
        assert!(invoice.paid_at.is_some());
        let payments = stack.payments(university).await;
        let payment = payments
            .iter()
            .find(|payment| payment.invoice_id == id)
            .unwrap();
        assert_eq!(payment.amount.amount, cents);
        let intent = stack.stripe.objects("payment_intent").pop().unwrap();
        assert_eq!(
            payment.stripe_payment_intent_id.as_deref(),
            intent["id"].as_str(),
            "{shape:?}"
        );
    }
    assert_eq!(
        stack.events(university).await,
        [
            "UniversityCreated",
            "InvoiceGenerated",
            "PaymentProcessed",
            "InvoiceGenerated",
            "PaymentProcessed"
        ]
    );
    assert_eq!(
        stack.activity(university).await,
        [
            "payment_processed",
            "invoice_generated",
            "payment_processed",
            "invoice_generated",
            "university_created"
        ]
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_failure_is_told_and_a_later_payment_settles_it() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.invoice(university, 123_450).await;
    stack.stripe.fail(&stripe_id).unwrap();
    stack.settle().await;
    let invoice = stack.stored_invoice(university, id).await;
    assert_eq!(
        (invoice.status, invoice.attempt_count),
        (InvoiceStatus::Failed, 1)
    );
    let mails = stack.mails();
    let number = invoice.number.unwrap();
    let failure = mails.last().unwrap();
    assert!(failure.text.contains("USD 1,234.50"), "{}", failure.text);

    stack.stripe.pay(&stripe_id).unwrap();
    stack.settle().await;
    assert_eq!(
        stack.stored_invoice(university, id).await.status,
        InvoiceStatus::Paid
    );
    assert_eq!(stack.payments(university).await.len(), 1);
    assert_eq!(
        stack.events(university).await,
        [
            "UniversityCreated",
            "InvoiceGenerated",
            "PaymentFailed",
            "AlertCreated",
            "PaymentProcessed"
        ]
    );
    let subjects: Vec<_> = stack.mails().into_iter().map(|it| it.subject).collect();
    let expected = [
        "Welcome to Bitflow, Uppsala".to_owned(),
        format!("Invoice {number} from Bitflow"),
        format!("Payment failed for invoice {number}"),
        format!("Payment received for invoice {number}"),
    ];
    assert_eq!(subjects, expected);
    stack.finish().await;
}

#[tokio::test]
async fn twice_the_same_webhook_is_one_payment_and_one_event() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (_, stripe_id) = stack.invoice(university, 5000).await;
    stack.stripe.hold_deliveries();
    stack.stripe.pay(&stripe_id).unwrap();
    let paid = held(&stack, "invoice.payment_succeeded");
    stack.stripe.release(&[&paid, &paid]).await;
    stack.stripe.release(&[&paid]).await;
    stack.settle().await;
    assert_eq!(stack.payments(university).await.len(), 1);
    assert_eq!(
        stack.events(university).await,
        ["UniversityCreated", "InvoiceGenerated", "PaymentProcessed"]
    );

    // At the same moment, too.
    let event = stack.stripe.object(&paid).unwrap().to_string();
    let other = event.replace(&paid, "evt_other");
    let bodies = [other.as_bytes(); 5];
    let answers = futures_util::future::join_all(bodies.map(|body| stack.webhook(body))).await;
    // Who loses the race for the inbox row may be told to come again, and is then taken.
    let told = |status: StatusCode| answers.iter().filter(|(seen, _)| *seen == status).count();
    let (taken, again) = (told(StatusCode::OK), told(StatusCode::SERVICE_UNAVAILABLE));
    assert!(taken >= 1 && taken + again == answers.len(), "{answers:?}");
    assert_eq!(stack.webhook(other.as_bytes()).await.0, StatusCode::OK);
    assert_eq!(stack.payments(university).await.len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn events_in_the_wrong_order_end_right() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.invoice(university, 5000).await;
    stack.stripe.hold_deliveries();
    stack.stripe.fail(&stripe_id).unwrap();
    stack.stripe.pay(&stripe_id).unwrap();
    let failed = held(&stack, "invoice.payment_failed");
    let paid = held(&stack, "invoice.payment_succeeded");
    stack.stripe.release(&[&paid, &failed]).await;
    stack.settle().await;
    assert_eq!(
        stack.stored_invoice(university, id).await.status,
        InvoiceStatus::Paid
    );
    assert_eq!(
        stack.events(university).await,
        ["UniversityCreated", "InvoiceGenerated", "PaymentProcessed"]
    );
    let failure = |it: &Mail| it.subject.starts_with("Payment failed");
    assert!(
        !stack.mails().iter().any(failure),
        "no mail for a failure that is over"
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_subscription_follows_stripe() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.subscription(university).await;
    stack.settle().await;
    let stored = async || {
        stack
            .subscriptions()
            .get(university, id)
            .await
            .unwrap()
            .unwrap()
    };
    let first_invoice = stack.stripe.object(&stripe_id).unwrap()["latest_invoice"].clone();
    stack.stripe.pay(first_invoice.as_str().unwrap()).unwrap();
    stack.settle().await;
    assert_eq!(stored().await.terms.status, SubscriptionStatus::Active);

    let before = stored().await.terms.current_period_end;
    stack.stripe.set_webhook_shape(Shape::Older);
    stack.stripe.advance(&stripe_id).unwrap();
    stack.settle().await;
    assert_eq!(stored().await.terms.current_period_start, before);

    let invoice = stack.stripe.object(&stripe_id).unwrap()["latest_invoice"].clone();
    stack.stripe.fail(invoice.as_str().unwrap()).unwrap();
    stack.settle().await;
    assert_eq!(stored().await.terms.status, SubscriptionStatus::PastDue);

    stack
        .stripe
        .create(
            &format!("subscriptions/{stripe_id}"),
            "cancel_at_period_end=true",
        )
        .unwrap();
    stack.settle().await;
    assert!(stored().await.terms.cancel_at_period_end);
    stack.stripe.advance(&stripe_id).unwrap();
    stack.settle().await;
    assert_eq!(stored().await.terms.status, SubscriptionStatus::Cancelled);

    let changes: Vec<_> = stack
        .events(university)
        .await
        .into_iter()
        .filter(|kind| kind == "SubscriptionStatusChanged")
        .collect();
    assert_eq!(
        changes.len(),
        5,
        "made, active, past due, will end, cancelled"
    );
    // The invoices that Stripe made itself were adopted.
    assert_eq!(stack.rows("invoices").await.len(), 2);
    stack.finish().await;
}

#[tokio::test]
async fn two_reports_of_one_second_are_settled_by_stripe() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.subscription(university).await;
    stack.settle().await;
    let object = stack.stripe.object(&stripe_id).unwrap();
    let later = object["created"].as_i64().unwrap() + 10;
    let report = |event: &str, status: &str| {
        let mut object = object.clone();
        object["status"] = status.into();
        json!({
            "id": event, "object": "event", "type": "customer.subscription.updated",
            "created": later, "data": { "object": object },
        })
        .to_string()
    };
    // Stripe itself still has it incomplete; that is what a tie must end in.
    assert_eq!(
        stack.webhook(report("evt_a", "active").as_bytes()).await.0,
        StatusCode::OK
    );
    // Each attempt of one read.
    for _ in 0..3 {
        stack.stripe.fail_next(Failure {
            status: 500,
            path: "/v1/subscriptions".into(),
            ..Failure::default()
        });
    }
    let (status, _) = stack.webhook(report("evt_b", "past_due").as_bytes()).await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "Stripe shall deliver it again"
    );
    let (status, _) = stack.webhook(report("evt_b", "past_due").as_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    let stored = stack
        .subscriptions()
        .get(university, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.terms.status, SubscriptionStatus::Incomplete);
    let asked = stack.stripe.requests();
    assert_eq!(
        asked
            .iter()
            .filter(|it| it.path == format!("/v1/subscriptions/{stripe_id}"))
            .count(),
        4
    );
    stack.finish().await;
}

#[tokio::test]
async fn what_is_not_stripes_or_not_ours_changes_nothing() {
    let stack = TestStack::start().await;
    let event = |kind: &str, object: Value| {
        json!({ "id": "evt_x", "object": "event", "type": kind, "created": real_now().as_second(), "data": { "object": object } })
            .to_string()
    };
    let invoice = json!({
        "id": "in_x", "object": "invoice", "customer": "cus_stranger", "currency": "usd",
        "amount_due": 1, "amount_paid": 1, "created": real_now().as_second(),
    });
    let body = event("invoice.payment_succeeded", invoice);
    let refused = (
        StatusCode::BAD_REQUEST,
        json!({ "error": "Invalid signature" }),
    );
    let taken = (StatusCode::OK, json!({ "status": "success" }));

    let fresh = stack.signature(body.as_bytes(), real_now());
    let stale = stack.signature(
        body.as_bytes(),
        real_now() - jiff::SignedDuration::from_mins(6),
    );
    assert_eq!(
        stack.webhook_signed(body.as_bytes(), None).await,
        refused,
        "no signature"
    );
    assert_eq!(
        stack
            .webhook_signed(body.as_bytes(), Some("t=1,v1=00"))
            .await,
        refused,
        "a bad one"
    );
    assert_eq!(
        stack.webhook_signed(body.as_bytes(), Some(&stale)).await,
        refused,
        "a stale one"
    );
    assert_eq!(
        stack.webhook_signed(b"{}", Some(&fresh)).await,
        refused,
        "another body"
    );
    assert_eq!(
        stack.webhook_signed(b"", Some(&fresh)).await,
        refused,
        "an empty body"
    );
    let noise = vec![b'x'; 1024 * 1024];
    assert_eq!(
        stack.webhook_signed(&noise, Some(&fresh)).await,
        refused,
        "1 MB of noise"
    );

    assert_eq!(
        stack.webhook(body.as_bytes()).await,
        taken,
        "an invoice of a stranger"
    );
    let unknown = event(
        "issuing_card.created",
        json!({ "id": "ic_1", "object": "issuing.card" }),
    );
    assert_eq!(
        stack.webhook(unknown.as_bytes()).await,
        taken,
        "an unknown type"
    );
    let odd = event("invoice.created", json!({ "object": "invoice", "id": 7 }));
    assert_eq!(
        stack.webhook(odd.as_bytes()).await,
        taken,
        "an odd object of a type we do not follow"
    );
    assert_eq!(
        stack.webhook(b"not json").await,
        taken,
        "signed, but no event"
    );
    for table in ["invoices", "payments", "subscriptions", "outbox", "inbox"] {
        assert!(stack.rows(table).await.is_empty(), "{table}");
    }
    stack.finish().await;
}

/// The id of the held event of this type.
fn held(stack: &TestStack, kind: &str) -> String {
    let events = stack.stripe.held();
    let event = events
        .iter()
        .find(|event| event["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind}"));
    event["id"].as_str().expect("an id").to_owned()
}
