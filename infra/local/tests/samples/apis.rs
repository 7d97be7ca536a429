//! What is asked over HTTP.

use bitflow_domain::billing::invoice::InvoiceStatus::{ActionRequired, Paid, Uncollectible, Void};
use bitflow_domain::billing::payment::PaymentStatus;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::{InvoiceId, SubscriptionId};

use crate::answers::{
    ALERTS_API, BILLING_API, BROADCASTING_AUTH, NOTIFICATIONS_API, STRIPE_WEBHOOK,
    UNIVERSITIES_API, UNIVERSITY_SYNC,
};
use crate::seed::{DOWNTIME, INVOICE, UNIVERSITY, World};
use crate::support::text;

#[tokio::test]
pub(crate) async fn alerts_api() {
    let world = World::start().await;
    world.run(&ALERTS_API).await;
    let listed = world.invoke("alerts-api/list.json").await;
    let listed = text(&listed["body"]);
    assert!(listed.contains("Storage quota exceeded"), "{listed}");
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn billing_api() {
    let mut world = World::start().await;
    world.make_price();
    world.insert_plan("2026-01-01T00:00:00Z").await;
    world.make_invoice(None).await;
    world.run(&BILLING_API).await;

    let of_subscription_and_two_others = 3;
    assert_eq!(world.invoices_at_stripe(), of_subscription_and_two_others);
    let create = "billing-api/create-invoice.json";
    let again = [world.invoke(create).await, world.invoke(create).await];
    for part in ["/statusCode", "/body", "/headers/location"] {
        let [first, second] = again.each_ref().map(|answer| answer.pointer(part));
        assert_eq!(first, second, "the same key is the same invoice");
    }
    assert_eq!(world.invoices_at_stripe(), of_subscription_and_two_others);
    let refused = world.invoke("billing-api/create-subscription-price-unknown.json");
    let refused = text(&refused.await["body"]);
    assert!(refused.contains("No such price"), "{refused}");
    let invoice = world.stack.stored_invoice(UNIVERSITY, INVOICE).await;
    assert_eq!(invoice.status, Void);
    let reminder = |subject: &String| subject.starts_with("Reminder: ");
    assert_eq!(world.subjects().iter().filter(|it| reminder(it)).count(), 1);
    assert!(world.plan().await.terms.cancel_at_period_end);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn broadcasting_auth() {
    let world = World::start().await;
    world.run(&BROADCASTING_AUTH).await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn notifications_api() {
    let world = World::start().await;
    world.insert_notification().await;
    world.run(&NOTIFICATIONS_API).await;
    // The one that was created is told; the one that was cancelled is not.
    assert_eq!(world.stack.portal.requests().len(), 1);
    assert_eq!(world.subjects(), [DOWNTIME]);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn stripe_webhook() {
    let mut world = World::start().await;
    world.pay_untold_invoice();
    world.run(&STRIPE_WEBHOOK).await;
    let told = [
        ("in_sample_2", Uncollectible),
        ("in_sample_3", Void),
        ("in_sample_4", ActionRequired),
        ("in_sample_5", Paid),
    ];
    for (id, status) in told {
        let ours = InvoiceId::of_stripe_invoice(id);
        let invoice = world.stack.stored_invoice(UNIVERSITY, ours).await;
        assert_eq!(invoice.status, status, "{id}");
    }
    let payments = world.stack.payments(UNIVERSITY).await;
    assert_eq!(payments.len(), 2);
    let refunded = payments.iter().find(|it| it.amount_refunded == 30_000);
    let refunded = refunded.expect("a refund");
    assert_eq!(refunded.status, PaymentStatus::PartiallyRefunded);
    assert!(refunded.disputed_at.is_some());
    for (id, status) in [
        ("sub_sample_1", SubscriptionStatus::Cancelled),
        ("sub_sample_2", SubscriptionStatus::Trialing),
    ] {
        let ours = SubscriptionId::of_stripe_subscription(id);
        let stored = world.stack.subscriptions().get(UNIVERSITY, ours).await;
        assert_eq!(stored.unwrap().expect(id).terms.status, status, "{id}");
    }
    assert_eq!(world.university().await.stripe_customer_id, None);
    let mut expected = [
        "AlertCreated",
        "AlertCreated",
        "InvoiceGenerated",
        "PaymentProcessed",
        "PaymentRefunded",
        "PaymentDisputed",
        "InvoiceGenerated",
        "PaymentFailed",
        "InvoiceMarkedUncollectible",
        "InvoiceGenerated",
        "InvoiceVoided",
        "InvoiceGenerated",
        "PaymentActionRequired",
        "InvoiceGenerated",
        "PaymentProcessed",
        "SubscriptionStatusChanged",
        "SubscriptionStatusChanged",
        "SubscriptionStatusChanged",
        "SubscriptionStatusChanged",
        "SubscriptionExpiring",
        "StripeCustomerDeleted",
    ];
    // Two of one moment come in any order.
    let mut events = world.stack.events(UNIVERSITY).await;
    events.sort();
    expected.sort_unstable();
    assert_eq!(events, expected);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn universities_api() {
    let world = World::start().await;
    world.run(&UNIVERSITIES_API).await;
    let with_the_one_created = 2;
    assert_eq!(
        world.stack.rows("universities").await.len(),
        with_the_one_created
    );
    let mut expected = [
        "UniversityUpdated",
        "UniversityUpdated",
        "UniversityUpdated",
        "PortalSecretRotated",
        "UniversityDeleted",
        "UniversityRestored",
    ];
    expected.sort_unstable();
    let mut events = world.stack.events(UNIVERSITY).await;
    events.sort();
    assert_eq!(events, expected);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn university_sync() {
    let world = World::start().await;
    world.run(&UNIVERSITY_SYNC).await;
    let metrics = world.university().await.metrics;
    assert_eq!(
        (metrics.students, metrics.storage),
        (15_000, 450_000_000_000)
    );
    let mut activity = world.stack.activity(UNIVERSITY).await;
    activity.sort();
    let expected = [
        "alert_created",
        "metric_update",
        "metric_update",
        "storage_quota_exceeded",
    ];
    assert_eq!(activity, expected);
    world.stack.finish().await;
}
