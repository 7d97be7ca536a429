//! Which reminder of an overdue invoice is due.

use jiff::{SignedDuration, Timestamp};

use crate::billing::invoice::Invoice;

/// After how many days an unpaid invoice is reminded of: ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReminderSteps(Vec<u16>);

impl ReminderSteps {
    /// In any order, with or without repetitions.
    pub fn new(days: impl IntoIterator<Item = u16>) -> Self {
        let mut days: Vec<u16> = days.into_iter().collect();
        days.sort_unstable();
        days.dedup();
        Self(days)
    }

    /// Invoices due after this are not overdue enough for any step at `now`.
    pub fn due_before(&self, now: Timestamp) -> Timestamp {
        let first = self.0.first().copied().unwrap_or(u16::MAX);
        now - days(first)
    }

    /// The step that `invoice` is due for at `now`: the last one reached, unless that one, or a
    /// later one, was taken. Steps that were missed are not made up for.
    pub fn due(&self, invoice: &Invoice, now: Timestamp) -> Option<u16> {
        if !invoice.status.awaits_payment() {
            return None;
        }
        let reached = self
            .0
            .iter()
            .rev()
            .find(|step| invoice.due_at + days(**step) <= now)?;
        let taken = invoice
            .last_reminder_step
            .is_some_and(|last| last >= *reached);
        (!taken).then_some(*reached)
    }
}

fn days(count: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::invoice::InvoiceStatus;
    use crate::billing::invoice::tests::open;

    fn check(status: InvoiceStatus, taken: Option<u16>, days_late: i64, expect: Option<u16>) {
        let steps = ReminderSteps::new([30, 1, 7, 14, 7]);
        let invoice = Invoice {
            status,
            last_reminder_step: taken,
            ..open()
        };
        let now = invoice.due_at + SignedDuration::from_hours(24 * days_late);
        assert_eq!(steps.due(&invoice, now), expect, "{days_late}");
        let listed = invoice.due_at <= steps.due_before(now);
        assert!(listed || expect.is_none());
    }

    #[test]
    fn each_step_once() {
        use InvoiceStatus::{Failed, Open, Paid, Void};
        check(Open, None, 0, None);
        check(Open, None, 1, Some(1));
        check(Failed, None, 6, Some(1));
        check(Open, Some(1), 6, None);
        check(Open, Some(1), 7, Some(7));
        check(Open, None, 20, Some(14));
        check(Open, Some(14), 400, Some(30));
        check(Open, Some(30), 400, None);
        check(Paid, None, 400, None);
        check(Void, None, 400, None);
    }
}
