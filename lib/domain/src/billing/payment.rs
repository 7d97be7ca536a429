//! A payment that settled an invoice, and what may become of it: a refund, a dispute.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Ignored};
use crate::id::{InvoiceId, PaymentId, UniversityId};
use crate::money::Money;
use crate::version::Version;

/// Money that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Derived from the invoice: [`PaymentId::of_invoice`].
    pub id: PaymentId,
    /// Who paid.
    pub university_id: UniversityId,
    /// What was paid.
    pub invoice_id: InvoiceId,
    /// How much.
    pub amount: Money,
    /// How much of it went back, in minor units of the same currency.
    pub amount_refunded: i64,
    /// Stripe's payment method type (`card`, `sepa_debit`), where Stripe told.
    pub method: Option<String>,
    /// Stripe's payment intent (`pi_…`), where Stripe told.
    pub stripe_payment_intent_id: Option<String>,
    /// What became of it.
    pub status: PaymentStatus,
    /// When the payer's bank first took it back, where it did.
    pub disputed_at: Option<Timestamp>,
    /// When Stripe had the money.
    pub paid_at: Timestamp,
    /// Counts its writes.
    pub version: Version,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The money is there (contract section 1.1).
    Completed,
    /// Some of it went back.
    PartiallyRefunded,
    /// All of it went back.
    Refunded,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Completed, Self::PartiallyRefunded, Self::Refunded];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }
}

impl Payment {
    /// The payment once `amount_refunded` in all went back. Stripe tells the sum each time, so the
    /// larger sum is the later news.
    pub fn refunded(&self, amount_refunded: i64) -> Decision<Self> {
        match amount_refunded.cmp(&self.amount_refunded) {
            std::cmp::Ordering::Less => Decision::Ignore(Ignored::Stale),
            std::cmp::Ordering::Equal => Decision::Ignore(Ignored::AlreadyApplied),
            std::cmp::Ordering::Greater => Decision::Apply(Self {
                amount_refunded,
                status: if amount_refunded < self.amount.amount {
                    PaymentStatus::PartiallyRefunded
                } else {
                    PaymentStatus::Refunded
                },
                version: self.version.next(),
                ..self.clone()
            }),
        }
    }

    /// The payment once it is disputed; the first dispute counts.
    pub fn disputed(&self, at: Timestamp) -> Decision<Self> {
        if self.disputed_at.is_some_and(|first| first <= at) {
            return Decision::Ignore(Ignored::AlreadyApplied);
        }
        Decision::Apply(Self {
            disputed_at: Some(at),
            version: self.version.next(),
            ..self.clone()
        })
    }

    /// The payment with what Stripe tells of how it was made; `None` where that is known already.
    #[must_use]
    pub fn with_details(&self, method: Option<&str>, payment_intent: Option<&str>) -> Option<Self> {
        let or = |known: &Option<String>, told: Option<&str>| {
            known.clone().or_else(|| told.map(str::to_owned))
        };
        let detailed = Self {
            method: or(&self.method, method),
            stripe_payment_intent_id: or(&self.stripe_payment_intent_id, payment_intent),
            version: self.version.next(),
            ..self.clone()
        };
        let news = detailed.method != self.method
            || detailed.stripe_payment_intent_id != self.stripe_payment_intent_id;
        news.then_some(detailed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::money::Currency;

    fn payment() -> Payment {
        let invoice = InvoiceId::from_uuid(Uuid::from_u128(1));
        Payment {
            id: PaymentId::of_invoice(invoice),
            university_id: UniversityId::from_uuid(Uuid::from_u128(2)),
            invoice_id: invoice,
            amount: Money::new(100, Currency::USD),
            amount_refunded: 0,
            method: None,
            stripe_payment_intent_id: None,
            status: PaymentStatus::Completed,
            disputed_at: None,
            paid_at: Timestamp::UNIX_EPOCH,
            version: Version::FIRST,
        }
    }

    #[test]
    fn what_is_known_of_how_it_was_paid_stays() {
        let detailed = payment().with_details(Some("card"), Some("pi_1")).unwrap();
        assert_eq!(detailed.version.get(), 2);
        assert_eq!(detailed.with_details(Some("other"), Some("pi_2")), None);
        assert_eq!(payment().with_details(None, None), None);
    }

    proptest! {
        #[test]
        fn refunds_and_disputes_end_alike_in_any_order(
            told in prop::collection::vec((any::<bool>(), 1_i64..=100), 1..8),
            seed in any::<u64>(),
        ) {
            let live = |told: &[(bool, i64)]| {
                told.iter().fold(payment(), |payment, (refund, number)| {
                    let decision = if *refund {
                        payment.refunded(*number)
                    } else {
                        payment.disputed(Timestamp::from_second(*number).unwrap())
                    };
                    match decision {
                        Decision::Apply(next) => next,
                        _ => payment,
                    }
                })
            };
            let mut shuffled = [told.clone(), told.clone()].concat();
            let len = shuffled.len();
            for at in 0..len {
                let with = usize::try_from(seed.rotate_left(u32::try_from(at).unwrap()) % 97).unwrap() % len;
                shuffled.swap(at, with);
            }
            let (one, other) = (live(&told), live(&shuffled));
            prop_assert_eq!(one.amount_refunded, other.amount_refunded);
            prop_assert_eq!(one.status, other.status);
            prop_assert_eq!(one.disputed_at, other.disputed_at);
        }
    }
}
