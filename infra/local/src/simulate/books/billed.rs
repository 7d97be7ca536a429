//! Who was billed for what: each period once, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Books, Differences};
use crate::rows::{number, text};
use crate::simulate::expected::{Expected, ManualState};

/// Subscriptions: those that were made, once, and as Stripe has them.
pub(super) fn subscriptions(books: &Books, expected: &Expected, differences: &mut Differences) {
    let ours: BTreeMap<&str, &Value> = by(&books.subscriptions, "/subscription_id");
    let made = expected.manual.len() + expected.by_stripe.len();
    differences.same("subscriptions", books.subscriptions.len(), made);
    for plan in &expected.manual {
        let Some(row) = ours.get(&*plan.id) else {
            differences.add(format!("manual plan {} is not stored", plan.id));
            continue;
        };
        let (status, ends) = match plan.state {
            ManualState::Active => ("active", false),
            ManualState::Ending => ("active", true),
            ManualState::Over => ("cancelled", false),
        };
        let what = format!("manual plan {}", plan.id);
        differences.same(&what, text(row, "/status"), status);
        if status == "active" {
            differences.same(
                format!("{what} ends"),
                row["cancel_at_period_end"] == true,
                ends,
            );
        }
    }
    let wanted = expected.by_stripe.len();
    let at_stripe: BTreeMap<&str, &Value> = by(&books.at_stripe.subscriptions, "/id");
    differences.same("subscriptions at Stripe", at_stripe.len(), wanted);
    for subscription in &expected.by_stripe {
        let told = at_stripe.get(&*subscription.stripe_id);
        let (Some(row), Some(told)) = (ours.get(&*subscription.id), told) else {
            differences.add(format!("{subscription:?} is not stored, or not at Stripe"));
            continue;
        };
        let what = format!("subscription {}", subscription.stripe_id);
        let status = match text(told, "/status") {
            "canceled" => "cancelled",
            other => other,
        };
        differences.same(&what, text(row, "/status"), status);
        let ends = |it: &Value| it["cancel_at_period_end"] == true;
        differences.same(format!("{what} ends"), ends(row), ends(told));
        let end = text(row, "/current_period_end").parse::<jiff::Timestamp>();
        let end = end.map(jiff::Timestamp::as_second).unwrap_or_default();
        let wanted = number(told, "/items/data/0/current_period_end");
        differences.same(format!("{what}'s period ends"), end, wanted);
        let of_it = |it: &&Value| text(it, SUBSCRIPTION) == subscription.stripe_id;
        let invoices = books.at_stripe.invoices.iter().filter(of_it).count();
        let what = format!("invoices of {} at Stripe", subscription.stripe_id);
        differences.same(what, invoices, subscription.invoices);
    }
}

/// Where an invoice of Stripe's names its subscription.
const SUBSCRIPTION: &str = "/parent/subscription_details/subscription";

