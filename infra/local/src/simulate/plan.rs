//! What the seed decides: who is onboarded, what they subscribe to, how they pay, what fails when.
//!
//! Every decision has dice of its own, so that no answer that comes sooner or later changes another.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::simulators::stripe::payment_methods::{Behaviour, MethodType, PaymentMethod};

/// Everything that is decided beforehand.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) universities: Vec<University>,
}

/// A university to be.
#[derive(Debug, Clone)]
pub(super) struct University {
    pub(super) name: String,
    pub(super) slug: String,
    /// Stripe bills a customer in one currency.
    pub(super) currency: &'static str,
    pub(super) method: PaymentMethod,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) one_offs: Vec<OneOff>,
}

/// A subscription to be.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) terms: Terms,
    pub(super) trouble: Trouble,
    pub(super) cancel: Option<Cancel>,
}

/// Who bills a subscription, and how much a month; minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    /// The monthly run.
    Manual {
        amount: i64,
        days_until_due: Option<u16>,
    },
    /// Stripe, by a price.
    Price { amount: i64 },
}

/// The end of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cancel {
    /// In which month, after its run; 0 is before the first.
    pub(super) month: u32,
    pub(super) at_period_end: bool,
}

/// An invoice that an admin makes.
#[derive(Debug, Clone)]
pub(super) struct OneOff {
    pub(super) month: u32,
    pub(super) amounts: Vec<i64>,
    pub(super) days_until_due: Option<u16>,
    pub(super) trouble: Trouble,
}

/// What happens to a request that creates something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// The client sends it twice at once, and again.
    Repeated,
    /// Stripe answers so (0: not at all) until our client gives up.
    Stripe {
        status: u16,
        after_effect: bool,
    },
    /// The function dies at it, after so many changes of the stack.
    Killed {
        after: usize,
    },
}

/// How a job is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Once,
    /// Two at the same time, as a scheduler may.
    Twice,
    /// Its process dies after so many changes of the stack, and the job is run again.
    Killed {
        after: usize,
    },
}

/// A blow while the stack works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blow {
    /// How many changes of the stack after the blow before.
    pub(super) after: usize,
    pub(super) kind: BlowKind,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlowKind {
    Kill(&'static str),
    Stripe {
        status: u16,
        after_effect: bool,
    },
    SendGrid {
        status: u16,
        after_effect: bool,
    },
    /// So many requests to DynamoDB.
    DynamoDb(usize),
}

const CURRENCIES: [&str; 4] = ["usd", "usd", "eur", "sek"];

/// What may die while the queues drain.
const MORTAL: [&str; 7] = [
    "activity-listener",
    "email-listener",
    "invoice-listener",
    "outbox-relay",
    "payment-details-listener",
    "stripe-customer-listener",
    "stripe-webhook",
];

impl Plan {
    pub(super) fn new(seed: u64, universities: u32, months: u32) -> Self {
        let universities = (0..universities).map(|at| {
            let dice = &mut dice(seed, &[0, u64::from(at)]);
            university(at, months, dice)
        });
        Self {
            seed,
            universities: universities.collect(),
        }
    }

    /// How a job of a day is run.
    pub(super) fn run(&self, job: u64, day: u64) -> Run {
        let dice = &mut dice(self.seed, &[1, job, day]);
        match dice.random_range(0..10_u8) {
            0..=1 => Run::Twice,
            2..=4 => Run::Killed {
                after: dice.random_range(1..40),
            },
            _ => Run::Once,
        }
    }

    /// The blows while the queues of a day drain; most where there is `much` to do.
    ///
    /// No function dies, and no vendor fails, so often that a message may have had its last try:
    /// the smallest `maxReceiveCount` is five.
    pub(super) fn blows(&self, day: u64, much: bool) -> Vec<Blow> {
        let dice = &mut dice(self.seed, &[4, day]);
        let count = if much {
            dice.random_range(4..10)
        } else {
            dice.random_range(0..3)
        };
        let mut blows = Vec::<Blow>::new();
        for _ in 0..count {
            let kind = match dice.random_range(0..10_u8) {
                0..=3 => BlowKind::Kill(MORTAL[dice.random_range(0..MORTAL.len())]),
                4..=6 => {
                    let (status, after_effect) = failure(dice);
                    BlowKind::Stripe {
                        status,
                        after_effect,
                    }
                }
                7 | 8 => {
                    let (status, after_effect) = failure(dice);
                    BlowKind::SendGrid {
                        status,
                        after_effect,
                    }
                }
                _ => BlowKind::DynamoDb(dice.random_range(1..3)),
            };
            let same = blows.iter().filter(|blow| blow.kind.hits() == kind.hits());
            if same.count() < 2 {
                let after = dice.random_range(3..10 + 4 * self.universities.len());
                blows.push(Blow { after, kind });
            }
        }
        blows
    }
}

impl BlowKind {
    /// Whom it hits.
    pub(super) fn hits(self) -> &'static str {
        match self {
            Self::Kill(function) => function,
            Self::Stripe { .. } => "Stripe",
            Self::SendGrid { .. } => "SendGrid",
            Self::DynamoDb(_) => "DynamoDB",
        }
    }
}

