//! The objects, in the newer shape, and the events that their changes raise.
//!
//! A change is whole or nothing: what a request did before it was refused is taken back
//! ([`State::undo`]). Lists are answered from indexes, so that a simulation of years stays quick.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::payment_methods::PaymentMethod;
use super::shape::Shape;

/// Events can be retrieved for 30 days. <https://docs.stripe.com/api/events>
const EVENTS_ARE_KEPT: i64 = 30 * 86_400;

/// How long an idempotency key is remembered, seconds.
/// <https://docs.stripe.com/api/idempotent_requests>
const KEYS_ARE_KEPT: i64 = 24 * 3600;

/// What lists are narrowed by; none of it changes once an object is there.
const INDEXED: [&str; 5] = [
    "customer",
    "subscription",
    "invoice",
    "payment_intent",
    "charge",
];

/// Everything that Stripe knows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    objects: BTreeMap<String, Stored>,
    next: u64,
    /// Answers by idempotency key.
    idempotency: BTreeMap<String, Idempotent>,
    /// The API version that webhooks are made in.
    #[serde(default)]
    pub(super) webhook_shape: Shape,
    /// How payment methods behave, by their ids.
    #[serde(default)]
    pub(super) methods: BTreeMap<String, PaymentMethod>,
    /// Ids in the order of creation: of a kind, and of a kind with a field's value.
    #[serde(skip)]
    index: BTreeMap<String, BTreeMap<u64, String>>,
    /// What a change replaced.
    #[serde(skip)]
    journal: Vec<(String, Option<Stored>)>,
    /// Events that were raised and are not handed on yet.
    #[serde(skip)]
    news: Vec<Value>,
    /// Which request changes it now; none where Stripe itself does.
    #[serde(skip)]
    asked: Option<Asker>,
}

/// A request of the API, as the events that it causes name it.
/// <https://docs.stripe.com/api/events/object#event_object-request>
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Asker {
    pub(super) id: Option<String>,
    pub(super) idempotency_key: Option<String>,
}

/// An object and its place in the order of creation.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    order: u64,
    object: Value,
}

/// A request that carried an idempotency key, and what it was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Idempotent {
    pub(super) request: String,
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) at: i64,
    /// The id of the request that was carried out.
    #[serde(default)]
    pub(super) request_id: String,
}

