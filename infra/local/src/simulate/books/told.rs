//! What was told: each event once, its line in the history, and its mail.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Books, Differences};
use crate::rows::{number, text};
use crate::simulate::expected::Expected;
use crate::simulate::trouble::UNANSWERED_MAILS;

/// Mails that may be under way when the mailer dies: two batches of ten.
const MAILS_UNDER_WAY: u64 = 20;

/// Events: one for each thing that happened, and none for what did not.
pub(super) fn events(books: &Books, expected: &Expected, differences: &mut Differences) {
    let mut told = BTreeMap::<&str, Vec<&Value>>::new();
    for event in &books.events {
        told.entry(text(event, "/type")).or_default().push(event);
    }
    let about = |kind: &str, path: &str| {
        let events = told.get(kind).map(Vec::as_slice).unwrap_or_default();
        let mut about: Vec<_> = events.iter().map(|it| text(it, path).to_owned()).collect();
        about.sort();
        about
    };
    let of = |rows: &[Value], path: &str, status: Option<&str>| {
        let rows = rows
            .iter()
            .filter(|row| status.is_none_or(|it| row["status"] == it));
        let mut of: Vec<_> = rows.map(|row| text(row, path).to_owned()).collect();
        of.sort();
        of
    };
    let invoice = "/data/invoice_id";
    let pairs = [
        (
            "UniversityCreated",
            "/university_id",
            of(&books.universities, "/university_id", None),
        ),
        (
            "InvoiceGenerated",
            invoice,
            of(&books.invoices, "/invoice_id", None),
        ),
        (
            "PaymentProcessed",
            "/data/payment_id",
            of(&books.payments, "/payment_id", None),
        ),
        (
            "InvoiceVoided",
            invoice,
            of(&books.invoices, "/invoice_id", Some("void")),
        ),
    ];
    for (kind, path, wanted) in pairs {
        apart(kind, &about(kind, path), &wanted, differences);
    }
    let stripe_id = |event: &&Value| text(event, "/data/stripe_invoice_id").to_owned();
    let reminders = told.get("PaymentReminderDue").into_iter().flatten();
    let reminders =
        reminders.map(|it| (stripe_id(it), number(it, "/data/step_days").unsigned_abs()));
    apart_by("reminder", reminders, &expected.reminders, differences);
    let warnings = told
        .get("SubscriptionExpiring")
        .into_iter()
        .flatten()
        .map(|it| {
            let end = text(it, "/data/ends_at").parse::<jiff::Timestamp>();
            let end = end.map(jiff::Timestamp::as_second).unwrap_or_default();
            (text(it, "/data/subscription_id").to_owned(), end)
        });
    apart_by("warning", warnings, &expected.warnings, differences);
    let events: Vec<_> = of(&books.events, "/event_id", None);
    let lines = of(&books.activities, "/activity_id", None);
    apart("line in the history", &lines, &events, differences);
}

fn apart(what: &str, seen: &[String], wanted: &[String], differences: &mut Differences) {
    if seen == wanted {
        return;
    }
    let count = |ids: &[String]| {
        let mut counts = BTreeMap::<String, usize>::new();
        for id in ids {
            *counts.entry(id.clone()).or_default() += 1;
        }
        counts
    };
    let (seen, wanted) = (count(seen), count(wanted));
    let ids: BTreeSet<_> = seen.keys().chain(wanted.keys()).collect();
    for id in ids {
        let of = |counts: &BTreeMap<_, _>| counts.get(id).copied().unwrap_or_default();
        differences.same(format!("{what} of {id}"), of(&seen), of(&wanted));
    }
}

fn apart_by<T: Ord + std::fmt::Debug>(
    what: &str,
    told: impl Iterator<Item = T>,
    wanted: &BTreeSet<T>,
    differences: &mut Differences,
) {
    let mut seen = BTreeSet::new();
    for told in told {
        if !wanted.contains(&told) {
            differences.add(format!("a {what} that was not due: {told:?}"));
        }
        if let Some(twice) = seen.replace(told) {
            differences.add(format!("a {what} came twice: {twice:?}"));
        }
    }
    for missing in wanted.difference(&seen) {
        differences.add(format!("a {what} did not come: {missing:?}"));
    }
}

/// Mails: each that is due, to whom it is due; and once, unless the mailer died or SendGrid did not
/// answer: then as many may have come twice as were under way.
pub(super) fn mails(
    books: &Books,
    tampering: &BTreeMap<String, u64>,
    differences: &mut Differences,
) {
    let universities = books.universities.iter();
    let addresses: BTreeMap<&str, &str> = universities
        .map(|row| (text(row, "/university_id"), text(row, "/primary_email")))
        .collect();
    let mut sent = BTreeMap::<&str, Vec<&str>>::new();
    for (event, to) in &books.mails {
        sent.entry(event).or_default().push(to);
    }
    let mut twice = 0;
    for event in &books.events {
        let id = text(event, "/event_id");
        let to = sent.remove(id).unwrap_or_default();
        if has_mail(event) == to.is_empty() {
            let kind = text(event, "/type");
            differences.add(format!("{kind} {id} has {} mails: {event}", to.len()));
        }
        let address = addresses
            .get(text(event, "/university_id"))
            .copied()
            .unwrap_or_default();
        if to.iter().any(|to| *to != address) {
            differences.add(format!(
                "the mail of {id} went to {to:?} instead of {address}"
            ));
        }
        twice += to.len().saturating_sub(1) as u64;
    }
    for (event, to) in sent {
        differences.add(format!("a mail of no event ({event}) went to {to:?}"));
    }
    let count = |what: &str| tampering.get(what).copied().unwrap_or_default();
    let most = count(UNANSWERED_MAILS) + MAILS_UNDER_WAY * count("email-listener killed");
    if twice > most {
        differences.add(format!("{twice} mails came again, and {most} may have"));
    }
}

/// How many mails came more than once.
pub(in crate::simulate) fn repeated_mails(books: &Books) -> usize {
    let events: BTreeSet<&str> = books.mails.iter().map(|(event, _)| &**event).collect();
    books.mails.len() - events.len()
}

/// Whether an event is to be mailed: nobody is written to about nothing.
fn has_mail(event: &Value) -> bool {
    let data = &event["data"];
    match text(event, "/type") {
        "UniversityCreated"
        | "PaymentFailed"
        | "PaymentActionRequired"
        | "PaymentReminderDue"
        | "SubscriptionExpiring" => true,
        "InvoiceGenerated" | "InvoiceVoided" => number(data, "/amount_due/amount") > 0,
        "PaymentProcessed" => number(data, "/amount/amount") > 0,
        "SubscriptionStatusChanged" => {
            let ends = data["cancel_at_period_end"] == true;
            match (text(data, "/from"), text(data, "/to")) {
                // New to us: history.
                ("", _) => false,
                (from, to) if from == to => {
                    ends && !["cancelled", "incomplete_expired"].contains(&to)
                }
                (_, to) => ["cancelled", "past_due", "unpaid"].contains(&to),
            }
        }
        _ => false,
    }
}
