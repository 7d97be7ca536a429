//! What the seed decides for each invoice, and for each month at Stripe.

use rand::RngExt;

use super::plan::{Plan, dice};
use crate::simulators::stripe::payment_methods::Behaviour;
use crate::simulators::stripe::shape::Shape;

/// How an invoice is unpaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unpaid {
    /// Open, and Stripe charges it.
    Charged,
    /// Open, and sent to the customer.
    Sent,
    /// Uncollectible.
    GivenUp,
}

/// What a customer, or an admin, makes of an open invoice on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The customer pays on the invoice's page.
    Pay,
    /// The customer pays by bank transfer, and somebody notes that at Stripe.
    PayElsewhere,
    /// Stripe tries the payment method.
    Collect,
    /// An attempt fails.
    Fail,
    /// An attempt needs the customer.
    RequireAction,
    /// An admin withdraws it.
    Void,
    /// It is given up on.
    GiveUp,
    /// Nothing.
    Leave,
}

/// What becomes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Kept,
    RefundedInPart,
    Refunded,
    Disputed,
}

impl Plan {
    /// What becomes of the unpaid invoice number `at` of a university on a day.
    pub(super) fn fate(&self, university: usize, day: u64, at: u64, unpaid: Unpaid) -> Fate {
        let charged = unpaid == Unpaid::Charged;
        let dice = &mut dice(self.seed, &[2, university as u64, day, at]);
        let percent = dice.random_range(0..100_u8);
        match (percent, self.universities[university].method.behaviour) {
            (0..=19, _) if unpaid == Unpaid::GivenUp => Fate::Pay,
            _ if unpaid == Unpaid::GivenUp => Fate::Leave,
            (0, _) => Fate::Void,
            (1, _) => Fate::GiveUp,
            (6..=14, _) | (15..=54, Behaviour::None) => Fate::Leave,
            (15..=54, Behaviour::RequiresAction) => Fate::RequireAction,
            (15..=54, Behaviour::Declines) | (15..=94, Behaviour::Succeeds) if charged => {
                Fate::Collect
            }
            (2..=5, _) | (15..=54, Behaviour::Declines) => Fate::Fail,
            (95.., _) => Fate::PayElsewhere,
            _ => Fate::Pay,
        }
    }

    /// What becomes of a payment.
    pub(super) fn after(&self, university: usize, day: u64, at: u64) -> After {
        let dice = &mut dice(self.seed, &[3, university as u64, day, at]);
        match dice.random_range(0..100_u8) {
            0..=1 => After::Refunded,
            2..=4 => After::RefundedInPart,
            5..=6 => After::Disputed,
            _ => After::Kept,
        }
    }

    /// An invoice that somebody makes in Stripe's dashboard this month; minor units.
    pub(super) fn dashboard(&self, university: usize, month: u32) -> Option<i64> {
        let dice = &mut dice(self.seed, &[5, university as u64, u64::from(month)]);
        dice.random_bool(0.02)
            .then(|| dice.random_range(100..50_000))
    }

    /// The shape that Stripe's webhooks have in a month: accounts are pinned to a version, and
    /// upgraded.
    pub(super) fn shape(&self, month: u32) -> Shape {
        let dice = &mut dice(self.seed, &[6, u64::from(month)]);
        if dice.random_bool(0.3) {
            Shape::Older
        } else {
            Shape::Newer
        }
    }
}
