//! The books at the end: the product's tables, what was mailed, and what Stripe has, held against
//! each other and against what the simulation expects. Each difference is one line.

mod billed;
mod money;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;

use super::expected::Expected;
use crate::rows::{self, text};
use crate::stack::Stack;
pub(super) use told::repeated_mails;

/// Everything that is compared.
pub(super) struct Books {
    pub(super) universities: Vec<Value>,
    pub(super) subscriptions: Vec<Value>,
    pub(super) invoices: Vec<Value>,
    pub(super) payments: Vec<Value>,
    /// The outbox's rows.
    pub(super) outbox: Vec<Value>,
    /// Each event, as the outbox holds it.
    pub(super) events: Vec<Value>,
    pub(super) activities: Vec<Value>,
    /// The event that each mail follows from, and to whom it went.
    pub(super) mails: Vec<(String, String)>,
    pub(super) at_stripe: AtStripe,
    pub(super) dead_letters: Vec<(String, Vec<String>)>,
    pub(super) pending: Vec<String>,
    /// Requests that Stripe got.
    pub(super) stripe_requests: u64,
}

/// What Stripe has.
pub(super) struct AtStripe {
    pub(super) customers: usize,
    pub(super) subscriptions: Vec<Value>,
    pub(super) invoices: Vec<Value>,
    pub(super) charges: Vec<Value>,
}

/// Reads everything; nothing may be going on any more.
pub(super) async fn read(stack: &Stack) -> Result<Books, String> {
    let outbox = rows::of(stack, "outbox").await?;
    let events = outbox.iter().map(|row| {
        let event = serde_json::from_str(text(row, "/detail"));
        event.map_err(|error| format!("an event cannot be read ({error}): {row}"))
    });
    let mails = stack.sendgrid.mails().into_iter();
    let mails = mails.map(|mail| (text(&mail.custom_args, "/event_id").to_owned(), mail.to));
    let pending = stack.pending().into_iter();
    Ok(Books {
        events: events.collect::<Result<_, _>>()?,
        outbox,
        universities: rows::of(stack, "universities").await?,
        subscriptions: rows::of(stack, "subscriptions").await?,
        invoices: rows::of(stack, "invoices").await?,
        payments: rows::of(stack, "payments").await?,
        activities: rows::of(stack, "activities").await?,
        mails: mails.collect(),
        at_stripe: AtStripe {
            customers: stack.stripe.count("customer"),
            subscriptions: stack.stripe.objects("subscription"),
            invoices: stack.stripe.objects("invoice"),
            charges: stack.stripe.objects("charge"),
        },
        dead_letters: stack.sqs.dead_letters(),
        pending: pending.map(|it| format!("{it:?}")).collect(),
        stripe_requests: stack.stripe.requests_total(),
    })
}

/// Every difference.
pub(super) fn check(
    books: &Books,
    expected: &Expected,
    tampering: &BTreeMap<String, u64>,
) -> Vec<String> {
    let mut differences = Differences::default();
    nothing_left(books, &mut differences);
    billed::subscriptions(books, expected, &mut differences);
    billed::invoices(books, expected, &mut differences);
    money::payments(books, &mut differences);
    told::events(books, expected, &mut differences);
    told::mails(books, tampering, &mut differences);
    differences.0
}

/// What differs, a line each.
#[derive(Debug, Default)]
struct Differences(Vec<String>);

impl Differences {
    fn add(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// `seen` must be `wanted`.
    fn same<T: PartialEq + Display>(&mut self, what: impl Display, seen: T, wanted: T) {
        if seen != wanted {
            self.add(format!("{what}: {seen}, and should be {wanted}"));
        }
    }
}

fn nothing_left(books: &Books, differences: &mut Differences) {
    for pending in &books.pending {
        differences.add(format!("still going on: {pending}"));
    }
    for (queue, bodies) in &books.dead_letters {
        for body in bodies {
            differences.add(format!("dead letter in {queue}: {body}"));
        }
    }
    for row in books
        .outbox
        .iter()
        .filter(|row| row.get("pending").is_some())
    {
        differences.add(format!("an event waits in the outbox: {row}"));
    }
    differences.same(
        "customers at Stripe",
        books.at_stripe.customers,
        books.universities.len(),
    );
}
