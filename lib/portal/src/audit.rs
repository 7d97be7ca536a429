//! The audit trail: one line for every event.

use bitflow_events::envelope::Envelope;
use bitflow_events::payload::{Expiring, Payload};
use bitflow_store::activities::{Activities, Activity};

use crate::error::{PortalError, load};

/// Writes the line of `event`. Again writes the same line over itself.
pub async fn record(activities: &Activities, event: &Envelope) -> Result<(), PortalError> {
    activities
        .append(&describe(event))
        .await
        .map_err(load("record activity"))
}

/// The line of an event: a type, a sentence, and the event's own facts.
fn describe(event: &Envelope) -> Activity {
    let (kind, description) = match &event.payload {
        Payload::UniversityCreated(_) => ("university_created", "University created".to_owned()),
        Payload::SubscriptionStatusChanged(change) => (
            "subscription_status_changed",
            match change.from {
                Some(from) if from == change.to && change.cancel_at_period_end => {
                    "Subscription will end with its period".to_owned()
                }
                Some(from) if from == change.to => "Subscription will go on".to_owned(),
                Some(from) => {
                    format!(
                        "Subscription went from {} to {}",
                        from.as_str(),
                        change.to.as_str()
                    )
                }
                None => format!("Subscription is {}", change.to.as_str()),
            },
        ),
        Payload::InvoiceGenerated(invoice) => (
            "invoice_generated",
            format!(
                "Invoice {} generated",
                name(
                    invoice.invoice_number.as_deref(),
                    &invoice.stripe_invoice_id
                )
            ),
        ),
        Payload::PaymentProcessed(payment) => (
            "payment_processed",
            format!(
                "Invoice {} paid",
                name(
                    payment.invoice_number.as_deref(),
                    &payment.stripe_invoice_id
                )
            ),
        ),
        Payload::PaymentFailed(payment) => (
            "payment_failed",
            format!(
                "Payment of invoice {} failed, attempt {}",
                name(
                    payment.invoice_number.as_deref(),
                    &payment.stripe_invoice_id
                ),
                payment.attempt_count
            ),
        ),
        Payload::PaymentActionRequired(payment) => (
            "payment_action_required",
            format!(
                "Payment of invoice {} waits for the customer",
                name(
                    payment.invoice_number.as_deref(),
                    &payment.stripe_invoice_id
                )
            ),
        ),
        Payload::PaymentRefunded(payment) => (
            "payment_refunded",
            if payment.amount_refunded < payment.amount.amount {
                "Payment refunded in part".to_owned()
            } else {
                "Payment refunded".to_owned()
            },
        ),
        Payload::PaymentDisputed(_) => ("payment_disputed", "Payment disputed".to_owned()),
        Payload::PaymentReminderDue(reminder) => (
            "payment_reminder_due",
            format!(
                "Reminder of invoice {}",
                name(
                    reminder.invoice_number.as_deref(),
                    &reminder.stripe_invoice_id
                )
            ),
        ),
        Payload::InvoiceVoided(invoice) => (
            "invoice_voided",
            format!(
                "Invoice {} voided",
                name(
                    invoice.invoice_number.as_deref(),
                    &invoice.stripe_invoice_id
                )
            ),
        ),
        Payload::InvoiceMarkedUncollectible(invoice) => (
            "invoice_marked_uncollectible",
            format!(
                "Invoice {} given up on",
                name(
                    invoice.invoice_number.as_deref(),
                    &invoice.stripe_invoice_id
                )
            ),
        ),
        Payload::SubscriptionExpiring(expiring) => (
            "subscription_expiring",
            match expiring.what {
                Expiring::Subscription => "Subscription ends soon".to_owned(),
                Expiring::Trial => "Trial ends soon".to_owned(),
            },
        ),
        Payload::StripeCustomerDeleted(_) => (
            "stripe_customer_deleted",
            "Customer deleted at Stripe".to_owned(),
        ),
    };
    let mut metadata = serde_json::to_value(&event.payload).unwrap_or_default();
    Activity {
        id: event.event_id,
        university_id: event.university_id,
        kind: kind.to_owned(),
        description,
        metadata: metadata["data"].take(),
        actor: event.actor.clone(),
        correlation_id: event.correlation_id.clone(),
        occurred_at: event.occurred_at,
    }
}

/// What people call an invoice.
fn name<'a>(number: Option<&'a str>, stripe_invoice_id: &'a str) -> &'a str {
    number.unwrap_or(stripe_invoice_id)
}
