//! One e-mail for each event that has one.

use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::UniversityId;
use bitflow_domain::money::Money;
use bitflow_domain::university::UniversityStatus;
use bitflow_email::format::{Amount, Bytes, Invoice, Link};
use bitflow_email::message::{
    End, Expiring, InvoiceGenerated, InvoiceVoided, Message, PaymentActionRequired, PaymentFailed,
    PaymentReceived, PaymentReminder, StorageWarning, SubscriptionCancelled, SubscriptionExpiring,
    SubscriptionPastDue, SystemDowntime, Welcome,
};
use bitflow_email::sendgrid::{Email, Mailbox, SendGrid};
use bitflow_events::envelope::Envelope;
use bitflow_events::payload::{self, Payload, SubscriptionStatusChanged};
use bitflow_store::inbox::{Claim, Delivery, Inbox};
use bitflow_store::notifications::Notifications;
use bitflow_store::universities::Universities;
use futures_util::future::try_join;
use jiff::{SignedDuration, Timestamp};

use crate::error::{PortalError, load};

/// How long a claim holds against another copy of the same event: longer than the function may
/// run.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// Sends the mails that follow from events.
#[derive(Debug)]
pub struct Mailroom {
    /// Which events were mailed.
    pub inbox: Inbox,
    /// Whom they are about.
    pub universities: Universities,
    /// What of it was taken back.
    pub notifications: Notifications,
    /// Who delivers.
    pub sendgrid: SendGrid,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailed {
    /// Its mail is sent.
    Sent,
    /// Its mail was sent before.
    Before,
    /// Others of its type have a mail, this one has none.
    None,
    /// Its type never has a mail.
    NotOfThisListener,
}

impl Mailroom {
    /// Sends the mail of `event`, once: decide, claim, send, settle. Where there is no mail, nothing
    /// is claimed or loaded.
    ///
    /// SendGrid has no idempotency key. A process that dies, or loses the store, after SendGrid
    /// took the mail and before the claim is settled leaves a claim that the next delivery takes
    /// over: that mail is sent twice. It is the one place where something may happen twice.
    ///
    /// # Errors
    /// [`PortalError::Held`]: another delivery is at it; this one comes again.
    /// [`PortalError::Mail`]: whether it was sent, and another try helps, its source tells.
    /// [`PortalError::MailNotNoted`]: it was sent, and is sent again when this comes again.
    /// [`PortalError::NoUniversity`].
    pub async fn deliver(
        &self,
        event: &Envelope,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Mailed, PortalError> {
        let (message, university_id) = match (mail_of(event), event.university_id) {
            (Mail::Is(message), Some(university_id)) => (message, university_id),
            (Mail::None, _) => return Ok(Mailed::None),
            (Mail::NotOfThisListener, _) | (Mail::Is(_), None) => {
                return Ok(Mailed::NotOfThisListener);
            }
        };
        if self
            .is_not_told_any_more(&event.payload, university_id)
            .await?
        {
            return Ok(Mailed::None);
        }
        let message_id = event.event_id.to_string();
        match self
            .inbox
            .claim(&message_id, delivery, LEASE, now)
            .await
            .map_err(load("claim mail"))?
        {
            Claim::Taken => {}
            Claim::Settled => return Ok(Mailed::Before),
            Claim::Held => return Err(PortalError::Held),
        }
        let university = self
            .universities
            .get(university_id)
            .await
            .map_err(load("address mail"))?
            .ok_or(PortalError::NoUniversity(university_id))?;
        // Deleted or not: what is owed is told all the same.
        let email = Email {
            to: Mailbox {
                email: university.primary_email.as_str().to_owned(),
                name: university.name.as_str().to_owned(),
            },
            message: &message,
            event_id: message_id.clone(),
            university_id: university.id.to_string(),
            university_name: university.name.as_str().to_owned(),
        };
        self.sendgrid
            .send(&email)
            .await
            .map_err(PortalError::Mail)?;
        self.inbox
            .settle(&message_id, now)
            .await
            .map_err(PortalError::MailNotNoted)?;
        Ok(Mailed::Sent)
    }

    /// Whether it is maintenance that was cancelled, or that is none of the university's business
    /// any more.
    async fn is_not_told_any_more(
        &self,
        payload: &Payload,
        university_id: UniversityId,
    ) -> Result<bool, PortalError> {
        let Payload::MaintenanceAnnounced(announced) = payload else {
            return Ok(false);
        };
        let (notification, university) = try_join(
            self.notifications.get(announced.notification_id),
            self.universities.get(university_id),
        )
        .await
        .map_err(load("mail maintenance"))?;
        let cancelled = notification.is_some_and(|it| it.cancelled.is_some());
        let deleted = university.is_some_and(|it| it.status == UniversityStatus::Deleted);
        Ok(cancelled || deleted)
    }
}

/// The mail of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mail {
    /// This one.
    Is(Message),
    /// None this time.
    None,
    /// Its type never has one.
    NotOfThisListener,
}

impl From<Option<Message>> for Mail {
    fn from(message: Option<Message>) -> Self {
        message.map_or(Self::None, Self::Is)
    }
}

/// Decides which mail an event has; the one place that lists them. The types that may have one are
/// those of the rule in front of the queue.
fn mail_of(event: &Envelope) -> Mail {
    let message = match &event.payload {
        Payload::UniversityCreated(created) => Some(Message::Welcome(Welcome {
            domain: created.domain.as_str().to_owned(),
            storage_quota: Bytes(created.storage_quota.bytes()),
        })),
        Payload::StorageQuotaExceeded(it) => Some(Message::StorageWarning(StorageWarning {
            usage_percentage: it.usage_percentage.to_string(),
            used: Bytes(it.storage_used),
            quota: Bytes(it.storage_quota.bytes()),
        })),
        // A trial or a credit makes invoices over nothing: nobody is asked for anything then.
        Payload::InvoiceGenerated(it) => is_something(it.amount_due).then(|| {
            Message::InvoiceGenerated(InvoiceGenerated {
                invoice: Invoice::new(it.invoice_number.clone()),
                amount_due: amount(it.amount_due),
                due_at: it.due_at,
                pay_url: link(it.hosted_invoice_url.as_deref()),
            })
        }),
        Payload::InvoiceVoided(it) => is_something(it.amount_due).then(|| {
            Message::InvoiceVoided(InvoiceVoided {
                invoice: Invoice::new(it.invoice_number.clone()),
                amount: amount(it.amount_due),
            })
        }),
        Payload::PaymentProcessed(it) => is_something(it.amount).then(|| {
            Message::PaymentReceived(PaymentReceived {
                invoice: Invoice::new(it.invoice_number.clone()),
                amount: amount(it.amount),
                method: it.method.clone(),
                paid_at: event.occurred_at,
            })
        }),
        Payload::PaymentFailed(it) => Some(Message::PaymentFailed(PaymentFailed {
            invoice: Invoice::new(it.invoice_number.clone()),
            amount_due: amount(it.amount_due),
            next_attempt_at: it.next_attempt_at,
            pay_url: link(it.hosted_invoice_url.as_deref()),
        })),
        Payload::PaymentActionRequired(it) => {
            Some(Message::PaymentActionRequired(PaymentActionRequired {
                invoice: Invoice::new(it.invoice_number.clone()),
                amount_due: amount(it.amount_due),
                confirm_url: link(it.hosted_invoice_url.as_deref()),
            }))
        }
        // How late it is follows from the dates: a step says how late it is at least, and an admin
        // may ask before the invoice is due.
        Payload::PaymentReminderDue(it) => Some(Message::PaymentReminder(PaymentReminder {
            invoice: Invoice::new(it.invoice_number.clone()),
            amount_due: amount(it.amount_due),
            due_at: it.due_at,
            reminded_at: event.occurred_at,
            pay_url: link(it.hosted_invoice_url.as_deref()),
        })),
        Payload::SubscriptionStatusChanged(change) => mail_of_change(change, event.occurred_at),
        Payload::SubscriptionExpiring(it) => {
            Some(Message::SubscriptionExpiring(SubscriptionExpiring {
                what: match it.what {
                    payload::Expiring::Subscription => Expiring::Subscription,
                    payload::Expiring::Trial => Expiring::Trial,
                },
                ends_at: it.ends_at,
            }))
        }
        Payload::MaintenanceAnnounced(it) => Some(Message::SystemDowntime(SystemDowntime {
            title: it.notice.title.as_str().to_owned(),
            message: it.notice.message.as_str().to_owned(),
            scheduled_at: it.notice.scheduled_at,
        })),
        // Whoever changed it knows; that subscriptions ended is told by their own events.
        Payload::UniversityUpdated(_)
        | Payload::UniversityDeleted(_)
        | Payload::UniversityRestored(_)
        | Payload::PortalSecretRotated(_)
        | Payload::PaymentRefunded(_)
        | Payload::PaymentDisputed(_)
        | Payload::InvoiceMarkedUncollectible(_)
        | Payload::StripeCustomerDeleted(_)
        | Payload::AlertCreated(_)
        | Payload::AlertAcknowledged(_)
        | Payload::MaintenanceScheduled(_)
        | Payload::MaintenanceCancelled(_)
        | Payload::PortalUnreachable(_) => return Mail::NotOfThisListener,
    };
    message.into()
}

/// The mail of a subscription that ended, will end, or is not paid. One that was not known before
/// has none: how it came to be as it is, is history.
fn mail_of_change(change: &SubscriptionStatusChanged, occurred_at: Timestamp) -> Option<Message> {
    use SubscriptionStatus::{Cancelled, PastDue, Unpaid};
    let from = change.from?;
    let cancelled = |end| Message::SubscriptionCancelled(SubscriptionCancelled { end });
    let past_due = |given_up| Message::SubscriptionPastDue(SubscriptionPastDue { given_up });
    match change.to {
        to if to == from => (!to.is_final() && change.cancel_at_period_end)
            .then(|| cancelled(End::WillBe(change.current_period_end))),
        Cancelled => Some(cancelled(End::Was(occurred_at))),
        PastDue => Some(past_due(false)),
        Unpaid => Some(past_due(true)),
        _ => None,
    }
}

fn amount(money: Money) -> Amount {
    Amount {
        minor: money.amount,
        currency: money.currency.to_string(),
        decimals: money.currency.decimals(),
    }
}

fn is_something(money: Money) -> bool {
    money.amount > 0
}

fn link(url: Option<&str>) -> Option<Link> {
    url.and_then(Link::parse)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NONE: &str = "(none)";
    const NOT_OURS: &str = "(not of this listener)";

    /// The subject of the mail of an event of 13 November 2025.
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
        let subject = match mail_of(&event) {
            Mail::Is(message) => message.render("Uppsala").subject,
            Mail::None => NONE.to_owned(),
            Mail::NotOfThisListener => NOT_OURS.to_owned(),
        };
        assert_eq!(subject, expect, "{event:?}");
    }

