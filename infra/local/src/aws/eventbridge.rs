//! EventBridge: PutEvents, rules, and their targets.

use std::sync::Arc;

use jiff::Timestamp;
use quamina::Quamina;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Identity;
use super::endpoint::ServiceError;
use super::sqs::Sqs;
use super::sqs::queue::NewMessage;
use crate::clock::Clock;
use crate::console::recorder::Recorder;
use crate::template::model::{Bus, Rule, RuleTarget};

/// Entries of one call, at most.
const MOST_ENTRIES: usize = 10;

/// Bytes of one call, at most.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html>
const MOST_BYTES: usize = 1024 * 1024;

/// The buses of the stack; a cheap handle.
#[derive(Clone)]
pub struct EventBridge {
    inner: Arc<Inner>,
}

struct Inner {
    buses: Vec<Bus>,
    rules: Vec<LoadedRule>,
    sqs: Sqs,
    identity: Identity,
    clock: Clock,
    recorder: Recorder,
}

struct LoadedRule {
    rule: Rule,
    pattern: Quamina<()>,
}

/// A rule cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("the pattern of rule {rule} is not one that the stack can match: {reason}")]
pub struct PatternError {
    /// Its logical id.
    pub rule: String,
    /// What is not known.
    pub reason: String,
}

/// A pattern, checked.
pub(crate) fn pattern(json: &str) -> Result<Quamina<()>, String> {
    let mut matcher = Quamina::new();
    matcher
        .add_pattern((), json)
        .map_err(|error| error.to_string())?;
    Ok(matcher)
}

