//! What was accepted, and is not there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Kind, Sent};
use crate::rows;
use crate::stack::Stack;

/// The customer of each university.
pub(super) async fn customers(stack: &Stack) -> Result<BTreeMap<String, String>, String> {
    let rows = rows::of(stack, "universities").await?;
    let both = rows.iter().map(|row| {
        let text = |field: &str| rows::text(row, field).to_owned();
        (text("/university_id"), text("/stripe_customer_id"))
    });
    Ok(both.collect())
}

/// Each thing that was accepted and is missing, in words.
pub(super) async fn missing(stack: &Stack, sent: &[Sent]) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    let accepted = |kind: Kind| {
        sent.iter()
            .filter(move |it| it.kind == kind && it.is_accepted())
    };

    let invoices = rows::of(stack, "invoices").await?;
    let invoices = texts(&invoices, "/stripe_invoice_id");
    for webhook in accepted(Kind::Webhook) {
        if !invoices.contains(webhook.mark.as_str()) {
            missing.push(format!("webhook of invoice {}: no invoice", webhook.mark));
        }
    }

    let activities = rows::of(stack, "activities").await?;
    let lines: BTreeSet<(&str, String)> = activities
        .iter()
        .filter(|line| rows::text(line, "/type") == "metric_update")
        .map(|line| {
            let value = line.pointer("/metadata/new_value").cloned();
            let value = value.unwrap_or_default().to_string();
            (rows::text(line, "/university_id"), value)
        })
        .collect();
    for sync in accepted(Kind::Sync) {
        if !lines.contains(&(sync.university.as_str(), sync.mark.clone())) {
            missing.push(format!(
                "metric {} of {}: no line in its history",
                sync.mark, sync.university
            ));
        }
    }

    // Repeats are counted, so that only their number can be told; a call that got no answer may
    // have been counted or not.
    let mut counted = BTreeMap::<&str, u64>::new();
    let alerts = rows::of(stack, "alerts").await?;
    for alert in alerts.iter().filter(|it| rows::text(it, "/type") == "load") {
        let count = u64::try_from(rows::number(alert, "/count")).unwrap_or_default();
        *counted
            .entry(rows::text(alert, "/university_id"))
            .or_default() += count;
    }
    let mut raised = BTreeMap::<&str, u64>::new();
    for alert in accepted(Kind::Alert) {
        *raised.entry(&alert.university).or_default() += 1;
    }
    for (university, raised) in raised {
        let counted = counted.get(university).copied().unwrap_or_default();
        if counted < raised {
            missing.push(format!(
                "alerts of {university}: {raised} accepted, {counted} counted"
            ));
        }
    }

    let outbox = rows::of(stack, "outbox").await?;
    let waiting = outbox.iter().filter(|it| it.get("pending").is_some());
    missing.extend(waiting.map(|it| format!("event {}: not relayed", rows::text(it, "/event_id"))));
    let told = texts(&activities, "/activity_id");
    for event in &outbox {
        let id = rows::text(event, "/event_id");
        if !told.contains(id) {
            missing.push(format!("event {id}: no line in the history"));
        }
    }
    let dead = stack.sqs.dead_letters();
    missing.extend(
        dead.iter()
            .map(|(queue, bodies)| format!("{queue}: {} dead letters", bodies.len())),
    );
    Ok(missing)
}

fn texts<'a>(rows: &'a [Value], path: &str) -> BTreeSet<&'a str> {
    rows.iter().map(|row| rows::text(row, path)).collect()
}
