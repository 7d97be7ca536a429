//! A subscription: billed by Stripe and following what Stripe reports, or a manual plan that the
//! monthly run bills.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::billing::month::Month;
use crate::decision::{Decision, Ignored};
use crate::id::{SubscriptionId, UniversityId};
use crate::money::Money;
use crate::version::Version;

/// A subscription of a university.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose it is.
    pub university_id: UniversityId,
    /// Who bills it.
    pub billing: Billing,
    /// Where it is in its life: of a subscription at Stripe, what Stripe reported last.
    pub terms: Terms,
    /// The `created` second of the newest report that is in `terms`.
    pub reported_at: Timestamp,
    /// When a manual plan that was cancelled for the end of its period is over: with the month in
    /// which that was asked for, even where the monthly run is behind.
    pub ends_at: Option<Timestamp>,
    /// The end of the period whose expiry was warned of.
    pub warned_of: Option<Timestamp>,
    /// Counts its writes.
    pub version: Version,
    /// When we first knew of it.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// Who bills a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Billing {
    /// Stripe, every period.
    Stripe {
        /// Stripe's id (`sub_…`).
        subscription_id: String,
    },
    /// The monthly run.
    Manual(ManualPlan),
}

/// What the monthly run bills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualPlan {
    /// For each month.
    pub amount: Money,
    /// What for.
    pub description: String,
    /// Days to pay; none: charged automatically, as the contract has it.
    pub days_until_due: Option<u16>,
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
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Incomplete,
        Self::IncompleteExpired,
        Self::Trialing,
        Self::Active,
        Self::PastDue,
        Self::Unpaid,
        Self::Paused,
        Self::Cancelled,
    ];

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

    /// The statuses that the monthly run looks at: service is given, and invoices are made.
    pub const BILLED: [Self; 3] = [Self::Trialing, Self::Active, Self::PastDue];

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
    /// A manual plan from `now` on. The rest of this month is its first period and free of charge;
    /// billing begins with the next 1st.
    pub fn manual(
        id: SubscriptionId,
        university_id: UniversityId,
        plan: ManualPlan,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            university_id,
            billing: Billing::Manual(plan),
            terms: Terms {
                status: SubscriptionStatus::Active,
                stripe_price_id: None,
                current_period_start: now,
                current_period_end: Month::containing(now).period().end,
                cancel_at_period_end: false,
            },
            reported_at: now,
            ends_at: None,
            warned_of: None,
            version: Version::FIRST,
            created_at: now,
            updated_at: now,
        }
    }

    /// Stripe's id, where Stripe bills it.
    pub fn stripe_subscription_id(&self) -> Option<&str> {
        match &self.billing {
            Billing::Stripe { subscription_id } => Some(subscription_id),
            Billing::Manual(_) => None,
        }
    }

    /// The subscription after `report`.
    ///
    /// Older reports are ignored. A report of the same second with another state cannot be placed
    /// by its time: [`Decision::AskSource`], then call again with what Stripe has (`fetched`).
    pub fn follow(&self, report: &Report, now: Timestamp) -> Decision<Self> {
        let (stored, told) = (self.terms.status, report.terms.status);
        let same = self.terms == report.terms;
        let told_is = report.reported_at.cmp(&self.reported_at);
        match (stored.is_final(), told.is_final(), told_is) {
            // A subscription that is over stays over.
            (true, _, _) if stored == told => return Decision::Ignore(Ignored::AlreadyApplied),
            (true, _, _) => return Decision::Ignore(Ignored::Final),
            (false, false, Ordering::Less) => return Decision::Ignore(Ignored::Stale),
            (false, false, Ordering::Equal) if same => {
                return Decision::Ignore(Ignored::AlreadyApplied);
            }
            (false, false, Ordering::Equal) if !report.fetched => return Decision::AskSource,
            // An end is the truth, however late it is told.
            (false, true, _) | (false, false, Ordering::Equal | Ordering::Greater) => {}
        }
        Decision::Apply(Self {
            reported_at: self.reported_at.max(report.reported_at),
            ..self.with_terms(report.terms.clone(), now)
        })
    }

    /// What the run of month `run` has to do for a manual plan next; called until it says `Idle`.
    pub fn next_step(&self, run: Month) -> Step {
        let month = Month::containing(self.terms.current_period_end);
        let due = self.terms.status == SubscriptionStatus::Active && month <= run;
        match &self.billing {
            Billing::Stripe { .. } => Step::Idle,
            Billing::Manual(_) if !due => Step::Idle,
            Billing::Manual(_) if self.is_over_before(month) => Step::End,
            Billing::Manual(plan) => Step::Bill {
                month,
                plan: plan.clone(),
            },
        }
    }

    /// It was cancelled, and ends with the month before.
    fn is_over_before(&self, month: Month) -> bool {
        let begins = month.period().start;
        self.terms.cancel_at_period_end && self.ends_at.is_none_or(|end| end <= begins)
    }

    /// The manual plan once `month` is billed.
    #[must_use]
    pub fn billed(&self, month: Month, now: Timestamp) -> Self {
        let period = month.period();
        let terms = Terms {
            current_period_start: period.start,
            current_period_end: period.end,
            ..self.terms.clone()
        };
        self.with_terms(terms, now)
    }

    /// The manual plan once it is cancelled: now, or when its period ends.
    pub fn cancelled(&self, at_period_end: bool, now: Timestamp) -> Decision<Self> {
        if self.terms.status.is_final() {
            return Decision::Ignore(Ignored::Final);
        }
        if at_period_end && self.terms.cancel_at_period_end {
            return Decision::Ignore(Ignored::AlreadyApplied);
        }
        let terms = Terms {
            status: if at_period_end {
                self.terms.status
            } else {
                SubscriptionStatus::Cancelled
            },
            cancel_at_period_end: at_period_end,
            ..self.terms.clone()
        };
        Decision::Apply(Self {
            ends_at: at_period_end.then(|| Month::containing(now).period().end),
            ..self.with_terms(terms, now)
        })
    }

    /// The subscription once its end within `ahead` was warned of; `None` where it goes on, ends
    /// later, or was warned of.
    pub fn warned(&self, ahead: SignedDuration, now: Timestamp) -> Option<Self> {
        let end = self.terms.current_period_end;
        let due = SubscriptionStatus::BILLED.contains(&self.terms.status)
            && self.terms.cancel_at_period_end
            && now < end
            && end <= now + ahead
            && self.warned_of != Some(end);
        due.then(|| Self {
            warned_of: Some(end),
            ..self.with_terms(self.terms.clone(), now)
        })
    }

    fn with_terms(&self, terms: Terms, now: Timestamp) -> Self {
        Self {
            terms,
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        }
    }
}