    const ID: &str = "019a0000-0000-7000-8000-000000000001";

    /// An invoice's event, with what only some of them carry.
    fn invoice(amount: i64) -> Value {
        let money = json!({ "amount": amount, "currency": "USD" });
        json!({
            "invoice_id": ID,
            "payment_id": ID,
            "stripe_invoice_id": "in_1",
            "invoice_number": "UU-1",
            "amount": money,
            "amount_due": money,
            "amount_refunded": amount,
            "due_at": "2025-11-06T00:00:00Z",
            "attempt_count": 1,
        })
    }

    #[test]
    fn mails_about_invoices() {
        for (kind, expect) in [
            ("InvoiceGenerated", "Invoice UU-1 from Bitflow"),
            ("InvoiceVoided", "Invoice UU-1 was withdrawn"),
            ("PaymentProcessed", "Payment received for invoice UU-1"),
            ("PaymentFailed", "Payment failed for invoice UU-1"),
            (
                "PaymentActionRequired",
                "Please confirm the payment of invoice UU-1",
            ),
            (
                "PaymentReminderDue",
                "Reminder: invoice UU-1 is 7 days overdue",
            ),
            ("InvoiceMarkedUncollectible", NOT_OURS),
            ("PaymentRefunded", NOT_OURS),
            ("PaymentDisputed", NOT_OURS),
        ] {
            check(kind, invoice(5000), expect);
        }
        for kind in ["InvoiceGenerated", "InvoiceVoided", "PaymentProcessed"] {
            check(kind, invoice(0), NONE);
        }
    }

