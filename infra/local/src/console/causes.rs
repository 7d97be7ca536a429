//! What an invocation, a message or an event follows from, as far as its JSON tells.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// What an invocation was made for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A request of the HTTP API, by its id.
    Request(String),
    /// A message, with how often it was received.
    Message {
        id: String,
        received: u32,
        told: Told,
    },
    /// A row of the outbox.
    Row(Told),
    /// A schedule, and for when; or whoever invokes by hand.
    Run(Option<String>),
}

/// What the JSON of an event, or of another message of ours, says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) event_id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) correlation_id: Option<String>,
    /// Every id in it: what else names one of them is probably about it.
    pub(super) ids: Vec<String>,
}

impl Told {
    /// Of a message's body; nothing where it is not a JSON object.
    pub(super) fn of_text(text: &str) -> Self {
        serde_json::from_str(text).map_or_else(|_| Self::default(), |it| Self::of(&it))
    }

    /// Of an envelope, or of EventBridge's event around it.
    pub(super) fn of(fields: &Map<String, Value>) -> Self {
        if let Some(detail) = fields.get("detail").and_then(Value::as_object) {
            return Self::of(detail);
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let ids = fields.iter().filter(|(name, _)| name.ends_with("_id"));
        Self {
            event_id: text("event_id"),
            kind: text("type"),
            correlation_id: text("correlation_id"),
            ids: ids
                .filter_map(|(_, id)| id.as_str().map(str::to_owned))
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Records", borrow, default)]
    records: Vec<Record<'a>>,
    #[serde(rename = "requestContext")]
    request: Option<RequestContext>,
    time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    message_id: Option<String>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    attributes: Option<Attributes>,
    dynamodb: Option<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    new_image: Option<BTreeMap<String, Value>>,
}

/// What a webhook says of itself; each is empty where it says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Webhook {
    /// What it tells of: an event's type, or a metric.
    pub(super) about: String,
    /// The request that caused it, by the vendor's id.
    /// <https://docs.stripe.com/api/events/object#event_object-request>
    pub(super) caused_by: String,
}

impl Webhook {
    /// Of a request's body, whatever that is. Whoever sends it is not known yet: what is no name is
    /// not taken.
    pub(super) fn of(body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            #[serde(rename = "type")]
            kind: Option<String>,
            metric: Option<String>,
            request: Option<Cause>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Cause {
            Request { id: Option<String> },
            Other(IgnoredAny),
        }
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let request = match body.request {
            Some(Cause::Request { id }) => id,
            Some(Cause::Other(_)) | None => None,
        };
        Self {
            about: name(body.kind.or(body.metric)),
            caused_by: name(request),
        }
    }
}

fn name(text: Option<String>) -> String {
    let is_name = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let text = text.unwrap_or_default();
    if text.len() <= 60 && text.chars().all(is_name) {
        text
    } else {
        String::new()
    }
}

/// Of an invocation's payload.
pub(super) fn of(payload: &[u8]) -> Vec<Cause> {
    let Ok(payload) = serde_json::from_slice::<Payload<'_>>(payload) else {
        return vec![Cause::Run(None)];
    };
    if let Some(id) = payload.request.and_then(|it| it.request_id) {
        return vec![Cause::Request(id)];
    }
    if payload.records.is_empty() {
        return vec![Cause::Run(payload.time)];
    }
    payload.records.into_iter().filter_map(of_record).collect()
}

fn of_record(record: Record<'_>) -> Option<Cause> {
    if let Some(id) = record.message_id {
        let received = record
            .attributes
            .and_then(|it| it.approximate_receive_count?.parse().ok());
        return Some(Cause::Message {
            id,
            received: received.unwrap_or(1),
            told: Told::of_text(&record.body.unwrap_or_default()),
        });
    }
    let image = record.dynamodb?.new_image?;
    Some(Cause::Row(Told::of_text(
        image.get("detail")?["S"].as_str()?,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(payload: Value, expect: &[Cause]) {
        assert_eq!(of(payload.to_string().as_bytes()), expect, "{payload}");
    }

    fn envelope() -> Value {
        json!({
            "event_id": "01J", "type": "UniversityCreated", "correlation_id": "r-1",
            "university_id": null, "data": { "subscription_id": "not this" },
        })
    }

    fn told() -> Told {
        let text = |it: &str| Some(it.to_owned());
        Told {
            event_id: text("01J"),
            kind: text("UniversityCreated"),
            correlation_id: text("r-1"),
            ids: vec!["r-1".to_owned(), "01J".to_owned()],
        }
    }

    #[test]
    fn payloads_tell_what_they_follow_from() {
        let request = json!({ "requestContext": { "requestId": "r-1" }, "body": "x" });
        check(request, &[Cause::Request("r-1".to_owned())]);
        let job = json!({ "time": "2026-01-01T00:00:00Z" });
        check(job, &[Cause::Run(Some("2026-01-01T00:00:00Z".to_owned()))]);
        check(json!([1]), &[Cause::Run(None)]);
        let text = envelope().to_string();
        let message = json!({ "Records": [
            { "messageId": "m", "body": text, "attributes": { "ApproximateReceiveCount": "2" } },
            { "messageId": "n", "body": "not JSON" },
        ] });
        let expect = [
            Cause::Message {
                id: "m".to_owned(),
                received: 2,
                told: told(),
            },
            Cause::Message {
                id: "n".to_owned(),
                received: 1,
                told: Told::default(),
            },
        ];
        check(message, &expect);
        let row = json!({ "Records": [
            { "dynamodb": { "NewImage": { "detail": { "S": envelope().to_string() } } } },
        ] });
        check(row, &[Cause::Row(told())]);
    }

    #[test]
    fn a_webhook_says_what_it_tells_of_and_what_caused_it() {
        let check = |body: Value, about: &str, caused_by: &str| {
            let webhook = Webhook::of(body.to_string().as_bytes());
            assert_eq!((&*webhook.about, &*webhook.caused_by), (about, caused_by));
        };
        let event = |id: Value| json!({ "type": "invoice.paid", "request": { "id": id } });
        check(event(json!("req_1")), "invoice.paid", "req_1");
        check(event(json!(null)), "invoice.paid", "");
        check(event(json!("<a name>")), "invoice.paid", "");
        check(event(json!("r".repeat(61))), "invoice.paid", "");
        // Before 2017 it was the id alone.
        let older = json!({ "type": "invoice.paid", "request": "req_1" });
        check(older, "invoice.paid", "");
        check(json!({ "metric": "storage" }), "storage", "");
        check(json!([1]), "", "");
    }

    #[test]
    fn the_bus_puts_an_event_into_another() {
        let around = json!({ "id": "b", "detail": envelope() });
        assert_eq!(Told::of_text(&around.to_string()), told());
    }
}
