//! The objects, in the newer shape, and the events that their changes raise.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::params::Params;
use super::shape::Shape;

/// Everything that Stripe knows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    objects: BTreeMap<String, Stored>,
    next: u64,
    /// Answers by idempotency key.
    pub(super) idempotency: BTreeMap<String, Idempotent>,
    /// The API version that webhooks are made in.
    #[serde(default)]
    pub(super) webhook_shape: Shape,
    /// Events that were raised and are not handed on yet.
    #[serde(skip)]
    news: Vec<Value>,
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
            .ok_or_else(|| ApiError::no_such(&kind.replace('_', " "), id, param))
    }

    /// Puts an object; a new one goes last.
    pub(super) fn put(&mut self, object: Value) {
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        if let Some(stored) = self.objects.get_mut(&id) {
            stored.object = object;
        } else {
            self.next += 1;
            self.objects.insert(
                id,
                Stored {
                    order: self.next,
                    object,
                },
            );
        }
    }

    /// Every object of a kind, oldest first.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<Value> {
        let mut found: Vec<&Stored> = self
            .objects
            .values()
            .filter(|stored| stored.object["object"] == kind)
            .collect();
        found.sort_by_key(|stored| stored.order);
        found
            .into_iter()
            .map(|stored| stored.object.clone())
            .collect()
    }

    /// A page of a list: newest first, `limit`, `starting_after`, and filters by equality.
    pub(super) fn list(
        &self,
        kind: &str,
        url: &str,
        mut params: Params,
        filters: &[&str],
    ) -> Result<Value, ApiError> {
        let limit = params.integer("limit")?.unwrap_or(10);
        if !(1..=100).contains(&limit) {
            return Err(ApiError::coded(
                "parameter_invalid_integer",
                Some("limit"),
                "limit must be from 1 to 100",
            ));
        }
        let limit = usize::try_from(limit).unwrap_or(10);
        let after = params.text("starting_after");
        let mut found = self.of_kind(kind);
        found.reverse();
        found.retain(|object| object["deleted"] != true);
        for name in filters {
            if let Some(wanted) = params.text(name) {
                found.retain(|object| filtered(object, name) == Some(wanted.as_str()));
            }
        }
        params.finish()?;
        if let Some(after) = after {
            let at = found
                .iter()
                .position(|object| object["id"] == after.as_str());
            let at = at.ok_or_else(|| ApiError::no_such(kind, &after, Some("starting_after")))?;
            found.drain(..=at);
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": found }))
    }

    /// Raises an event about `object`; `before` is the object as it was, for an update.
    pub(super) fn raise(&mut self, kind: &str, object: &Value, before: Option<&Value>, now: i64) {
        let mut data = json!({ "object": object });
        if let Some(before) = before {
            data["previous_attributes"] = changed(before, object);
        }
        let event = json!({
            "id": Self::new_id("evt"),
            "object": "event",
            "type": kind,
            "created": now,
            "livemode": false,
            "pending_webhooks": 1,
            "request": { "id": Value::Null, "idempotency_key": Value::Null },
            "data": data,
        });
        self.put(event.clone());
        self.news.push(event);
    }

    /// The events raised since the last call.
    pub(super) fn take_news(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.news)
    }
}

fn filtered<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let moved = (name == "subscription")
        .then(|| object.pointer("/parent/subscription_details/subscription"))
        .flatten();
    moved.unwrap_or(&object[name]).as_str()
}

/// The attributes that changed, with their old values.
fn changed(before: &Value, after: &Value) -> Value {
    let mut changed = Map::new();
    for (name, old) in before.as_object().into_iter().flatten() {
        if after.get(name) != Some(old) {
            changed.insert(name.clone(), old.clone());
        }
    }
    Value::Object(changed)
}
