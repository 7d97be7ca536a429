//! What is asked over HTTP.

use bitflow_domain::billing::invoice::InvoiceStatus::{ActionRequired, Paid, Uncollectible, Void};
use bitflow_domain::billing::payment::PaymentStatus;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::{InvoiceId, SubscriptionId};

use crate::run::Answer::Status;
use crate::run::Samples;
use crate::seed::{DOWNTIME, INVOICE, UNIVERSITY, World};
use crate::support::text;

/// All of them.
pub(crate) const ALL: &[&Samples] = &[
    &ALERTS_API,
    &BILLING_API,
    &BROADCASTING_AUTH,
    &NOTIFICATIONS_API,
    &STRIPE_WEBHOOK,
    &UNIVERSITIES_API,
    &UNIVERSITY_SYNC,
];

const ALERTS_API: Samples = Samples {
    function: "alerts-api",
    answers: &[
        ("raise.json", Status(201)),
        ("raise-invalid.json", Status(422)),
        ("list.json", Status(200)),
        ("acknowledge-unknown.json", Status(404)),
    ],
};

#[tokio::test]
pub(crate) async fn alerts_api() {
    let world = World::start().await;
    world.run(&ALERTS_API).await;
    let listed = world.invoke("alerts-api/list.json").await;
    let listed = text(&listed["body"]);
    assert!(listed.contains("Storage quota exceeded"), "{listed}");
    world.stack.finish().await;
}

const BILLING_API: Samples = Samples {
    function: "billing-api",
    answers: &[
        ("no-token.json", Status(401)),
        ("create-subscription-manual.json", Status(201)),
        ("create-subscription-price.json", Status(201)),
        ("create-subscription-price-unknown.json", Status(422)),
        ("create-invoice.json", Status(201)),
        ("create-invoice-invalid.json", Status(422)),
        ("create-invoice-no-items.json", Status(422)),
        ("list-invoices-by-status.json", Status(200)),
        ("list-payments.json", Status(200)),
        ("remind-invoice.json", Status(200)),
        ("void-invoice.json", Status(200)),
        ("cancel-subscription.json", Status(200)),
        ("request-report.json", Status(202)),
        ("request-report-future.json", Status(422)),
        ("read-report-unknown.json", Status(404)),
    ],
};

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

const BROADCASTING_AUTH: Samples = Samples {
    function: "broadcasting-auth",
    answers: &[
        ("private-channel.json", Status(200)),
        ("presence-channel.json", Status(200)),
        ("other-channel.json", Status(403)),
    ],
};

#[tokio::test]
pub(crate) async fn broadcasting_auth() {
    let world = World::start().await;
    world.run(&BROADCASTING_AUTH).await;
    world.stack.finish().await;
}

const NOTIFICATIONS_API: Samples = Samples {
    function: "notifications-api",
    answers: &[
        ("create.json", Status(201)),
        ("create-in-the-past.json", Status(422)),
        ("list.json", Status(200)),
        ("read.json", Status(200)),
        ("read-unknown.json", Status(404)),
        ("list-deliveries.json", Status(200)),
        ("cancel.json", Status(200)),
    ],
};

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

const STRIPE_WEBHOOK: Samples = Samples {
    function: "stripe-webhook",
    answers: &[
        ("stale-signature.json", Status(400)),
        ("unknown-type.json", Status(200)),
        ("invoice.payment_succeeded.json", Status(200)),
        ("charge.refunded.json", Status(200)),
        ("charge.dispute.created.json", Status(200)),
        ("invoice.payment_failed.older-shape.json", Status(200)),
        ("invoice.marked_uncollectible.json", Status(200)),
        ("invoice.finalized.json", Status(200)),
        ("invoice.voided.json", Status(200)),
        ("invoice.payment_action_required.json", Status(200)),
        ("invoice.paid.json", Status(200)),
        ("customer.subscription.created.json", Status(200)),
        ("customer.subscription.updated.json", Status(200)),
        ("customer.subscription.deleted.json", Status(200)),
        ("customer.subscription.trial_will_end.json", Status(200)),
        ("customer.deleted.json", Status(200)),
    ],
};

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

const UNIVERSITIES_API: Samples = Samples {
    function: "universities-api",
    answers: &[
        ("no-token.json", Status(401)),
        ("create.json", Status(201)),
        ("create-invalid.json", Status(422)),
        ("list.json", Status(200)),
        ("read.json", Status(200)),
        ("change.json", Status(200)),
        ("change-stale.json", Status(412)),
        ("change-invalid.json", Status(422)),
        ("rotate-portal-secret.json", Status(200)),
        ("set-logo-html.json", Status(415)),
        ("set-logo.json", Status(200)),
        ("read-logo.json", Status(200)),
        ("remove-logo.json", Status(204)),
        ("logo-upload-url.json", Status(200)),
        ("delete.json", Status(204)),
        ("list-deleted.json", Status(200)),
        ("restore.json", Status(200)),
    ],
};

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

const UNIVERSITY_SYNC: Samples = Samples {
    function: "university-sync",
    answers: &[
        ("students.json", Status(200)),
        ("storage.json", Status(200)),
        ("invalid.json", Status(422)),
        ("stale-signature.json", Status(401)),
    ],
};

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
