//! The simulation's own books: what must have been billed, told and ended, whatever the product
//! says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::plan::Cancel;

/// What must be true in the end.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// By the place in the plan.
    pub(super) customers: Vec<Customer>,
    pub(super) manual: Vec<Manual>,
    pub(super) by_stripe: Vec<ByStripe>,
    /// By subscription and month (`2026-01`): minor units and currency.
    pub(super) billed: BTreeMap<(String, String), (i64, String)>,
    /// Invoices that admins made, by our id.
    pub(super) one_offs: BTreeMap<String, (i64, String)>,
    /// Invoices that were made in Stripe's dashboard, by Stripe's id.
    pub(super) dashboard: BTreeMap<String, (i64, String)>,
    /// Invoices (Stripe's ids) and the reminder steps they reached.
    pub(super) reminders: BTreeSet<(String, u64)>,
    /// Subscriptions and the ends (epoch seconds) that were close when the job looked.
    pub(super) warnings: BTreeSet<(String, i64)>,
}

/// A university.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) university: String,
    pub(super) customer: String,
}

/// A plan that the monthly run bills.
#[derive(Debug, Clone)]
pub(super) struct Manual {
    /// By the place in the plan.
    pub(super) university: usize,
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    /// The month in which it was made, which is free.
    pub(super) free: String,
    pub(super) state: ManualState,
    pub(super) cancel: Option<Cancel>,
}

/// Where a manual plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ManualState {
    Active,
    Ending,
    Over,
}

/// A subscription that Stripe bills.
#[derive(Debug, Clone)]
pub(super) struct ByStripe {
    pub(super) university: usize,
    pub(super) id: String,
    pub(super) stripe_id: String,
    /// Its first invoice, and one for each renewal.
    pub(super) invoices: usize,
    pub(super) cancel: Option<Cancel>,
}

impl Expected {
    /// The run of `month`: who is active is billed, who was to end is over.
    pub(super) fn month_begins(&mut self, month: &str) {
        for plan in self.manual.iter_mut().filter(|plan| *plan.free < *month) {
            match plan.state {
                ManualState::Active => {
                    let key = (plan.id.clone(), month.to_owned());
                    let worth = (plan.amount, plan.currency.clone());
                    self.billed.insert(key, worth);
                }
                ManualState::Ending | ManualState::Over => plan.state = ManualState::Over,
            }
        }
    }

    /// The reminders that a run at `now` owes: of each unpaid invoice the last step reached, if
    /// neither that nor a later one was taken.
    pub(super) fn remind(&mut self, invoices: &[Value], now: i64) {
        const STEPS: [i64; 4] = [30, 14, 7, 1];
        for invoice in invoices.iter().filter(|it| it["status"] == "open") {
            let due = invoice["due_date"].as_i64().or(invoice["created"].as_i64());
            let late = now - due.unwrap_or(now);
            let Some(step) = STEPS.into_iter().find(|days| days * 86_400 <= late) else {
                continue;
            };
            let id = invoice["id"].as_str().unwrap_or_default();
            let step = step.unsigned_abs();
            let later = (id.to_owned(), step)..=(id.to_owned(), u64::MAX);
            if self.reminders.range(later).next().is_none() {
                self.reminders.insert((id.to_owned(), step));
            }
        }
    }

    /// The warnings that a run at `now` owes: of what ends within seven days.
    pub(super) fn warn(&mut self, at_stripe: &[Value], next_month: i64, now: i64) {
        let close = |end: i64| now < end && end <= now + 7 * 86_400;
        for plan in self
            .manual
            .iter()
            .filter(|it| it.state == ManualState::Ending)
        {
            if close(next_month) {
                self.warnings.insert((plan.id.clone(), next_month));
            }
        }
        for subscription in at_stripe {
            let lives = matches!(
                subscription["status"].as_str(),
                Some("active" | "trialing" | "past_due")
            );
            let end = subscription["items"]["data"][0]["current_period_end"].as_i64();
            if let Some(end) = end.filter(|end| close(*end))
                && lives
                && subscription["cancel_at_period_end"] == true
            {
                let id = subscription["metadata"]["subscription_id"].as_str();
                self.warnings
                    .insert((id.unwrap_or_default().to_owned(), end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_step_is_owed_once() {
        let mut expected = Expected::default();
        let day = 86_400;
        let invoices = [
            json!({ "id": "in_1", "status": "open", "created": 0, "due_date": null }),
            json!({ "id": "in_2", "status": "paid", "created": 0, "due_date": null }),
            json!({ "id": "in_3", "status": "open", "created": 0, "due_date": 5 * day }),
        ];
        for now in [0, day, 2 * day, 9 * day, 10 * day, 40 * day] {
            expected.remind(&invoices, now);
        }
        let owed: Vec<_> = expected
            .reminders
            .iter()
            .map(|(id, step)| (&**id, *step))
            .collect();
        let wanted = [
            ("in_1", 1),
            ("in_1", 7),
            ("in_1", 30),
            ("in_3", 1),
            ("in_3", 30),
        ];
        assert_eq!(owed, wanted);
    }
}