impl EventBridge {
    /// The buses and rules of the template.
    pub fn new(
        buses: &[Bus],
        rules: &[Rule],
        sqs: Sqs,
        identity: Identity,
        clock: Clock,
        recorder: Recorder,
    ) -> Result<Self, PatternError> {
        let rules = rules
            .iter()
            .map(|rule| {
                let pattern =
                    pattern(&rule.pattern.to_string()).map_err(|reason| PatternError {
                        rule: rule.logical_id.clone(),
                        reason,
                    })?;
                Ok(LoadedRule {
                    rule: rule.clone(),
                    pattern,
                })
            })
            .collect::<Result<_, _>>()?;
        let inner = Inner {
            buses: buses.to_vec(),
            rules,
            sqs,
            identity,
            clock,
            recorder,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Serves one call of the JSON protocol.
    pub fn serve(&self, operation: &str, body: &Value) -> Result<Value, ServiceError> {
        match operation {
            "PutEvents" => self.put_events(body),
            "ListEventBuses" => {
                let buses = self
                    .inner
                    .buses
                    .iter()
                    .map(|bus| json!({ "Name": bus.name, "Arn": self.arn(&bus.name) }));
                Ok(json!({ "EventBuses": buses.collect::<Vec<_>>() }))
            }
            "ListRules" => {
                let bus = body["EventBusName"].as_str().unwrap_or("default");
                let rules = self
                    .inner
                    .rules
                    .iter()
                    .filter(|it| it.rule.bus == bus)
                    .map(|it| {
                        json!({
                            "Name": it.rule.logical_id,
                            "EventBusName": it.rule.bus,
                            "EventPattern": it.rule.pattern.to_string(),
                            "State": "ENABLED",
                        })
                    });
                Ok(json!({ "Rules": rules.collect::<Vec<_>>() }))
            }
            other => Err(ServiceError::unknown_operation("AWSEvents", other)),
        }
    }

    fn put_events(&self, body: &Value) -> Result<Value, ServiceError> {
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        if entries.is_empty() || entries.len() > MOST_ENTRIES {
            let message = format!(
                "1 validation error detected: Value at 'entries' failed to satisfy constraint: \
                 Member must have length between 1 and {MOST_ENTRIES}"
            );
            return Err(ServiceError::new("ValidationException", message));
        }
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        if bytes > MOST_BYTES {
            let message = "Total size of the entries in the request is over the limit.";
            return Err(ServiceError::new("ValidationException", message));
        }
        let results: Vec<Value> = entries.iter().map(|entry| self.put(entry)).collect();
        let failed = results
            .iter()
            .filter(|result| result.get("ErrorCode").is_some())
            .count();
        Ok(json!({ "FailedEntryCount": failed, "Entries": results }))
    }

    /// One entry: its event id, or why it was not taken.
    fn put(&self, entry: &Value) -> Value {
        let refused =
            |code: &str, message: &str| json!({ "ErrorCode": code, "ErrorMessage": message });
        let Ok(entry) = Entry::deserialize(entry) else {
            return refused("InvalidArgument", "The entry cannot be read.");
        };
        for (name, value) in [
            ("Source", &entry.source),
            ("DetailType", &entry.detail_type),
            ("Detail", &entry.detail),
        ] {
            if value.is_empty() {
                let message = format!(
                    "Parameter {name} is not valid. Reason: {name} is a required argument."
                );
                return refused("InvalidArgument", &message);
            }
        }
        let trace = entry.trace_header.as_deref();
        if trace.is_some_and(|header| !(1..=500).contains(&header.len())) {
            let message =
                "Parameter TraceHeader is not valid. Reason: its length is from 1 to 500.";
            return refused("InvalidArgument", message);
        }
        let Ok(detail @ Value::Object(_)) = serde_json::from_str::<Value>(&entry.detail) else {
            return refused("MalformedDetail", "Detail is malformed.");
        };
        self.inner.recorder.on_bus(&detail);
        let bus = entry.event_bus_name.rsplit('/').next().unwrap_or_default();
        let event_id = Uuid::new_v4().to_string();
        let event = json!({
            "version": "0",
            "id": event_id,
            "detail-type": entry.detail_type,
            "source": entry.source,
            "account": self.inner.identity.account,
            "time": self.time(),
            "region": self.inner.identity.region,
            "resources": entry.resources,
            "detail": detail,
        });
        let text = event.to_string();
        for loaded in self
            .inner
            .rules
            .iter()
            .filter(|loaded| loaded.rule.bus == bus)
        {
            match loaded.pattern.has_matches(text.as_bytes()) {
                Ok(true) => {
                    for target in &loaded.rule.targets {
                        let trace = entry.trace_header.as_deref();
                        self.deliver(&loaded.rule, target, &event, trace);
                    }
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(rule = loaded.rule.logical_id, %error, "an event could not be matched");
                }
            }
        }
        json!({ "EventId": event_id })
    }

    /// The trace goes on with the message, not in it.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-related-services.html>
    fn deliver(&self, rule: &Rule, target: &RuleTarget, event: &Value, trace: Option<&str>) {
        let input = match target.input_path.as_deref() {
            None | Some("$") => Some(event),
            Some(path) => event.pointer(&path.trim_start_matches('$').replace('.', "/")),
        };
        let body = input.unwrap_or(&Value::Null).to_string();
        let sent = self.inner.sqs.send(
            &target.queue,
            NewMessage {
                body,
                trace_header: trace.map(str::to_owned),
                ..NewMessage::default()
            },
        );
        let Err(error) = sent else { return };
        tracing::error!(rule = rule.logical_id, target = target.id, %error, "an event was not delivered");
        if let Some(queue) = &target.dead_letter_queue {
            // <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>
            let dead = NewMessage {
                body: event.to_string(),
                ..NewMessage::default()
            }
            .with_texts([
                ("RULE_ARN", self.rule_arn(rule)),
                ("TARGET_ARN", self.inner.sqs.arn(&target.queue)),
                ("ERROR_CODE", "NO_RESOURCE".to_owned()),
                ("ERROR_MESSAGE", error.to_string()),
                ("RETRY_ATTEMPTS", "0".to_owned()),
            ]);
            if let Err(error) = self.inner.sqs.send(queue, dead) {
                tracing::error!(rule = rule.logical_id, queue, %error, "nor to its dead-letter queue");
            }
        }
    }

    fn arn(&self, bus: &str) -> String {
        let Identity {
            region, account, ..
        } = &self.inner.identity;
        format!("arn:aws:events:{region}:{account}:event-bus/{bus}")
    }

    fn rule_arn(&self, rule: &Rule) -> String {
        let Identity {
            region, account, ..
        } = &self.inner.identity;
        let (bus, id) = (&rule.bus, &rule.logical_id);
        format!("arn:aws:events:{region}:{account}:rule/{bus}/{id}")
    }

    fn time(&self) -> String {
        let now = self.inner.clock.now();
        Timestamp::from_second(now.as_second())
            .unwrap_or(now)
            .to_string()
    }
}

fn entry_bytes(entry: &Value) -> usize {
    ["Source", "DetailType", "Detail"]
        .iter()
        .map(|name| entry[*name].as_str().map_or(0, str::len))
        .sum()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    source: String,
    detail_type: String,
    detail: String,
    event_bus_name: String,
    resources: Vec<String>,
    trace_header: Option<String>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            source: String::new(),
            detail_type: String::new(),
            detail: String::new(),
            event_bus_name: "default".to_owned(),
            resources: Vec::new(),
            trace_header: None,
        }
    }
}
