//! An invoice, and what Stripe's news makes of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::billing::item::Item;
use crate::billing::month::Period;
use crate::billing::payment::{Payment, PaymentStatus};
use crate::decision::{Decision, Ignored};
use crate::id::{InvoiceId, PaymentId, SubscriptionId, UniversityId};
use crate::money::Money;
use crate::version::Version;

/// An invoice to a university, from when it is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Whom it bills.
    pub university_id: UniversityId,
    /// What it bills, where it is for a subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Which period of the subscription it bills.
    pub period: Option<Period>,
    /// Stripe's id (`in_…`).
    pub stripe_invoice_id: String,
    /// The number people read.
    pub number: Option<String>,
    /// Where it is in its life.
    pub status: InvoiceStatus,
    /// What is asked for.
    pub amount_due: Money,
    /// Line by line; of an invoice with very many lines that Stripe made, the first ones.
    pub items: Vec<Item>,
    /// Stripe's count of payment attempts.
    pub attempt_count: u64,
    /// When it is to be paid; for an invoice charged automatically, when it was made.
    pub due_at: Timestamp,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// Stripe's page on which it can be paid.
    pub hosted_invoice_url: Option<String>,
    /// The last reminder step taken, in days after `due_at`.
    pub last_reminder_step: Option<u16>,
    /// Counts its writes.
    pub version: Version,
    /// When it was made, by Stripe's clock.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// Where an invoice is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// Waits for payment.
    Open,
    /// A payment waits for the customer to confirm it.
    ActionRequired,
    /// A payment was tried and failed; Stripe may try again.
    Failed,
    /// Given up on; may still be paid.
    Uncollectible,
    /// Withdrawn. Final.
    Void,
    /// Paid. Final.
    Paid,
}

impl InvoiceStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::ActionRequired,
        Self::Failed,
        Self::Uncollectible,
        Self::Void,
        Self::Paid,
    ];

    /// The word on the wire and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ActionRequired => "action_required",
            Self::Failed => "failed",
            Self::Uncollectible => "uncollectible",
            Self::Void => "void",
            Self::Paid => "paid",
        }
    }

    /// Whether its payment is still expected: such an invoice is reminded of.
    pub fn awaits_payment(self) -> bool {
        matches!(self, Self::Open | Self::ActionRequired | Self::Failed)
    }
}

/// What Stripe told of an invoice: the kind, and the invoice's count of payment attempts then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub kind: NewsKind,
    /// Payment attempts so far.
    pub attempt_count: u64,
    /// When it happened, by Stripe's clock.
    pub at: Timestamp,
}

/// What happened to an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NewsKind {
    /// `invoice.finalized`: it is there.
    Finalized,
    /// `invoice.payment_action_required`.
    ActionRequired,
    /// `invoice.payment_failed`.
    Failed,
    /// `invoice.marked_uncollectible`.
    Uncollectible,
    /// `invoice.voided`.
    Voided,
    /// `invoice.payment_succeeded`.
    Paid,
}

/// What one kind of news does to an invoice in one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It becomes this.
    To(InvoiceStatus),
    /// It becomes this if the news counts more attempts than are known.
    IfLater(InvoiceStatus),
    /// The same, or as many.
    IfAsLate(InvoiceStatus),
    /// Nothing: this, or something later, is known.
    Known,
    /// Nothing, ever.
    Final,
}

/// The life of an invoice: what each news makes of each status. Later in the row and further down
/// is further on, and nothing goes back, so the end does not depend on the order of the news.
#[rustfmt::skip]
const LIFE: [(InvoiceStatus, [Step; 6]); 6] = {
    use InvoiceStatus as S;
    use Step::{Final, IfAsLate, IfLater, Known, To};
    const AR: InvoiceStatus = S::ActionRequired;
    const U: InvoiceStatus = S::Uncollectible;
    [
        // status             Finalized  ActionRequired  Failed               Uncollectible  Voided       Paid
        (S::Open,            [Known,     To(AR),         To(S::Failed),       To(U),         To(S::Void), To(S::Paid)]),
        (S::ActionRequired,  [Known,     IfLater(AR),    IfAsLate(S::Failed), To(U),         To(S::Void), To(S::Paid)]),
        (S::Failed,          [Known,     IfLater(AR),    IfLater(S::Failed),  To(U),         To(S::Void), To(S::Paid)]),
        (S::Uncollectible,   [Known,     Known,          Known,               Known,         To(S::Void), To(S::Paid)]),
        (S::Void,            [Final,     Final,          Final,               Final,         Final,       Final]),
        (S::Paid,            [Final,     Final,          Final,               Final,         Final,       Final]),
    ]
};

impl Invoice {
    /// The invoice after `news`.
    pub fn hear(&self, news: News, now: Timestamp) -> Decision<Self> {
        let (_, row) = LIFE[self.status as usize];
        let status = match row[news.kind as usize] {
            Step::To(status) => status,
            Step::IfLater(status) if news.attempt_count > self.attempt_count => status,
            Step::IfAsLate(status) if news.attempt_count >= self.attempt_count => status,
            Step::IfLater(_) | Step::IfAsLate(_) if news.attempt_count < self.attempt_count => {
                return Decision::Ignore(Ignored::Stale);
            }
            Step::IfLater(_) | Step::IfAsLate(_) | Step::Known => {
                return Decision::Ignore(Ignored::AlreadyApplied);
            }
            Step::Final => {
                let same = matches!(
                    (self.status, news.kind),
                    (InvoiceStatus::Paid, NewsKind::Paid) | (InvoiceStatus::Void, NewsKind::Voided)
                );
                return Decision::Ignore(if same {
                    Ignored::AlreadyApplied
                } else {
                    Ignored::Final
                });
            }
        };
        Decision::Apply(Self {
            status,
            attempt_count: self.attempt_count.max(news.attempt_count),
            paid_at: (status == InvoiceStatus::Paid).then_some(news.at),
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        })
    }