/// What the monthly run has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing (more).
    Idle,
    /// An invoice for this month.
    Bill {
        /// The month.
        month: Month,
        /// What for, and how much.
        plan: ManualPlan,
    },
    /// It was cancelled for the end of its period, and that is over.
    End,
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
            billing: Billing::Stripe {
                subscription_id: "sub_1".to_owned(),
            },
            terms: terms(status),
            reported_at: Timestamp::from_second(at).unwrap(),
            ends_at: None,
            warned_of: None,
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

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn manual(since: &str) -> Subscription {
        let plan = ManualPlan {
            amount: Money::new(9900, crate::money::Currency::USD),
            description: "Campus".to_owned(),
            days_until_due: Some(30),
        };
        Subscription::manual(
            SubscriptionId::from_uuid(Uuid::from_u128(1)),
            UniversityId::from_uuid(Uuid::from_u128(2)),
            plan,
            time(since),
        )
    }

    /// The months that the runs bill, one after the other.
    fn months(mut subscription: Subscription, runs: &[&str]) -> Vec<String> {
        let mut billed = Vec::new();
        for run in runs {
            while let Step::Bill { month, .. } = subscription.next_step(run.parse().unwrap()) {
                billed.push(month.to_string());
                subscription = subscription.billed(month, Timestamp::UNIX_EPOCH);
            }
        }
        billed
    }

    #[test]
    fn a_manual_plan_is_billed_each_month_once() {
        let plan = || manual("2025-11-23T10:00:00Z");
        assert_eq!(months(plan(), &["2025-11"]), [""; 0], "free until the 1st");
        assert_eq!(months(plan(), &["2025-12", "2025-12"]), ["2025-12"]);
        assert_eq!(
            months(plan(), &["2026-02"]),
            ["2025-12", "2026-01", "2026-02"],
            "a run that was missed is made up for",
        );
        assert_eq!(
            months(plan(), &["2026-01", "2025-12"]),
            ["2025-12", "2026-01"]
        );
        assert_eq!(
            months(manual("2025-12-01T00:00:00Z"), &["2025-12"]),
            [""; 0]
        );
    }

    #[test]
    fn a_manual_plan_ends_now_or_with_its_period() {
        let plan = manual("2025-11-23T10:00:00Z");
        let now = time("2025-11-24T00:00:00Z");
        let Decision::Apply(over) = plan.cancelled(false, now) else {
            panic!("cancelled");
        };
        assert_eq!(over.terms.status, SubscriptionStatus::Cancelled);
        assert_eq!(over.next_step("2025-12".parse().unwrap()), Step::Idle);
        assert_eq!(over.cancelled(true, now), Decision::Ignore(Ignored::Final));
        let Decision::Apply(ending) = plan.cancelled(true, now) else {
            panic!("cancelled");
        };
        assert_eq!(ending.terms.status, SubscriptionStatus::Active);
        assert_eq!(ending.next_step("2025-11".parse().unwrap()), Step::Idle);
        assert_eq!(ending.next_step("2025-12".parse().unwrap()), Step::End);
        assert_eq!(
            ending.cancelled(true, now),
            Decision::Ignore(Ignored::AlreadyApplied)
        );
    }

    #[test]
    fn what_had_begun_before_it_was_cancelled_is_billed() {
        let behind = manual("2025-11-23T10:00:00Z");
        let asked = time("2026-01-05T00:00:00Z");
        let Decision::Apply(ending) = behind.cancelled(true, asked) else {
            panic!("cancelled");
        };
        assert_eq!(months(ending.clone(), &["2026-03"]), ["2025-12", "2026-01"]);
        let billed = ending
            .billed("2025-12".parse().unwrap(), asked)
            .billed("2026-01".parse().unwrap(), asked);
        assert_eq!(billed.next_step("2026-02".parse().unwrap()), Step::End);
    }

    #[test]
    fn an_end_is_warned_of_once_and_in_time() {
        let week = SignedDuration::from_hours(7 * 24);
        let plan = manual("2025-11-10T10:00:00Z");
        assert_eq!(
            plan.warned(week, time("2025-11-28T08:00:00Z")),
            None,
            "goes on"
        );
        let Decision::Apply(ending) = plan.cancelled(true, Timestamp::UNIX_EPOCH) else {
            panic!("cancelled");
        };
        assert_eq!(
            ending.warned(week, time("2025-11-23T08:00:00Z")),
            None,
            "early"
        );
        let warned = ending.warned(week, time("2025-11-24T08:00:00Z")).unwrap();
        assert_eq!(
            warned.warned(week, time("2025-11-25T08:00:00Z")),
            None,
            "twice"
        );
        assert_eq!(
            ending.warned(week, time("2025-12-01T00:00:00Z")),
            None,
            "late"
        );
    }

    /// What Stripe reported, in order: times never go back, seconds may be shared, an end is last.
    fn histories() -> impl Strategy<Value = Vec<Report>> {
        use SubscriptionStatus::{Active, PastDue, Trialing, Unpaid};
        let change = (
            0..2_i64,
            prop::sample::select(vec![Trialing, Active, PastDue, Unpaid]),
        );
        (prop::collection::vec(change, 1..6), any::<bool>()).prop_map(|(changes, ends)| {
            let mut at = 1;
            let mut reports: Vec<Report> = Vec::new();
            for (gap, status) in changes {
                at += gap;
                reports.push(report(status, at, false));
            }
            if ends {
                reports.push(report(SubscriptionStatus::Cancelled, at, false));
            }
            reports
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_end_alike(
            (history, shuffled) in histories().prop_flat_map(|history| {
                let twice = [history.clone(), history.clone()].concat();
                (Just(history), Just(twice).prop_shuffle())
            })
        ) {
            let last = history.last().unwrap();
            let mut subscription = stored(SubscriptionStatus::Incomplete, 0);
            for told in &shuffled {
                let decision = match subscription.follow(told, Timestamp::UNIX_EPOCH) {
                    // Stripe has the state after all of its history.
                    Decision::AskSource => {
                        let fetched = Report { terms: last.terms.clone(), fetched: true, ..told.clone() };
                        subscription.follow(&fetched, Timestamp::UNIX_EPOCH)
                    }
                    decided => decided,
                };
                if let Decision::Apply(next) = decision {
                    subscription = next;
                }
            }
            prop_assert_eq!(&subscription.terms, &last.terms);
        }
    }
}
