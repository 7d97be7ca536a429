//! Every sample, in the order in which a function's are run, and what each answers.

use crate::run::Answer::{Failed, Null, Status};
use crate::run::Samples;

/// All of them.
pub(crate) const ALL: &[&Samples] = &[
    &ALERTS_API,
    &BILLING_API,
    &BROADCASTING_AUTH,
    &NOTIFICATIONS_API,
    &STRIPE_WEBHOOK,
    &UNIVERSITIES_API,
    &UNIVERSITY_SYNC,
    &ACTIVITY_LISTENER,
    &ALERT_LISTENER,
    &EMAIL_LISTENER,
    &INVOICE_LISTENER,
    &MAINTENANCE_LISTENER,
    &OUTBOX_RELAY,
    &PAYMENT_DETAILS_LISTENER,
    &PORTAL_DELIVERY_LISTENER,
    &REALTIME_LISTENER,
    &REPORT_LISTENER,
    &STORAGE_USAGE_LISTENER,
    &STRIPE_CUSTOMER_LISTENER,
    &GENERATE_MONTHLY_INVOICES_JOB,
    &RETRY_PORTAL_DELIVERIES_JOB,
    &SEND_PAYMENT_REMINDERS_JOB,
    &SWEEP_OUTBOX_JOB,
    &SYNC_STORAGE_USAGE_JOB,
    &WARN_EXPIRING_SUBSCRIPTIONS_JOB,
    &WATCH_DEAD_LETTERS_JOB,
];

pub(crate) const ALERTS_API: Samples = Samples {
    function: "alerts-api",
    answers: &[
        ("raise.json", Status(201)),
        ("raise-invalid.json", Status(422)),
        ("list.json", Status(200)),
        ("acknowledge-unknown.json", Status(404)),
    ],
};

pub(crate) const BILLING_API: Samples = Samples {
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

pub(crate) const BROADCASTING_AUTH: Samples = Samples {
    function: "broadcasting-auth",
    answers: &[
        ("private-channel.json", Status(200)),
        ("presence-channel.json", Status(200)),
        ("other-channel.json", Status(403)),
    ],
};

pub(crate) const NOTIFICATIONS_API: Samples = Samples {
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

pub(crate) const STRIPE_WEBHOOK: Samples = Samples {
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

pub(crate) const UNIVERSITIES_API: Samples = Samples {
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

pub(crate) const UNIVERSITY_SYNC: Samples = Samples {
    function: "university-sync",
    answers: &[
        ("students.json", Status(200)),
        ("storage.json", Status(200)),
        ("invalid.json", Status(422)),
        ("stale-signature.json", Status(401)),
    ],
};

pub(crate) const ACTIVITY_LISTENER: Samples = Samples {
    function: "activity-listener",
    answers: &[
        ("two-events.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
        ("payment-refunded.json", Failed(&[])),
        ("university-life.json", Failed(&[])),
    ],
};

pub(crate) const ALERT_LISTENER: Samples = Samples {
    function: "alert-listener",
    answers: &[
        ("payment-failed.json", Failed(&[])),
        ("portal-unreachable.json", Failed(&[])),
        ("storage-quota-exceeded.json", Failed(&[])),
    ],
};

pub(crate) const EMAIL_LISTENER: Samples = Samples {
    function: "email-listener",
    answers: &[
        ("university-created.json", Failed(&[])),
        ("invoice-generated.json", Failed(&[])),
        ("invoice-voided.json", Failed(&[])),
        ("maintenance-announced.json", Failed(&[])),
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

pub(crate) const INVOICE_LISTENER: Samples = Samples {
    function: "invoice-listener",
    answers: &[
        ("manual-plan.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
    ],
};

pub(crate) const MAINTENANCE_LISTENER: Samples = Samples {
    function: "maintenance-listener",
    answers: &[
        ("maintenance-scheduled.json", Failed(&[])),
        ("maintenance-cancelled.json", Failed(&[])),
    ],
};

pub(crate) const OUTBOX_RELAY: Samples = Samples {
    function: "outbox-relay",
    answers: &[("insert.json", Failed(&[]))],
};

pub(crate) const PAYMENT_DETAILS_LISTENER: Samples = Samples {
    function: "payment-details-listener",
    answers: &[("payment-processed.json", Failed(&[]))],
};

pub(crate) const PORTAL_DELIVERY_LISTENER: Samples = Samples {
    function: "portal-delivery-listener",
    answers: &[
        ("maintenance-announced.json", Failed(&[])),
        ("old-try.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
    ],
};

pub(crate) const REALTIME_LISTENER: Samples = Samples {
    function: "realtime-listener",
    answers: &[
        ("alert-created.json", Failed(&[])),
        ("alert-acknowledged.json", Failed(&[])),
        ("payment-processed.json", Failed(&[])),
        ("university-created.json", Failed(&[])),
    ],
};

pub(crate) const REPORT_LISTENER: Samples = Samples {
    function: "report-listener",
    answers: &[("one-bad-message.json", Failed(&[2]))],
};

pub(crate) const STORAGE_USAGE_LISTENER: Samples = Samples {
    function: "storage-usage-listener",
    answers: &[
        ("one-university.json", Failed(&[])),
        ("one-bad-message.json", Failed(&[2])),
    ],
};

pub(crate) const STRIPE_CUSTOMER_LISTENER: Samples = Samples {
    function: "stripe-customer-listener",
    answers: &[
        ("university-created.json", Failed(&[])),
        ("university-updated.json", Failed(&[])),
        ("university-deleted.json", Failed(&[])),
    ],
};

pub(crate) const GENERATE_MONTHLY_INVOICES_JOB: Samples = Samples {
    function: "generate-monthly-invoices-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const RETRY_PORTAL_DELIVERIES_JOB: Samples = Samples {
    function: "retry-portal-deliveries-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const SEND_PAYMENT_REMINDERS_JOB: Samples = Samples {
    function: "send-payment-reminders-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const SWEEP_OUTBOX_JOB: Samples = Samples {
    function: "sweep-outbox-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const SYNC_STORAGE_USAGE_JOB: Samples = Samples {
    function: "sync-storage-usage-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const WARN_EXPIRING_SUBSCRIPTIONS_JOB: Samples = Samples {
    function: "warn-expiring-subscriptions-job",
    answers: &[("scheduled.json", Null)],
};

pub(crate) const WATCH_DEAD_LETTERS_JOB: Samples = Samples {
    function: "watch-dead-letters-job",
    answers: &[("scheduled.json", Null)],
};