fn university(at: u32, months: u32, dice: &mut StdRng) -> University {
    let behaviour = match dice.random_range(0..100_u8) {
        0..=64 => Behaviour::Succeeds,
        65..=79 => Behaviour::Declines,
        80..=89 => Behaviour::RequiresAction,
        _ => Behaviour::None,
    };
    let method = PaymentMethod {
        behaviour,
        kind: if dice.random_bool(0.3) {
            MethodType::SepaDebit
        } else {
            MethodType::Card
        },
        decline_code: dice
            .random_bool(0.5)
            .then(|| "insufficient_funds".to_owned()),
    };
    let subscriptions = (0..dice.random_range(1..=2_u8)).map(|_| subscription(months, dice));
    let subscriptions = subscriptions.collect();
    let one_offs = (0..=months).filter_map(|month| {
        let due = dice.random_bool(0.06);
        due.then(|| OneOff {
            month,
            amounts: (0..dice.random_range(1..5_u8))
                .map(|_| dice.random_range(100..90_000))
                .collect(),
            days_until_due: days_until_due(dice),
            trouble: trouble(dice),
        })
    });
    University {
        name: format!("University {at}"),
        slug: format!("university-{at}"),
        one_offs: one_offs.collect(),
        currency: CURRENCIES[dice.random_range(0..CURRENCIES.len())],
        method,
        subscriptions,
    }
}

fn subscription(months: u32, dice: &mut StdRng) -> Subscription {
    let amount = 100 * dice.random_range(20..2000_i64);
    let terms = if dice.random_bool(0.65) {
        Terms::Manual {
            amount,
            days_until_due: days_until_due(dice),
        }
    } else {
        // Few prices, as in life.
        Terms::Price {
            amount: [9_900, 49_900, 129_900][dice.random_range(0..3_usize)],
        }
    };
    let cancel = Cancel {
        month: dice.random_range(0..=months),
        at_period_end: dice.random_bool(0.6),
    };
    Subscription {
        terms,
        trouble: trouble(dice),
        cancel: dice.random_bool(0.25).then_some(cancel),
    }
}

fn days_until_due(dice: &mut StdRng) -> Option<u16> {
    let days = [7, 14, 30][dice.random_range(0..3_usize)];
    dice.random_bool(0.7).then_some(days)
}

fn trouble(dice: &mut StdRng) -> Trouble {
    match dice.random_range(0..10_u8) {
        0 => Trouble::Repeated,
        1 => {
            let (status, after_effect) = failure(dice);
            Trouble::Stripe {
                status,
                after_effect,
            }
        }
        2 => Trouble::Killed {
            after: dice.random_range(1..30),
        },
        _ => Trouble::None,
    }
}

/// How a vendor fails: a status (0: no answer), and whether it did what it was asked all the same.
fn failure(dice: &mut StdRng) -> (u16, bool) {
    let status = [0, 429, 500, 503][dice.random_range(0..4_usize)];
    // Whoever is limited was not served.
    (status, status != 429 && dice.random_bool(0.5))
}

/// Dice for one decision.
pub(super) fn dice(seed: u64, decision: &[u64]) -> StdRng {
    // SplitMix64's steps: near seeds and near decisions have nothing in common.
    let mix = |state: u64, value: &u64| {
        let mut z = (state ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    StdRng::seed_from_u64(decision.iter().fold(mix(0, &seed), mix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let shown = |seed| {
            let plan = Plan::new(seed, 20, 12);
            let days = (0..50).map(|day| (plan.run(1, day), plan.blows(day, true)));
            format!("{:?} {:?}", plan.universities, days.collect::<Vec<_>>())
        };
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
    }

    #[test]
    fn nobody_is_hit_so_often_that_a_message_dies() {
        let plan = Plan::new(3, 1, 1);
        for day in 0..500 {
            let blows = plan.blows(day, true);
            for blow in &blows {
                let same = blows
                    .iter()
                    .filter(|other| other.kind.hits() == blow.kind.hits());
                assert!(same.count() <= 2, "{blows:?}");
            }
        }
    }
}
