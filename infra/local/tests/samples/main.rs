//! Every file below `events/` is run, and answers and does what it should.
//!
//! Each function has a stack of its own, with what its samples are about.

mod run;
mod seed;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bitflow_domain::billing::invoice::InvoiceStatus::{ActionRequired, Paid, Uncollectible, Void};
use bitflow_domain::billing::payment::PaymentStatus;
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::{InvoiceId, SubscriptionId};
use bitflow_local::functions::workspace;
use bitflow_realtime::auth::App;
use run::Answer::{Failed, Null, Status};
use run::Samples;
use seed::{INVOICE, UNIVERSITY, World};
use support::socket::Client;
use support::{text, time};

/// Where the owner listens.
const CHANNEL: &str = "private-bitflow-admin";

const ALL: [Samples; 22] = [
    ACTIVITY_LISTENER,
    ALERT_LISTENER,
    ALERTS_API,
    BILLING_API,
    BROADCASTING_AUTH,
    EMAIL_LISTENER,
    GENERATE_MONTHLY_INVOICES_JOB,
    INVOICE_LISTENER,
    OUTBOX_RELAY,
    PAYMENT_DETAILS_LISTENER,
    REALTIME_LISTENER,
    REPORT_LISTENER,
    SEND_PAYMENT_REMINDERS_JOB,
    STORAGE_USAGE_LISTENER,
    STRIPE_CUSTOMER_LISTENER,
    STRIPE_WEBHOOK,
    SWEEP_OUTBOX_JOB,
    SYNC_STORAGE_USAGE_JOB,
    UNIVERSITIES_API,
    UNIVERSITY_SYNC,
    WARN_EXPIRING_SUBSCRIPTIONS_JOB,
    WATCH_DEAD_LETTERS_JOB,
];

