//! What comes by queues and streams.

use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_realtime::auth::App;

use crate::answers::{
    ACTIVITY_LISTENER, ALERT_LISTENER, EMAIL_LISTENER, INVOICE_LISTENER, MAINTENANCE_LISTENER,
    OUTBOX_RELAY, PAYMENT_DETAILS_LISTENER, PORTAL_DELIVERY_LISTENER, REALTIME_LISTENER,
    REPORT_LISTENER, STORAGE_USAGE_LISTENER, STRIPE_CUSTOMER_LISTENER,
};
use crate::seed::{DOWNTIME, UNIVERSITY, World};
use crate::support::socket::Client;

/// Where the owner listens.
const CHANNEL: &str = "private-bitflow-admin";

#[tokio::test]
pub(crate) async fn activity_listener() {
    let world = World::start().await;
    world.run(&ACTIVITY_LISTENER).await;
    let history = [
        "university_restored",
        "university_deleted",
        "portal_secret_rotated",
        "university_updated",
        "payment_refunded",
        "payment_failed",
        "university_created",
    ];
    assert_eq!(world.stack.activity(UNIVERSITY).await, history);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn alert_listener() {
    let world = World::start().await;
    world.run(&ALERT_LISTENER).await;
    assert_eq!(world.stack.rows("alerts").await.len(), 3);
    // The same events again.
    world.run(&ALERT_LISTENER).await;
    assert_eq!(world.stack.rows("alerts").await.len(), 3);
    assert_eq!(world.stack.events(UNIVERSITY).await, ["AlertCreated"; 3]);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn email_listener() {
    let world = World::start().await;
    world.run(&EMAIL_LISTENER).await;
    let expected = [
        "Welcome to Bitflow, Sample",
        "Invoice UU-0002 from Bitflow",
        "Invoice UU-0002 was withdrawn",
        DOWNTIME,
        "Payment received for invoice UU-0001",
        "Payment failed for invoice UU-0002",
        "Please confirm the payment of invoice UU-0002",
        "Reminder: invoice UU-0002 is 7 days overdue",
        // That a subscription became active is no mail.
        "Your Bitflow subscription has ended",
        "Your Bitflow subscription ends on 1 February 2026",
        "Sample uses 91.5 % of its storage",
    ];
    assert_eq!(world.subjects(), expected);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn invoice_listener() {
    let world = World::start().await;
    world.insert_plan("2025-11-10T00:00:00Z").await;
    world.run(&INVOICE_LISTENER).await;
    world.is_billed_until("2026-01-01T00:00:00Z").await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn maintenance_listener() {
    let world = World::start().await;
    world.insert_notification().await;
    world.run(&MAINTENANCE_LISTENER).await;
    let events = world.stack.events(UNIVERSITY).await;
    assert_eq!(events, ["MaintenanceAnnounced"]);
    // The same events again.
    world.run(&MAINTENANCE_LISTENER).await;
    assert_eq!(world.stack.events(UNIVERSITY).await, events);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn outbox_relay() {
    let world = World::start().await;
    world.run(&OUTBOX_RELAY).await;
    assert_eq!(world.subjects(), ["Welcome to Bitflow, Sample"]);
    assert_eq!(
        world.stack.activity(UNIVERSITY).await,
        ["university_created"]
    );
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn payment_details_listener() {
    let mut world = World::start().await;
    world.pay_untold_invoice();
    world.insert_payment().await;
    world.run(&PAYMENT_DETAILS_LISTENER).await;
    let payments = world.stack.payments(UNIVERSITY).await;
    assert_eq!(payments[0].method.as_deref(), Some("card"));
    assert!(payments[0].stripe_payment_intent_id.is_some());
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn portal_delivery_listener() {
    let world = World::start().await;
    world.insert_notification().await;
    world.insert_delivery().await;
    world.run(&PORTAL_DELIVERY_LISTENER).await;
    let requests = world.stack.portal.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["title"], "Scheduled Maintenance");
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn realtime_listener() {
    let world = World::start().await;
    let pusher = world.stack.info().pusher.clone();
    let address = format!("{}:{}", pusher.host, pusher.port);
    let mut owner = Client::connect(&address, &pusher.key).await;
    let app = App {
        id: pusher.app_id,
        key: pusher.key,
        secret: pusher.secret.into(),
    };
    let auth = app.sign_subscription(&owner.socket_id, CHANNEL, None);
    owner.subscribe(CHANNEL, &auth).await;
    world.run(&REALTIME_LISTENER).await;
    for name in [
        "alert.created",
        "alert.acknowledged",
        "invoice.paid",
        "university.created",
    ] {
        assert_eq!(owner.next().await["event"], name);
    }
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn report_listener() {
    let world = World::start().await;
    world.run(&REPORT_LISTENER).await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn storage_usage_listener() {
    let world = World::start().await;
    world.run(&STORAGE_USAGE_LISTENER).await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn stripe_customer_listener() {
    let world = World::before_stripe().await;
    world.insert_plan("2025-12-10T00:00:00Z").await;
    world.run(&STRIPE_CUSTOMER_LISTENER).await;
    let plan = world.plan().await;
    assert_eq!(plan.terms.status, SubscriptionStatus::Cancelled);
    let customers = world.stack.stripe.objects("customer");
    assert_eq!(customers.len(), 1);
    let linked = world.university().await.stripe_customer_id;
    assert_eq!(linked.as_deref(), customers[0]["id"].as_str());
    world.stack.finish().await;
}
