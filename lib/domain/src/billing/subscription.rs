//! A subscription, and how it follows what Stripe reports.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Ignored};
use crate::id::{SubscriptionId, UniversityId};
use crate::version::Version;

/// A subscription of a university, billed by Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose it is.
    pub university_id: UniversityId,
    /// Stripe's id (`sub_…`).
    pub stripe_subscription_id: String,
    /// What Stripe reported last.
    pub terms: Terms,
    /// The `created` second of the newest report that is in `terms`.
    pub reported_at: Timestamp,
    /// Counts its writes.
    pub version: Version,
    /// When we first knew of it.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What follows Stripe as a whole: the newest report replaces all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Where it is in its life.
    pub status: SubscriptionStatus,
    /// Stripe's price (`price_…`).
    pub stripe_price_id: Option<String>,
    /// Start of the period that is paid for.
    pub current_period_start: Timestamp,
    /// End of the period that is paid for.
    pub current_period_end: Timestamp,
    /// It ends with the period.
    pub cancel_at_period_end: bool,
}

/// Where a subscription is in its life: Stripe's words, but the contract's `cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// The first invoice is not paid yet.
    Incomplete,
    /// The first invoice was never paid. Final.
    IncompleteExpired,
    /// In its trial.
    Trialing,
    /// Paid for.
    Active,
    /// The last invoice is not paid; Stripe tries again.
    PastDue,
    /// Stripe gave up trying.
    Unpaid,
    /// Its trial ended without a payment method.
    Paused,
    /// Over. Final.
    Cancelled,
}

impl SubscriptionStatus {
    /// The word on the wire and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }

    /// Stripe never leaves this state.
    pub fn is_final(self) -> bool {
        matches!(self, Self::IncompleteExpired | Self::Cancelled)
    }
}

/// What Stripe reported, and how sure its time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The state reported.
    pub terms: Terms,
    /// The event's `created`; whole seconds.
    pub reported_at: Timestamp,
    /// Read from Stripe just now, so at least as new as anything stored for the same second.
    pub fetched: bool,
}

impl Subscription {
    /// The subscription after `report`.
    ///
    /// Older reports are ignored. A report of the same second with another state cannot be placed
    /// by its time: [`Decision::AskSource`], then call again with what Stripe has (`fetched`).
    pub fn follow(&self, report: &Report, now: Timestamp) -> Decision<Self> {
        if self.terms.status.is_final() {
            let same = self.terms.status == report.terms.status;
            return Decision::Ignore(if same {
                Ignored::AlreadyApplied
            } else {
                Ignored::Final
            });
        }
        if !report.terms.status.is_final() {
            if report.reported_at < self.reported_at {
                return Decision::Ignore(Ignored::Stale);
            }
            if self.terms == report.terms && report.reported_at == self.reported_at {
                return Decision::Ignore(Ignored::AlreadyApplied);
            }
            if report.reported_at == self.reported_at && !report.fetched {
                return Decision::AskSource;
            }
        }
        Decision::Apply(Self {
            terms: report.terms.clone(),
            reported_at: self.reported_at.max(report.reported_at),
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

    fn terms(status: SubscriptionStatus) -> Terms {
        Terms {
            status,
            stripe_price_id: Some("price_1".to_owned()),
            current_period_start: Timestamp::UNIX_EPOCH,
            current_period_end: Timestamp::from_second(1000).unwrap(),
            cancel_at_period_end: false,
        }
    }

    fn stored(status: SubscriptionStatus, at: i64) -> Subscription {
        Subscription {
            id: SubscriptionId::from_uuid(Uuid::from_u128(1)),
            university_id: UniversityId::from_uuid(Uuid::from_u128(2)),
            stripe_subscription_id: "sub_1".to_owned(),
            terms: terms(status),
            reported_at: Timestamp::from_second(at).unwrap(),
            version: Version::FIRST,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn report(status: SubscriptionStatus, at: i64, fetched: bool) -> Report {
        Report {
            terms: terms(status),
            reported_at: Timestamp::from_second(at).unwrap(),
            fetched,
        }
    }

    fn check(stored_status: SubscriptionStatus, stored_at: i64, told: &Report, expect: &str) {
        let seen = match stored(stored_status, stored_at).follow(told, Timestamp::UNIX_EPOCH) {
            Decision::Apply(next) => next.terms.status.as_str(),
            Decision::Ignore(why) => why.as_str(),
            Decision::AskSource => "ask",
        };
        assert_eq!(seen, expect, "{stored_status:?}@{stored_at} + {told:?}");
    }

    #[test]
    fn the_newest_report_wins() {
        use SubscriptionStatus::{Active, Cancelled, PastDue};
        check(Active, 10, &report(PastDue, 11, false), "past_due");
        check(Active, 10, &report(PastDue, 9, false), "stale");
        check(Active, 10, &report(Active, 10, false), "already_applied");
        check(Active, 10, &report(PastDue, 10, false), "ask");
        check(Active, 10, &report(PastDue, 10, true), "past_due");
        check(Active, 10, &report(Active, 10, true), "already_applied");
        // Stripe never leaves a final state, so one that comes late is still the truth.
        check(Active, 10, &report(Cancelled, 9, false), "cancelled");
        check(Cancelled, 10, &report(Active, 11, false), "final");
        check(
            Cancelled,
            10,
            &report(Cancelled, 11, false),
            "already_applied",
        );
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_alike(
            shuffled in Just(vec![
                report(SubscriptionStatus::Active, 1, false),
                report(SubscriptionStatus::PastDue, 2, false),
                report(SubscriptionStatus::PastDue, 2, false),
                report(SubscriptionStatus::Active, 3, false),
                report(SubscriptionStatus::Cancelled, 4, false),
            ]).prop_shuffle(),
            without_the_end in any::<bool>(),
        ) {
            let mut subscription = stored(SubscriptionStatus::Incomplete, 0);
            for told in &shuffled {
                if without_the_end && told.terms.status.is_final() {
                    continue;
                }
                if let Decision::Apply(next) = subscription.follow(told, Timestamp::UNIX_EPOCH) {
                    subscription = next;
                }
            }
            let want = if without_the_end { SubscriptionStatus::Active } else { SubscriptionStatus::Cancelled };
            prop_assert_eq!(subscription.terms.status, want);
        }
    }
}
