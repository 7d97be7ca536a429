//! The audit trail: one line for every event.

use bitflow_domain::university::UniversityField;
use bitflow_domain::university::usage::Metric;
use bitflow_events::envelope::Envelope;
use bitflow_events::payload::{Expiring, Payload, UniversityChange};
use bitflow_store::activities::{Activities, Activity};
use serde_json::json;

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
    let (kind, description, metadata) = match metric(&event.payload) {
        Some((metric, change)) => (
            "metric_update".to_owned(),
            format!("{} updated to {}", metric.as_str(), change.new),
            json!({ "metric": metric, "old_value": change.old, "new_value": change.new }),
        ),
        None => (
            snake_case(event.payload.kind()),
            sentence(&event.payload),
            serde_json::to_value(&event.payload).unwrap_or_default()["data"].take(),
        ),
    };
    Activity {
        id: event.event_id,
        university_id: event.university_id,
        kind,
        description,
        metadata,
        actor: event.actor.clone(),
        correlation_id: event.correlation_id.clone(),
        occurred_at: event.occurred_at,
    }
}

/// The metric that a portal reported: its line is the contract's own (contract section 4.1).
fn metric(payload: &Payload) -> Option<(Metric, &UniversityChange)> {
    match payload {
        Payload::UniversityUpdated(updated) => match updated.changes.as_slice() {
            [change] => Metric::of_field(change.field).map(|metric| (metric, change)),
            _ => None,
        },
        _ => None,
    }
}

/// `PaymentFailed` as `payment_failed`.
fn snake_case(kind: &str) -> String {
    let mut snake = String::with_capacity(kind.len() + 4);
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// What happened, for people.
fn sentence(payload: &Payload) -> String {
    match payload {
        Payload::UniversityCreated(_) => "University created".to_owned(),
        Payload::UniversityUpdated(it) => {
            let fields = it.changes.iter().map(|change| words(change.field));
            let fields: Vec<_> = fields.collect();
            format!("University changed: {}", fields.join(", "))
        }
        Payload::UniversityDeleted(_) => "University deleted".to_owned(),
        Payload::UniversityRestored(_) => "University restored".to_owned(),
        Payload::PortalSecretRotated(_) => "Portal secret rotated".to_owned(),
        Payload::StorageQuotaExceeded(it) => {
            format!("Storage usage at {}%", it.usage_percentage)
        }
        Payload::SubscriptionStatusChanged(change) => match change.from {
            None => format!("Subscription is {}", change.to.as_str()),
            Some(from) if from != change.to => {
                let (from, to) = (from.as_str(), change.to.as_str());
                format!("Subscription went from {from} to {to}")
            }
            Some(_) if change.cancel_at_period_end => {
                "Subscription will end with its period".to_owned()
            }
            Some(_) => "Subscription will go on".to_owned(),
        },
        Payload::InvoiceGenerated(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Invoice {invoice} generated")
        }
        Payload::PaymentProcessed(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Invoice {invoice} paid")
        }
        Payload::PaymentFailed(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            let attempt = it.attempt_count;
            format!("Payment of invoice {invoice} failed, attempt {attempt}")
        }
        Payload::PaymentActionRequired(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Payment of invoice {invoice} waits for the customer")
        }
        Payload::PaymentRefunded(it) if it.amount_refunded < it.amount.amount => {
            "Payment refunded in part".to_owned()
        }
        Payload::PaymentRefunded(_) => "Payment refunded".to_owned(),
        Payload::PaymentDisputed(_) => "Payment disputed".to_owned(),
        Payload::PaymentReminderDue(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Reminder of invoice {invoice}")
        }
        Payload::InvoiceVoided(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Invoice {invoice} voided")
        }
        Payload::InvoiceMarkedUncollectible(it) => {
            let invoice = invoice(it.invoice_number.as_ref(), &it.stripe_invoice_id);
            format!("Invoice {invoice} given up on")
        }
        Payload::SubscriptionExpiring(it) => match it.what {
            Expiring::Subscription => "Subscription ends soon".to_owned(),
            Expiring::Trial => "Trial ends soon".to_owned(),
        },
        Payload::StripeCustomerDeleted(_) => "Customer deleted at Stripe".to_owned(),
        Payload::AlertCreated(it) => format!("Alert raised: {}", it.message.as_str()),
        Payload::AlertAcknowledged(it) => {
            format!("Alert acknowledged: {}", it.kind.as_str())
        }
        Payload::MaintenanceScheduled(it) => {
            format!("Maintenance scheduled: {}", it.notice.title.as_str())
        }
        Payload::MaintenanceCancelled(it) => {
            format!("Maintenance cancelled: {}", it.notice.title.as_str())
        }
        Payload::MaintenanceAnnounced(it) => {
            format!("Maintenance announced: {}", it.notice.title.as_str())
        }
        Payload::PortalUnreachable(it) => {
            format!("Portal not told of {}: {}", it.title.as_str(), it.reason)
        }
    }
}

/// What people call a field.
fn words(field: UniversityField) -> &'static str {
    match field {
        UniversityField::Name => "name",
        UniversityField::PrimaryEmail => "primary e-mail",
        UniversityField::Domain => "domain",
        UniversityField::StorageQuota => "storage quota",
        UniversityField::Logo => "logo",
        UniversityField::Students => "students",
        UniversityField::Faculty => "faculty",
        UniversityField::Storage => "storage",
    }
}

/// What people call an invoice.
fn invoice<'a>(number: Option<&'a String>, stripe_invoice_id: &'a str) -> &'a str {
    number.map_or(stripe_invoice_id, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_snake_case() {
        assert_eq!(snake_case("PaymentFailed"), "payment_failed");
        assert_eq!(
            snake_case("StripeCustomerDeleted"),
            "stripe_customer_deleted"
        );
    }
}
