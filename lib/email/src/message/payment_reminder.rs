//! An invoice is not paid.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::templates::{Mail, templates};
use crate::format::{self, Amount, Invoice, Link};

/// Reminds of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReminder {
    /// Which invoice.
    pub invoice: Invoice,
    /// What is to be paid.
    pub amount_due: Amount,
    /// By when.
    pub due_at: Timestamp,
    /// The day of the reminder, from which the days are counted.
    pub reminded_at: Timestamp,
    /// Where it can be paid.
    pub pay_url: Option<Link>,
}

/// From so many days on the tone is firmer.
const FIRM_AFTER_DAYS: i32 = 14;

/// How it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    /// It is not overdue.
    Early,
    /// It is overdue.
    Late,
    /// It is overdue for long.
    VeryLate,
}

templates!(
    PaymentReminder,
    "payment_reminder/email.html",
    "payment_reminder/email.txt"
);

impl Mail for PaymentReminder {
    const CATEGORY: &str = "payment_reminder";

    fn subject(&self, _: &str) -> String {
        match self.overdue() {
            Some(days) => format!("Reminder: {} is {days} overdue", self.invoice),
            None => format!(
                "Reminder: {} is due on {}",
                self.invoice,
                format::date(&self.due_at)
            ),
        }
    }
}

impl PaymentReminder {
    fn tone(&self) -> Tone {
        match self.days_overdue() {
            ..=0 => Tone::Early,
            1..FIRM_AFTER_DAYS => Tone::Late,
            FIRM_AFTER_DAYS.. => Tone::VeryLate,
        }
    }

    fn heading(&self) -> &'static str {
        match self.tone() {
            Tone::Early => "An invoice is due",
            Tone::Late => "An invoice is overdue",
            Tone::VeryLate => "An invoice is long overdue",
        }
    }

    /// `14 days`, where it is overdue.
    fn overdue(&self) -> Option<String> {
        match self.days_overdue() {
            ..=0 => None,
            1 => Some("1 day".to_owned()),
            days => Some(format!("{days} days")),
        }
    }

    /// Days of the calendar, as a reader counts them from the date that is shown.
    fn days_overdue(&self) -> i32 {
        (day(self.reminded_at) - day(self.due_at)).get_days()
    }
}

fn day(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(due: &str, reminded: &str, overdue: Option<&str>, tone: Tone) {
        let mail = PaymentReminder {
            invoice: Invoice::new(None),
            amount_due: Amount {
                minor: 1,
                currency: "USD".to_owned(),
                decimals: 2,
            },
            due_at: due.parse().unwrap(),
            reminded_at: reminded.parse().unwrap(),
            pay_url: None,
        };
        assert_eq!(mail.overdue().as_deref(), overdue, "{due} {reminded}");
        assert_eq!(mail.tone(), tone, "{due} {reminded}");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let due = "2025-11-13T15:00:00Z";
        check(due, "2025-11-10T09:00:00Z", None, Tone::Early);
        check(due, "2025-11-13T23:00:00Z", None, Tone::Early);
        check(due, "2025-11-14T09:00:00Z", Some("1 day"), Tone::Late);
        check(due, "2025-11-26T09:00:00Z", Some("13 days"), Tone::Late);
        check(due, "2025-11-27T09:00:00Z", Some("14 days"), Tone::VeryLate);
        check(
            due,
            "2026-11-13T09:00:00Z",
            Some("365 days"),
            Tone::VeryLate,
        );
    }
}
