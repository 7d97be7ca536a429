//! One e-mail for each event that has one.

use bitflow_domain::university::University;
use bitflow_email::format::Amount;
use bitflow_email::message::{Message, PaymentFailed, Welcome};
use bitflow_email::sendgrid::{Email, Mailbox, SendGrid};
use bitflow_events::envelope::Envelope;
use bitflow_events::payload::Payload;
use bitflow_store::inbox::{Claim, Delivery, Inbox};
use bitflow_store::universities::Universities;
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
    /// It has no mail.
    None,
}

impl Mailroom {
    /// Sends the mail of `event`, once: claim, send, settle.
    ///
    /// SendGrid has no idempotency key. A process that dies, or loses the store, after SendGrid
    /// took the mail and before the claim is settled leaves a claim that the next delivery takes
    /// over: that mail is sent twice. It is the one place where something may happen twice.
    pub async fn deliver(
        &self,
        event: &Envelope,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Mailed, PortalError> {
        if !has_mail(&event.payload) {
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
            .get(event.university_id)
            .await
            .map_err(load("address mail"))?
            .ok_or(PortalError::NoUniversity(event.university_id))?;
        let Some(message) = compose(&event.payload, &university) else {
            return Ok(Mailed::None);
        };
        let email = Email {
            to: Mailbox {
                email: university.primary_email.as_str().to_owned(),
                name: university.name.as_str().to_owned(),
            },
            message: &message,
            event_id: message_id.clone(),
            university_id: university.id.to_string(),
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
}

fn has_mail(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::UniversityCreated(_) | Payload::PaymentFailed(_)
    )
}

/// The mail of an event, addressed with what is known now.
fn compose(payload: &Payload, university: &University) -> Option<Message> {
    let university_name = university.name.as_str().to_owned();
    match payload {
        Payload::UniversityCreated(_) => Some(Message::Welcome(Welcome {
            university_name,
            domain: university.domain.as_str().to_owned(),
            storage_quota: university.storage_quota.bytes(),
        })),
        Payload::PaymentFailed(failed) => Some(Message::PaymentFailed(PaymentFailed {
            university_name,
            invoice_number: failed.invoice_number.clone(),
            amount_due: Amount {
                minor: failed.amount_due.amount,
                currency: failed.amount_due.currency.to_string(),
            },
            next_attempt_at: failed.next_attempt_at,
            pay_url: failed.hosted_invoice_url.clone(),
        })),
        Payload::SubscriptionStatusChanged(_)
        | Payload::InvoiceGenerated(_)
        | Payload::PaymentProcessed(_) => None,
    }
}
