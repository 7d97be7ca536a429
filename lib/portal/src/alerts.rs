//! Alerts: raised by portals and by what happens, seen by admins (contract sections 2.2, 3.1).

pub mod view;

use aws_sdk_dynamodb::Client;
use bitflow_domain::alert::{Alert, AlertMessage, AlertType, NewAlert, OurAlert};
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::AlertId;
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::{AlertAcknowledged, AlertCreated, Payload};
use bitflow_store::alert_folds::AlertFolds;
use bitflow_store::alerts::{AlertFilter, Alerts};
use bitflow_store::inbox::Inbox;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{Page, PageRequest};
use bitflow_store::transaction::{CommitError, Transaction};
use jiff::Timestamp;

use crate::contention;
use crate::error::{PortalError, load};
use crate::fresh;

/// Raises alerts, and shows them.
#[derive(Debug)]
pub struct Alerting {
    /// DynamoDB.
    pub dynamo: Client,
    /// Their table.
    pub alerts: Alerts,
    /// What makes a repeat a repeat.
    pub folds: AlertFolds,
    /// What was raised before.
    pub inbox: Inbox,
    /// Where events leave.
    pub outbox: Outbox,
}

impl Alerting {
    /// Raises an alert once for each `cause`, with the event that tells of it. A repeat of one that
    /// is new and that nobody has seen is counted there, and told to nobody.
    ///
    /// The alert, the event, and the row of the cause are one transaction; the same cause again is
    /// answered with the alert as it is, or with none once that is not known any more.
    ///
    /// # Errors
    /// Nothing is raised then, and `cause` is not noted: the same again raises it.
    pub async fn raise(
        &self,
        new: &NewAlert,
        cause: &str,
        context: &Context,
        now: Timestamp,
    ) -> Result<Option<Alert>, PortalError> {
        const OPERATION: &str = "raise alert";
        for _ in 0..3 {
            let last_id = self.folds.last(new).await;
            let last_id = last_id.map_err(load(OPERATION))?;
            let last = match last_id {
                Some(id) => self.alerts.get(id).await.map_err(load(OPERATION))?,
                None => None,
            };
            let mut transaction = Transaction::new(&self.dynamo);
            let raised = if let Some(last) = last.filter(|last| last.takes_repeats(now)) {
                self.alerts.repeat(&mut transaction, last.id, now);
                last.id
            } else {
                let id = AlertId::from_uuid(fresh::uuid(now));
                let alert = Alert::raise(id, new.clone(), now);
                self.alerts.insert(&mut transaction, &alert);
                self.folds.point(&mut transaction, (new, &alert), last_id);
                self.outbox
                    .put(&mut transaction, &created(&alert, context, now));
                id
            };
            self.inbox.handled(&mut transaction, cause, now);
            match transaction.commit().await {
                Ok(()) => return self.known(OPERATION, raised).await.map(Some),
                Err(CommitError::AlreadyHandled) => {
                    return match last_id {
                        Some(last) => self.known(OPERATION, last).await.map(Some),
                        None => Ok(None),
                    };
                }
                Err(error) => contention::lost(OPERATION, error).await?,
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    /// Alerts, newest first. A cursor of another list is refused.
    pub async fn list(
        &self,
        filter: AlertFilter,
        page: &PageRequest,
    ) -> Result<Page<Alert>, PortalError> {
        let operation = "list alerts";
        let listed = self.alerts.list(filter, page).await;
        listed.map_err(|source| PortalError::List { operation, source })
    }

    /// Notes that whoever asks has seen an alert. Whoever was first stays.
    ///
    /// # Errors
    /// [`PortalError::NoAlert`].
    pub async fn acknowledge(
        &self,
        id: AlertId,
        context: &Context,
        now: Timestamp,
    ) -> Result<Alert, PortalError> {
        const OPERATION: &str = "acknowledge alert";
        for _ in 0..3 {
            let stored = self.known(OPERATION, id).await?;
            let Some(next) = stored.acknowledged(&context.actor.id, now) else {
                return Ok(stored);
            };
            let acknowledged = AlertAcknowledged {
                alert_id: id,
                kind: next.kind.clone(),
                acknowledged_by: context.actor.id.clone(),
            };
            let event = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                next.university_id,
                (id, next.version),
                acknowledged.into(),
            );
            let mut transaction = Transaction::new(&self.dynamo);
            self.alerts.replace(&mut transaction, &next, stored.version);
            self.outbox.put(&mut transaction, &event);
            match transaction.commit().await {
                Ok(()) => return Ok(next),
                Err(error) => contention::lost(OPERATION, error).await?,
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    async fn known(&self, operation: &'static str, id: AlertId) -> Result<Alert, PortalError> {
        let found = self.alerts.get(id).await.map_err(load(operation))?;
        found.ok_or(PortalError::NoAlert(id))
    }
}

fn created(alert: &Alert, context: &Context, now: Timestamp) -> Envelope {
    let created = AlertCreated {
        alert_id: alert.id,
        kind: alert.kind.clone(),
        severity: alert.severity,
        message: alert.message.clone(),
    };
    let aggregate = (alert.id, alert.version);
    let event = fresh::event_id(now);
    Envelope::new(
        event,
        now,
        context,
        alert.university_id,
        aggregate,
        created.into(),
    )
}

/// What an event means for whoever raises alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// This alert.
    Is(NewAlert),
    /// None this time.
    None,
    /// Its type never raises one.
    NotOfThisListener,
}

/// Decides which alert an event raises; the one place that lists them. The types that may are those
/// of the rule in front of the queue.
pub fn alarm_of(event: &Envelope) -> Alarm {
    let (ours, message) = match &event.payload {
        // Contract section 2.2.
        Payload::StorageQuotaExceeded(it) => (
            OurAlert::StorageQuota,
            format!("Storage usage at {}%", it.usage_percentage),
        ),
        Payload::PaymentFailed(it) => {
            let invoice = it.invoice_number.as_ref().unwrap_or(&it.stripe_invoice_id);
            let attempt = it.attempt_count;
            let message = format!("Payment of invoice {invoice} failed, attempt {attempt}");
            (OurAlert::PaymentFailed, message)
        }
        Payload::SubscriptionStatusChanged(change) if change.from != Some(change.to) => {
            match change.to {
                SubscriptionStatus::PastDue => (
                    OurAlert::SubscriptionPastDue,
                    "A subscription is past due".to_owned(),
                ),
                SubscriptionStatus::Unpaid => (
                    OurAlert::SubscriptionUnpaid,
                    "A subscription is unpaid, and no further payment is tried".to_owned(),
                ),
                _ => return Alarm::None,
            }
        }
        Payload::SubscriptionStatusChanged(_) => return Alarm::None,
        Payload::PortalUnreachable(it) => {
            let (title, reason) = (it.title.as_str(), &it.reason);
            let tries = match it.attempts {
                1 => "1 try".to_owned(),
                tries => format!("{tries} tries"),
            };
            let message = format!("The portal was not told of \"{title}\" after {tries}: {reason}");
            (OurAlert::PortalUnreachable, message)
        }
        Payload::UniversityCreated(_)
        | Payload::UniversityUpdated(_)
        | Payload::UniversityDeleted(_)
        | Payload::UniversityRestored(_)
        | Payload::PortalSecretRotated(_)
        | Payload::InvoiceGenerated(_)
        | Payload::InvoiceVoided(_)
        | Payload::InvoiceMarkedUncollectible(_)
        | Payload::PaymentProcessed(_)
        | Payload::PaymentActionRequired(_)
        | Payload::PaymentRefunded(_)
        | Payload::PaymentDisputed(_)
        | Payload::PaymentReminderDue(_)
        | Payload::SubscriptionExpiring(_)
        | Payload::StripeCustomerDeleted(_)
        | Payload::AlertCreated(_)
        | Payload::AlertAcknowledged(_)
        | Payload::MaintenanceScheduled(_)
        | Payload::MaintenanceCancelled(_)
        | Payload::MaintenanceAnnounced(_) => return Alarm::NotOfThisListener,
    };
    Alarm::Is(NewAlert {
        university_id: event.university_id,
        kind: AlertType::from(ours),
        subject: None,
        message: AlertMessage::saying(&message),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "019a0000-0000-7000-8000-000000000001";

    fn check(kind: &str, data: Value, expect: &str) {
        let event = json!({
            "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "type": kind,
            "version": 1,
            "occurred_at": "2025-11-13T09:00:00Z",
            "aggregate_id": "x",
            "university_id": ID,
            "aggregate_version": 1,
            "actor": { "kind": "stripe", "id": "evt_1" },
            "correlation_id": "request-1",
            "data": data,
        });
        let event = Envelope::from_json(&event.to_string()).unwrap();
        let seen = match alarm_of(&event) {
            Alarm::Is(new) => format!("{}: {}", new.kind.as_str(), new.message.as_str()),
            Alarm::None => "none".to_owned(),
            Alarm::NotOfThisListener => "not ours".to_owned(),
        };
        assert_eq!(seen, expect, "{event:?}");
    }

    #[test]
    fn alerts_that_follow_from_events() {
        check(
            "StorageQuotaExceeded",
            json!({ "usage_percentage": 91.5, "storage_used": 915, "storage_quota": 1000 }),
            "storage_quota: Storage usage at 91.5%",
        );
        let money = json!({ "amount": 5000, "currency": "USD" });
        let failed = json!({
            "invoice_id": ID,
            "stripe_invoice_id": "in_1",
            "invoice_number": "UU-1",
            "amount_due": money,
            "attempt_count": 2,
        });
        check(
            "PaymentFailed",
            failed,
            "payment_failed: Payment of invoice UU-1 failed, attempt 2",
        );
        let unreachable = json!({
            "notification_id": ID,
            "title": "Scheduled Maintenance",
            "attempts": 7,
            "last_status": null,
            "reason": "the portal gave no answer",
        });
        check(
            "PortalUnreachable",
            unreachable,
            "portal_unreachable: The portal was not told of \"Scheduled Maintenance\" after 7 tries: \
             the portal gave no answer",
        );
        check("UniversityUpdated", json!({ "changes": [] }), "not ours");
    }

    #[test]
    fn subscriptions_alert_when_they_are_not_paid() {
        let past_due = "subscription_past_due: A subscription is past due";
        let unpaid =
            "subscription_unpaid: A subscription is unpaid, and no further payment is tried";
        for (from, to, expect) in [
            (Some("active"), "past_due", past_due),
            (None, "past_due", past_due),
            (Some("past_due"), "past_due", "none"),
            (Some("past_due"), "unpaid", unpaid),
            (Some("past_due"), "active", "none"),
            (Some("active"), "cancelled", "none"),
        ] {
            let change = json!({
                "subscription_id": ID,
                "stripe_subscription_id": null,
                "from": from,
                "to": to,
                "cancel_at_period_end": false,
                "current_period_end": "2025-12-01T00:00:00Z",
            });
            check("SubscriptionStatusChanged", change, expect);
        }
    }
}