    #[test]
    fn mails_about_changes_of_a_subscription() {
        let ended = "Your Bitflow subscription has ended";
        let will_end = "Your Bitflow subscription will end on 1 December 2025";
        let past_due = "Your Bitflow subscription is past due";
        let unpaid = "Your Bitflow subscription is unpaid";
        for (from, to, ends, expect) in [
            (Some("active"), "cancelled", false, ended),
            (Some("active"), "cancelled", true, ended),
            (Some("cancelled"), "cancelled", true, NONE),
            (None, "cancelled", false, NONE),
            (Some("incomplete"), "incomplete_expired", false, NONE),
            (Some("active"), "active", true, will_end),
            (Some("trialing"), "trialing", true, will_end),
            // The cancellation was taken back.
            (Some("active"), "active", false, NONE),
            (None, "active", true, NONE),
            (Some("active"), "past_due", false, past_due),
            (Some("past_due"), "unpaid", false, unpaid),
            (Some("past_due"), "past_due", false, NONE),
            (None, "past_due", false, NONE),
            (Some("incomplete"), "active", false, NONE),
            (Some("past_due"), "active", true, NONE),
            (None, "active", false, NONE),
        ] {
            let change = json!({
                "subscription_id": ID,
                "stripe_subscription_id": null,
                "from": from,
                "to": to,
                "cancel_at_period_end": ends,
                "current_period_end": "2025-12-01T00:00:00Z",
            });
            check("SubscriptionStatusChanged", change, expect);
        }
    }