const ACTIVITY_LISTENER: Samples = Samples {
    function: "activity-listener",
    answers: &[
        ("two-events.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
        ("payment-refunded.json", Failed(&[])),
        ("university-life.json", Failed(&[])),
    ],
};

#[tokio::test]
async fn activity_listener() {
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

const ALERT_LISTENER: Samples = Samples {
    function: "alert-listener",
    answers: &[
        ("payment-failed.json", Failed(&[])),
        ("storage-quota-exceeded.json", Failed(&[])),
    ],
};

#[tokio::test]
async fn alert_listener() {
    let world = World::start().await;
    world.run(&ALERT_LISTENER).await;
    assert_eq!(world.stack.rows("alerts").await.len(), 2);
    // The same events again.
    world.run(&ALERT_LISTENER).await;
    assert_eq!(world.stack.rows("alerts").await.len(), 2);
    assert_eq!(
        world.stack.events(UNIVERSITY).await,
        ["AlertCreated", "AlertCreated"]
    );
    world.stack.finish().await;
}

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
async fn alerts_api() {
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
async fn billing_api() {
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
async fn broadcasting_auth() {
    let world = World::start().await;
    world.run(&BROADCASTING_AUTH).await;
    world.stack.finish().await;
}

const EMAIL_LISTENER: Samples = Samples {
    function: "email-listener",
    answers: &[
        ("university-created.json", Failed(&[])),
        ("invoice-generated.json", Failed(&[])),
        ("invoice-voided.json", Failed(&[])),
        ("payment-processed.json", Failed(&[])),
        ("payment-failed.json", Failed(&[])),
        ("payment-action-required.json", Failed(&[])),
        ("payment-reminder-due.json", Failed(&[])),
        ("subscription-active.json", Failed(&[])),
        ("subscription-cancelled.json", Failed(&[])),
        ("subscription-expiring.json", Failed(&[])),
        ("storage-quota-exceeded.json", Failed(&[])),
    ],
};

#[tokio::test]
async fn email_listener() {
    let world = World::start().await;
    world.run(&EMAIL_LISTENER).await;
    let expected = [
        "Welcome to Bitflow, Sample",
        "Invoice UU-0002 from Bitflow",
        "Invoice UU-0002 was withdrawn",
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

const GENERATE_MONTHLY_INVOICES_JOB: Samples = Samples {
    function: "generate-monthly-invoices-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn generate_monthly_invoices_job() {
    let world = World::start().await;
    world.insert_plan("2025-12-10T00:00:00Z").await;
    world.run(&GENERATE_MONTHLY_INVOICES_JOB).await;
    world.is_billed_until("2026-02-01T00:00:00Z").await;
    world.stack.finish().await;
}

const INVOICE_LISTENER: Samples = Samples {
    function: "invoice-listener",
    answers: &[
        ("manual-plan.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
    ],
};

#[tokio::test]
async fn invoice_listener() {
    let world = World::start().await;
    world.insert_plan("2025-11-10T00:00:00Z").await;
    world.run(&INVOICE_LISTENER).await;
    world.is_billed_until("2026-01-01T00:00:00Z").await;
    world.stack.finish().await;
}

const OUTBOX_RELAY: Samples = Samples {
    function: "outbox-relay",
    answers: &[("insert.json", Failed(&[]))],
};

#[tokio::test]
async fn outbox_relay() {
    let world = World::start().await;
    world.run(&OUTBOX_RELAY).await;
    assert_eq!(world.subjects(), ["Welcome to Bitflow, Sample"]);
    assert_eq!(
        world.stack.activity(UNIVERSITY).await,
        ["university_created"]
    );
    world.stack.finish().await;
}

const PAYMENT_DETAILS_LISTENER: Samples = Samples {
    function: "payment-details-listener",
    answers: &[("payment-processed.json", Failed(&[]))],
};

#[tokio::test]
async fn payment_details_listener() {
    let mut world = World::start().await;
    world.pay_untold_invoice();
    world.insert_payment().await;
    world.run(&PAYMENT_DETAILS_LISTENER).await;
    let payments = world.stack.payments(UNIVERSITY).await;
    assert_eq!(payments[0].method.as_deref(), Some("card"));
    assert!(payments[0].stripe_payment_intent_id.is_some());
    world.stack.finish().await;
}

const REALTIME_LISTENER: Samples = Samples {
    function: "realtime-listener",
    answers: &[
        ("alert-created.json", Failed(&[])),
        ("alert-acknowledged.json", Failed(&[])),
        ("payment-processed.json", Failed(&[])),
        ("university-created.json", Failed(&[])),
    ],
};

#[tokio::test]
async fn realtime_listener() {
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

const REPORT_LISTENER: Samples = Samples {
    function: "report-listener",
    answers: &[("one-bad-message.json", Failed(&[2]))],
};

#[tokio::test]
async fn report_listener() {
    let world = World::start().await;
    world.run(&REPORT_LISTENER).await;
    world.stack.finish().await;
}

const SEND_PAYMENT_REMINDERS_JOB: Samples = Samples {
    function: "send-payment-reminders-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn send_payment_reminders_job() {
    let world = World::start().await;
    world.make_invoice(Some("2026-01-01T00:00:00Z")).await;
    world.run(&SEND_PAYMENT_REMINDERS_JOB).await;
    let subjects = world.subjects();
    let last = subjects.last().expect("a mail");
    assert!(
        last.starts_with("Reminder: ") && last.ends_with("is 14 days overdue"),
        "{last}"
    );
    world.stack.finish().await;
}

const STORAGE_USAGE_LISTENER: Samples = Samples {
    function: "storage-usage-listener",
    answers: &[
        ("one-university.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
    ],
};

#[tokio::test]
async fn storage_usage_listener() {
    let world = World::start().await;
    world.run(&STORAGE_USAGE_LISTENER).await;
    world.stack.finish().await;
}

const STRIPE_CUSTOMER_LISTENER: Samples = Samples {
    function: "stripe-customer-listener",
    answers: &[
        ("university-created.json", Failed(&[])),
        ("university-updated.json", Failed(&[])),
        ("university-deleted.json", Failed(&[])),
    ],
};

#[tokio::test]
async fn stripe_customer_listener() {
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
async fn stripe_webhook() {
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

const SWEEP_OUTBOX_JOB: Samples = Samples {
    function: "sweep-outbox-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn sweep_outbox_job() {
    let world = World::start().await;
    world.run(&SWEEP_OUTBOX_JOB).await;
    world.stack.finish().await;
}

const SYNC_STORAGE_USAGE_JOB: Samples = Samples {
    function: "sync-storage-usage-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn sync_storage_usage_job() {
    let world = World::start().await;
    world.run(&SYNC_STORAGE_USAGE_JOB).await;
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
async fn universities_api() {
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
async fn university_sync() {
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

const WARN_EXPIRING_SUBSCRIPTIONS_JOB: Samples = Samples {
    function: "warn-expiring-subscriptions-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn warn_expiring_subscriptions_job() {
    let world = World::start().await;
    world.insert_ending_plan("2026-01-10T00:00:00Z").await;
    world.run(&WARN_EXPIRING_SUBSCRIPTIONS_JOB).await;
    let warning = "Your Bitflow subscription ends on 1 February 2026";
    assert_eq!(world.subjects(), [warning]);
    world.stack.finish().await;
}

const WATCH_DEAD_LETTERS_JOB: Samples = Samples {
    function: "watch-dead-letters-job",
    answers: &[("scheduled.json", Null)],
};

#[tokio::test]
async fn watch_dead_letters_job() {
    let world = World::start().await;
    world.run(&WATCH_DEAD_LETTERS_JOB).await;
    assert!(world.stack.rows("alerts").await.is_empty());
    world.stack.finish().await;
}

#[test]
fn every_file_is_a_sample_and_every_function_has_one() {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let events = workspace().join("events");
    let functions: BTreeSet<String> = ALL.iter().map(|it| it.function.to_owned()).collect();
    assert_eq!(names(&events), functions);
    assert_eq!(names(&workspace().join("functions")), functions);
    for Samples { function, answers } in ALL {
        let run = answers.iter().map(|(file, _)| (*file).to_owned());
        assert_eq!(names(&events.join(function)), run.collect(), "{function}");
    }
}

impl World {
    /// Sees to it that the manual plan has one invoice, at Stripe and in our books, up to `end`.
    async fn is_billed_until(&self, end: &str) {
        assert_eq!(self.invoices_at_stripe(), 1);
        assert_eq!(self.stack.rows("invoices").await.len(), 1);
        assert_eq!(self.plan().await.terms.current_period_end, time(end));
        assert_eq!(self.stack.events(UNIVERSITY).await, ["InvoiceGenerated"]);
    }
}