/// Invoices: each that there must be, once, here and at Stripe, in the same state.
pub(super) fn invoices(books: &Books, expected: &Expected, differences: &mut Differences) {
    let mut finalized = BTreeMap::<&str, &Value>::new();
    let mut by_our_id = BTreeMap::<&str, Vec<&str>>::new();
    for invoice in &books.at_stripe.invoices {
        let (id, ours) = (text(invoice, "/id"), text(invoice, "/metadata/invoice_id"));
        if invoice["status"] == "draft" {
            continue;
        }
        finalized.insert(id, invoice);
        if !ours.is_empty() {
            by_our_id.entry(ours).or_default().push(id);
        }
    }
    for (ours, ids) in by_our_id.iter().filter(|(_, ids)| ids.len() > 1) {
        differences.add(format!(
            "invoice {ours} is at Stripe more than once: {ids:?}"
        ));
    }
    let mut stored = BTreeMap::<&str, usize>::new();
    let mut billed = BTreeMap::<(String, String), Vec<&Value>>::new();
    let (mut one_offs, mut dashboard) = (BTreeMap::new(), BTreeMap::new());
    for row in &books.invoices {
        let stripe_id = text(row, "/stripe_invoice_id");
        *stored.entry(stripe_id).or_default() += 1;
        let Some(told) = finalized.get(stripe_id) else {
            differences.add(format!("invoice {row} is not at Stripe, or a draft there"));
            continue;
        };
        compare(row, told, differences);
        let by_stripe = !text(told, SUBSCRIPTION).is_empty();
        match text(row, "/subscription_id") {
            "" if text(told, "/metadata/invoice_id").is_empty() => {
                dashboard.insert(stripe_id, row);
            }
            "" => {
                one_offs.insert(text(row, "/invoice_id"), row);
            }
            _ if by_stripe => {}
            subscription => {
                let start = text(row, "/period_start");
                let month = start.get(..7).unwrap_or_default();
                let key = (subscription.to_owned(), month.to_owned());
                billed.entry(key).or_default().push(row);
            }
        }
    }
    for id in finalized.keys() {
        let times = stored.get(id).copied().unwrap_or_default();
        differences.same(format!("{id} is stored so many times"), times, 1);
    }
    for (key, worth) in &expected.billed {
        match billed.remove(key).as_deref() {
            Some([row]) => worth_it(row, worth, differences),
            rows => {
                let count = rows.map_or(0, <[_]>::len);
                differences.add(format!("{} for {} has {count} invoices", key.0, key.1));
            }
        }
    }
    for ((subscription, month), rows) in billed {
        let count = rows.len();
        differences.add(format!(
            "{subscription} was not active in {month} and has {count} invoices"
        ));
    }
    asked_for("an admin", one_offs, &expected.one_offs, differences);
    asked_for(
        "Stripe's dashboard",
        dashboard,
        &expected.dashboard,
        differences,
    );
}

/// Invoices that were made one by one.
fn asked_for(
    by: &str,
    mut stored: BTreeMap<&str, &Value>,
    wanted: &BTreeMap<String, (i64, String)>,
    differences: &mut Differences,
) {
    for (id, worth) in wanted {
        match stored.remove(&**id) {
            Some(row) => worth_it(row, worth, differences),
            None => differences.add(format!("invoice {id}, made by {by}, is not stored")),
        }
    }
    for (id, row) in stored {
        differences.add(format!("invoice {id} was not made by {by}: {row}"));
    }
}

/// An invoice here and at Stripe.
fn compare(row: &Value, told: &Value, differences: &mut Differences) {
    let what = format!("invoice {}", text(row, "/stripe_invoice_id"));
    let (here, there) = (text(row, "/status"), text(told, "/status"));
    let open = ["open", "failed", "action_required"].contains(&here);
    if (open && there != "open") || (!open && here != there) {
        differences.add(format!("{what} is {here}, and {there} at Stripe"));
    }
    let amounts = (number(row, "/amount_due"), number(told, "/amount_due"));
    differences.same(format!("{what}'s amount"), amounts.0, amounts.1);
    let there = text(told, "/currency").to_uppercase();
    differences.same(format!("{what}'s currency"), text(row, "/currency"), &there);
    let items = row["items"].as_array().into_iter().flatten();
    let items: i64 = items.map(|item| number(item, "/amount")).sum();
    differences.same(format!("{what}'s items"), items, amounts.1);
}

fn worth_it(row: &Value, (amount, currency): &(i64, String), differences: &mut Differences) {
    let seen = format!("{} {}", number(row, "/amount_due"), text(row, "/currency"));
    let what = format!("invoice {}", text(row, "/invoice_id"));
    differences.same(what, seen, format!("{amount} {currency}"));
}

fn by<'a>(rows: &'a [Value], path: &str) -> BTreeMap<&'a str, &'a Value> {
    rows.iter().map(|row| (text(row, path), row)).collect()
}