    /// The payment that settled it.
    pub fn payment(
        &self,
        amount: Money,
        method: Option<String>,
        stripe_payment_intent_id: Option<String>,
        paid_at: Timestamp,
    ) -> Payment {
        Payment {
            id: PaymentId::of_invoice(self.id),
            university_id: self.university_id,
            invoice_id: self.id,
            amount,
            amount_refunded: 0,
            method,
            stripe_payment_intent_id,
            status: PaymentStatus::Completed,
            disputed_at: None,
            paid_at,
            version: Version::FIRST,
        }
    }

    /// The invoice once it was reminded of; `step` is none where an admin asked for it.
    #[must_use]
    pub fn reminded(&self, step: Option<u16>, now: Timestamp) -> Self {
        Self {
            last_reminder_step: step.or(self.last_reminder_step),
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::money::Currency;

    pub(crate) fn open() -> Invoice {
        Invoice {
            id: InvoiceId::from_uuid(Uuid::from_u128(1)),
            university_id: UniversityId::from_uuid(Uuid::from_u128(2)),
            subscription_id: None,
            period: None,
            stripe_invoice_id: "in_1".to_owned(),
            number: None,
            status: InvoiceStatus::Open,
            amount_due: Money::new(5000, Currency::USD),
            items: Vec::new(),
            attempt_count: 0,
            due_at: Timestamp::UNIX_EPOCH,
            paid_at: None,
            hosted_invoice_url: None,
            last_reminder_step: None,
            version: Version::FIRST,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn news(kind: NewsKind, attempt_count: u64) -> News {
        News {
            kind,
            attempt_count,
            at: Timestamp::from_second(100).unwrap(),
        }
    }

    fn live(all: &[News]) -> Invoice {
        let now = Timestamp::from_second(100).unwrap();
        all.iter()
            .fold(open(), |invoice, told| match invoice.hear(*told, now) {
                Decision::Apply(next) => next,
                _ => invoice,
            })
    }

    #[test]
    fn the_table_has_a_row_for_each_status_in_order() {
        for (at, (status, _)) in LIFE.iter().enumerate() {
            assert_eq!(*status as usize, at);
            assert_eq!(InvoiceStatus::ALL[at], *status);
        }
    }

    #[test]
    fn paid_is_never_undone_by_an_older_failure() {
        let invoice = live(&[news(NewsKind::Paid, 2), news(NewsKind::Failed, 1)]);
        assert_eq!(invoice.status, InvoiceStatus::Paid);
        assert_eq!(invoice.version, Version::from_stored(2));
    }

    #[test]
    fn a_failure_counts_once_and_an_older_one_not_at_all() {
        let failed = |count| news(NewsKind::Failed, count);
        let invoice = live(&[failed(2), failed(2), failed(1)]);
        assert_eq!(
            (invoice.status, invoice.attempt_count),
            (InvoiceStatus::Failed, 2)
        );
        assert_eq!(invoice.version, Version::from_stored(2));
    }

    #[test]
    fn what_is_given_up_may_still_be_paid() {
        let invoice = live(&[
            news(NewsKind::Uncollectible, 4),
            news(NewsKind::Failed, 4),
            news(NewsKind::Paid, 5),
        ]);
        assert_eq!(invoice.status, InvoiceStatus::Paid);
        assert_eq!(invoice.paid_at, Some(Timestamp::from_second(100).unwrap()));
    }

    /// A life that Stripe could tell: attempts count up, and after `Voided` or `Paid` nothing comes.
    fn lives() -> impl Strategy<Value = Vec<News>> {
        let attempts = prop::collection::vec((any::<bool>(), any::<bool>()), 0..5);
        (attempts, any::<bool>(), 0..3).prop_map(|(attempts, given_up, end)| {
            let mut life = vec![news(NewsKind::Finalized, 0)];
            let mut count = 0;
            for (action, failed) in attempts {
                count += 1;
                if action {
                    life.push(news(NewsKind::ActionRequired, count));
                }
                if failed || !action {
                    life.push(news(NewsKind::Failed, count));
                }
            }
            if given_up {
                life.push(news(NewsKind::Uncollectible, count));
            }
            match end {
                0 => life.push(news(NewsKind::Voided, count)),
                1 => life.push(news(NewsKind::Paid, count + 1)),
                _ => {}
            }
            life
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_alike(
            (life, shuffled) in lives().prop_flat_map(|life| {
                let twice = [life.clone(), life.clone()].concat();
                (Just(life), Just(twice).prop_shuffle())
            })
        ) {
            let end = |invoice: Invoice| (invoice.status, invoice.attempt_count, invoice.paid_at);
            prop_assert_eq!(end(live(&life)), end(live(&shuffled)));
        }
    }
}
