//! An invoice, and what a payment or its failure does to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::billing::payment::{Payment, PaymentStatus};
use crate::decision::{Decision, Ignored};
use crate::id::{InvoiceId, PaymentId, SubscriptionId, UniversityId};
use crate::money::Money;
use crate::version::Version;

/// An invoice to a university.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Whom it bills.
    pub university_id: UniversityId,
    /// What it bills, where it is for a subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Stripe's id (`in_…`).
    pub stripe_invoice_id: String,
    /// The number people read, once Stripe gave one.
    pub number: Option<String>,
    /// Where it is in its life.
    pub status: InvoiceStatus,
    /// What is asked for.
    pub amount_due: Money,
    /// Stripe's count of payment attempts.
    pub attempt_count: u64,
    /// When it is to be paid; for an invoice charged automatically, when it was made.
    pub due_at: Timestamp,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// Stripe's page on which it can be paid.
    pub hosted_invoice_url: Option<String>,
    /// Counts its writes.
    pub version: Version,
    /// When we first knew of it.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// Where an invoice is in its life. `Paid` is final: no older news undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// Waits for payment.
    Open,
    /// A payment was tried and failed; Stripe may try again.
    Failed,
    /// Paid.
    Paid,
}

impl InvoiceStatus {
    /// The word on the wire and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Failed => "failed",
            Self::Paid => "paid",
        }
    }
}

/// What Stripe told of a payment that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentSucceeded {
    /// What came in.
    pub amount_paid: Money,
    /// When.
    pub paid_at: Timestamp,
    /// Stripe's count of attempts.
    pub attempt_count: u64,
    /// See [`Payment::method`].
    pub method: Option<String>,
    /// See [`Payment::stripe_payment_intent_id`].
    pub stripe_payment_intent_id: Option<String>,
}

/// What Stripe told of a payment that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentAttemptFailed {
    /// Which attempt it was, from 1.
    pub attempt_count: u64,
}

impl Invoice {
    /// Paid: the invoice as it is then, and its payment. Wins over everything that is not `Paid`.
    pub fn payment_succeeded(
        &self,
        told: &PaymentSucceeded,
        now: Timestamp,
    ) -> Decision<(Self, Payment)> {
        if self.status == InvoiceStatus::Paid {
            return Decision::Ignore(Ignored::AlreadyApplied);
        }
        let invoice = Self {
            status: InvoiceStatus::Paid,
            paid_at: Some(told.paid_at),
            attempt_count: self.attempt_count.max(told.attempt_count),
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        };
        let payment = Payment {
            id: PaymentId::of_invoice(self.id),
            university_id: self.university_id,
            invoice_id: self.id,
            amount: told.amount_paid,
            method: told.method.clone(),
            stripe_payment_intent_id: told.stripe_payment_intent_id.clone(),
            status: PaymentStatus::Completed,
            paid_at: told.paid_at,
        };
        Decision::Apply((invoice, payment))
    }

    /// A payment failed: the invoice as it is then, unless it is paid or a later attempt is known.
    pub fn payment_failed(&self, told: &PaymentAttemptFailed, now: Timestamp) -> Decision<Self> {
        match self.status {
            InvoiceStatus::Paid => return Decision::Ignore(Ignored::Final),
            InvoiceStatus::Failed if told.attempt_count == self.attempt_count => {
                return Decision::Ignore(Ignored::AlreadyApplied);
            }
            InvoiceStatus::Failed if told.attempt_count < self.attempt_count => {
                return Decision::Ignore(Ignored::Stale);
            }
            InvoiceStatus::Open | InvoiceStatus::Failed => {}
        }
        Decision::Apply(Self {
            status: InvoiceStatus::Failed,
            attempt_count: told.attempt_count,
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::money::Currency;

    fn open() -> Invoice {
        Invoice {
            id: InvoiceId::from_uuid(Uuid::from_u128(1)),
            university_id: UniversityId::from_uuid(Uuid::from_u128(2)),
            subscription_id: None,
            stripe_invoice_id: "in_1".to_owned(),
            number: None,
            status: InvoiceStatus::Open,
            amount_due: Money::new(5000, Currency::USD),
            attempt_count: 0,
            due_at: Timestamp::UNIX_EPOCH,
            paid_at: None,
            hosted_invoice_url: None,
            version: Version::FIRST,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum News {
        Paid(u64),
        Failed(u64),
    }

    /// The invoice after `news`, and the payments made on the way.
    fn live(news: &[News]) -> (Invoice, Vec<Payment>) {
        let now = Timestamp::from_second(100).unwrap();
        let mut invoice = open();
        let mut payments = Vec::new();
        for told in news {
            match *told {
                News::Paid(attempt_count) => {
                    let told = PaymentSucceeded {
                        amount_paid: invoice.amount_due,
                        paid_at: now,
                        attempt_count,
                        method: None,
                        stripe_payment_intent_id: None,
                    };
                    if let Decision::Apply((next, payment)) = invoice.payment_succeeded(&told, now)
                    {
                        invoice = next;
                        payments.push(payment);
                    }
                }
                News::Failed(attempt_count) => {
                    if let Decision::Apply(next) =
                        invoice.payment_failed(&PaymentAttemptFailed { attempt_count }, now)
                    {
                        invoice = next;
                    }
                }
            }
        }
        (invoice, payments)
    }

    #[test]
    fn paid_is_never_undone_by_an_older_failure() {
        let (invoice, payments) = live(&[News::Paid(2), News::Failed(1)]);
        assert_eq!(invoice.status, InvoiceStatus::Paid);
        assert_eq!(payments.len(), 1);
        assert_eq!(invoice.version, Version::from_stored(2));
    }

    #[test]
    fn a_failure_counts_once_and_an_older_one_not_at_all() {
        let (invoice, _) = live(&[News::Failed(2), News::Failed(2), News::Failed(1)]);
        assert_eq!(
            (invoice.status, invoice.attempt_count),
            (InvoiceStatus::Failed, 2)
        );
        assert_eq!(invoice.version, Version::from_stored(2));
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_alike(
            shuffled in Just(vec![News::Failed(1), News::Failed(2), News::Failed(2), News::Paid(3), News::Paid(3)]).prop_shuffle()
        ) {
            let (invoice, payments) = live(&shuffled);
            prop_assert_eq!(invoice.status, InvoiceStatus::Paid);
            prop_assert_eq!(invoice.attempt_count, 3);
            prop_assert_eq!(payments.len(), 1);
        }
    }
}