impl State {
    /// An id with Stripe's prefix.
    pub(super) fn new_id(prefix: &str) -> String {
        let random: String = rand::rng()
            .sample_iter(&Alphanumeric)
            .take(24)
            .map(char::from)
            .collect();
        format!("{prefix}_{random}")
    }

    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.objects.get(id).map(|stored| &stored.object)
    }

    /// The object `id` of this kind.
    pub(super) fn find(
        &self,
        kind: &str,
        id: &str,
        param: Option<&str>,
    ) -> Result<Value, ApiError> {
        self.get(id)
            .filter(|object| object["object"] == kind && object["deleted"] != true)
            .cloned()
            .ok_or_else(|| ApiError::no_such(kind, id, param))
    }

    /// Puts an object; a new one goes last.
    pub(super) fn put(&mut self, object: Value) {
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        let order = self.order(&id).unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        let before = self.swap(&id, Some(Stored { order, object }));
        self.journal.push((id, before));
    }

    /// An object's place in the order of creation.
    pub(super) fn order(&self, id: &str) -> Option<u64> {
        self.objects.get(id).map(|stored| stored.order)
    }

    pub(super) fn count(&self, kind: &str) -> usize {
        self.index.get(kind).map_or(0, BTreeMap::len)
    }

    /// Objects of a kind, perhaps with this value of an indexed field, oldest first.
    pub(super) fn of_kind(
        &self,
        kind: &str,
        by: Option<(&str, &str)>,
    ) -> impl DoubleEndedIterator<Item = &Value> {
        self.before(kind, by, u64::MAX)
    }

    /// The same, only those that were created before this place in the order.
    pub(super) fn before(
        &self,
        kind: &str,
        by: Option<(&str, &str)>,
        order: u64,
    ) -> impl DoubleEndedIterator<Item = &Value> {
        let ids = self.index.get(&key(kind, by));
        ids.into_iter()
            .flat_map(move |ids| ids.range(..order))
            .filter_map(|(_, id)| self.get(id))
    }

    /// Whether objects can be had by the value of this field.
    pub(super) fn is_indexed(field: &str) -> bool {
        INDEXED.contains(&field)
    }

    /// Raises an event about `object`; `before` is the object as it was, for an update.
    pub(super) fn raise(&mut self, kind: &str, object: &Value, before: Option<&Value>, now: i64) {
        let mut data = json!({ "object": object });
        if let Some(before) = before {
            data["previous_attributes"] = replaced(before, object);
        }
        let event = json!({
            "id": Self::new_id("evt"),
            "object": "event",
            "type": kind,
            "created": now,
            "livemode": false,
            "pending_webhooks": 1,
            "request": self.asked.clone().unwrap_or_default(),
            // As text, which takes a fifth of the memory; `Shape` reads it.
            "data": data.to_string(),
        });
        self.put(event.clone());
        self.news.push(event);
    }

    /// Until the next [`settle`](Self::settle), what happens is caused by this request.
    pub(super) fn asked_by(&mut self, asker: Asker) {
        self.asked = Some(asker);
    }

    /// Takes back what was done since the last [`settle`](Self::settle).
    pub(super) fn undo(&mut self) {
        self.news.clear();
        while let Some((id, before)) = self.journal.pop() {
            self.swap(&id, before);
        }
    }

    /// Keeps what was done, and forgets events that are too old; the events that were raised.
    pub(super) fn settle(&mut self, now: i64) -> Vec<Value> {
        self.journal.clear();
        self.asked = None;
        while let Some(id) = self.oldest_event_before(now - EVENTS_ARE_KEPT) {
            self.swap(&id, None);
        }
        std::mem::take(&mut self.news)
    }

    fn oldest_event_before(&self, time: i64) -> Option<String> {
        let event = self.of_kind("event", None).next()?;
        let too_old = event["created"].as_i64()? < time;
        too_old.then(|| event["id"].as_str().map(str::to_owned))?
    }

    /// What a request with this idempotency key was answered.
    pub(super) fn answered(&self, key: &str, now: i64) -> Option<&Idempotent> {
        self.idempotency
            .get(key)
            .filter(|first| now - first.at < KEYS_ARE_KEPT)
    }

    /// Remembers an answer.
    pub(super) fn remember(&mut self, key: &str, first: Idempotent) {
        let now = first.at;
        self.idempotency.insert(key.to_owned(), first);
        // Every thousandth looks for those that are over, so that each costs little.
        if self.idempotency.len().is_multiple_of(1000) {
            self.idempotency
                .retain(|_, first| now - first.at < KEYS_ARE_KEPT);
        }
    }

    /// Builds the indexes of a state that was read.
    pub(super) fn reindex(&mut self) {
        self.index.clear();
        for (id, stored) in &self.objects {
            for key in keys(&stored.object) {
                let ids = self.index.entry(key).or_default();
                ids.insert(stored.order, id.clone());
            }
        }
    }

    /// Replaces what is stored under an id, and keeps the indexes right.
    fn swap(&mut self, id: &str, next: Option<Stored>) -> Option<Stored> {
        let before = self.objects.remove(id);
        if let Some(before) = &before {
            for key in keys(&before.object) {
                if let Some(ids) = self.index.get_mut(&key) {
                    ids.remove(&before.order);
                }
            }
        }
        if let Some(next) = next {
            for key in keys(&next.object) {
                let ids = self.index.entry(key).or_default();
                ids.insert(next.order, id.to_owned());
            }
            self.objects.insert(id.to_owned(), next);
        }
        before
    }
}

/// The value of a field that a list is filtered by, wherever the newer shape has it.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let moved = match (name, object["object"].as_str()?) {
        ("subscription", "invoice") => "/parent/subscription_details/subscription",
        ("payment_intent", "invoice_payment") => "/payment/payment_intent",
        _ => return object.get(name)?.as_str(),
    };
    object.pointer(moved)?.as_str()
}

fn keys(object: &Value) -> Vec<String> {
    let kind = object["object"].as_str().unwrap_or_default();
    let by = INDEXED
        .iter()
        .filter_map(|name| Some((*name, field(object, name)?)));
    let mut keys: Vec<String> = by.map(|by| key(kind, Some(by))).collect();
    keys.push(key(kind, None));
    keys
}

fn key(kind: &str, by: Option<(&str, &str)>) -> String {
    by.map_or_else(
        || kind.to_owned(),
        |(name, value)| format!("{kind} {name}={value}"),
    )
}

/// The attributes that changed, with their old values.
fn replaced(before: &Value, after: &Value) -> Value {
    let mut replaced = Map::new();
    for (name, old) in before.as_object().into_iter().flatten() {
        if after.get(name) != Some(old) {
            replaced.insert(name.clone(), old.clone());
        }
    }
    Value::Object(replaced)
}