    #[test]
    fn other_mails() {
        for (what, expect) in [
            (
                "subscription",
                "Your Bitflow subscription ends on 1 December 2025",
            ),
            ("trial", "Your Bitflow trial ends on 1 December 2025"),
        ] {
            let expiring = json!({
                "subscription_id": ID,
                "stripe_subscription_id": null,
                "what": what,
                "ends_at": "2025-12-01T00:00:00Z",
            });
            check("SubscriptionExpiring", expiring, expect);
        }
        let created = json!({
            "name": "Uppsala",
            "primary_email": "it@uu.example",
            "domain": "portal.uu.example",
            "storage_quota": 1_000_000_000,
        });
        check(
            "UniversityCreated",
            created.clone(),
            "Welcome to Bitflow, Uppsala",
        );
        let exceeded = json!({
            "usage_percentage": 91.5,
            "storage_used": 915,
            "storage_quota": 1000,
        });
        check(
            "StorageQuotaExceeded",
            exceeded,
            "Uppsala uses 91.5 % of its storage",
        );
        let change = json!({ "field": "name", "old": "Uppsala", "new": "Lund" });
        for (kind, data) in [
            ("UniversityUpdated", json!({ "changes": [change] })),
            ("UniversityDeleted", created.clone()),
            ("UniversityRestored", created),
            (
                "PortalSecretRotated",
                json!({ "previous_expires_at": "2025-11-14T09:00:00Z" }),
            ),
        ] {
            check(kind, data, NOT_OURS);
        }
        let deleted = json!({ "stripe_customer_id": "cus_1" });
        check("StripeCustomerDeleted", deleted, NOT_OURS);
    }
}
