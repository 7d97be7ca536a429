//! How flows are shown: as JSON, in milliseconds from their beginning.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::flows::{Flow, Flows, Kind, Outcome, Span};

/// A flow in a line.
pub(super) fn summary(flow: &Flow, now: Timestamp) -> Value {
    let there = || flow.spans.iter().filter(|it| !it.void);
    let count = |is: &dyn Fn(&Span) -> bool| there().filter(|it| is(it)).count();
    let ended_at = there().map(|it| it.ended_at.unwrap_or(now)).max();
    let mut events: Vec<&str> = there()
        .filter(|it| it.kind == Kind::Event)
        .map(|it| it.name.as_str())
        .collect();
    events.dedup();
    json!({
        "id": flow.id,
        "title": flow.title,
        "about": about(flow),
        "status": status(flow),
        "outcome": outcome(flow),
        "begun_at": flow.begun_at,
        "took_ms": milliseconds(flow.begun_at, ended_at.unwrap_or(flow.begun_at)),
        "only_reads": flow.only_reads(),
        "events": events,
        "vendor_calls": count(&|it| it.kind == Kind::Vendor),
        "functions": count(&|it| it.kind == Kind::Function),
        "retries": count(&|it| it.attempt > 1),
        "dead": count(&|it| it.outcome == Outcome::Dead),
        "spans": there().count(),
    })
}

/// A flow with all that is in it, and the flows before and after it.
pub(super) fn whole(flows: &Flows, number: u64, now: Timestamp) -> Option<Value> {
    let flow = flows.flow(number)?;
    let spans = flow.spans.iter().enumerate().filter(|(_, it)| !it.void);
    let spans = spans.map(|(at, span)| {
        let facts = span.facts.iter().map(|(name, value)| json!([name, value]));
        json!({
            "id": at,
            "parent": span.parent,
            "kind": span.kind,
            "name": span.name,
            "about": span.about,
            "outcome": span.outcome,
            "attempt": span.attempt,
            "at_ms": milliseconds(flow.begun_at, span.begun_at),
            "took_ms": span.ended_at.map(|it| milliseconds(span.begun_at, it)),
            "facts": facts.collect::<Vec<_>>(),
        })
    });
    let spans: Vec<Value> = spans.collect();
    let mut shown = summary(flow, now);
    shown["spans"] = spans.into();
    shown["left_out"] = flow.left_out.into();
    shown["also"] = json!(flow.also);
    let from = flows.causes(flow).map(|(from, call)| {
        let mut from = linked(from);
        from["call"] = json!(call.about);
        from
    });
    let led_to = flows.effects(number).map(|(to, call)| {
        let mut to = linked(to);
        to["span"] = call.into();
        to
    });
    shown["follows_from"] = from.collect();
    shown["led_to"] = led_to.collect();
    Some(shown)
}

/// A flow, as another one leads to it.
fn linked(flow: &Flow) -> Value {
    json!({
        "id": flow.id,
        "title": flow.title,
        "about": about(flow),
        "outcome": outcome(flow),
    })
}

/// What a webhook tells of.
fn about(flow: &Flow) -> &str {
    let request = flow.spans.first().filter(|it| it.kind == Kind::Request);
    request.map_or("", |it| it.about.as_str())
}

/// What it all came to.
fn outcome(flow: &Flow) -> &'static str {
    let there = || flow.spans.iter().filter(|it| !it.void);
    let any = |is: &dyn Fn(&Span) -> bool| there().any(is);
    let root = flow.spans.first();
    if any(&|it| it.outcome == Outcome::Dead) {
        return "dead";
    }
    if any(&|it| it.outcome == Outcome::Running) {
        return if any(&is_failed_work) {
            "retrying"
        } else {
            "running"
        };
    }
    match root.map(|it| it.outcome) {
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Refused) => "refused",
        _ if any(&is_failed_work) => "recovered",
        _ => "done",
    }
}

fn is_failed_work(span: &Span) -> bool {
    span.outcome == Outcome::Failed && matches!(span.kind, Kind::Function | Kind::Vendor)
}

/// What the request was answered.
fn status(flow: &Flow) -> Option<u16> {
    let root = flow.spans.first()?;
    let mut facts = root.facts.iter();
    let (_, status) = facts.find(|(name, _)| *name == "status")?;
    status.parse().ok()
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}
