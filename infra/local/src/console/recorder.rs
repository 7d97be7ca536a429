//! What the parts of the stack tell of what happens in them: each hook takes a lock for a moment and
//! notes a span. Nobody waits for a recorder, and the stack is no different without one.
//!
//! Requests, events and messages are known by their ids. A call of AWS tells by its trace header
//! whose invocation it is, one of a vendor by its path ([`witness`](super::witness)); an invocation
//! tells by its payload what it follows from. Of several messages in one invocation a call belongs to
//! those whose ids are in it, or where none is to one of each flow.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::answer::{Answer, describe};
use super::asked::Asked;
use super::causes::{self, Told};
use super::flows::{Flows, Kind, Outcome, Place, Span};
use super::noted::{Noted, of_status};
use super::running::{Below, Part, Running, State, apart};
use crate::aws::sqs::queue::Message;
use crate::clock::Clock;
use crate::lambda::{InvokeOutput, trace};
use crate::stack::STACK_NAME;

/// The recorder of a stack; a cheap handle.
#[derive(Debug, Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

/// What an invocation is.
pub(crate) struct Invoked<'a> {
    /// The function's binary.
    pub(crate) function: &'a str,
    /// Its id.
    pub(crate) request_id: &'a str,
    /// The process that runs it.
    pub(crate) environment: &'a str,
    /// That was started for it.
    pub(crate) is_cold: bool,
    /// What it is given.
    pub(crate) payload: &'a [u8],
}

impl Recorder {
    /// One that has seen nothing.
    pub fn new(clock: Clock) -> Self {
        let inner = Inner {
            clock,
            state: Mutex::default(),
            revision: watch::Sender::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Sees every later change.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }

    /// Looks into what is remembered.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Flows) -> T) -> T {
        look(&self.lock().flows)
    }

    /// A request of the HTTP API.
    pub(crate) fn request(&self, id: &str, method: &str, path: &str) -> Noted {
        self.note(|state, now| {
            let title = format!("{method} {path}");
            let flow = state.flows.begin(id, title.clone(), now);
            let span = Span::new(Kind::Request, title, now);
            state.flows.add(flow, span).into_iter().collect()
        })
    }

    /// An invocation begins.
    pub(crate) fn invoked(&self, invoked: &Invoked<'_>) -> Noted {
        let causes = causes::of(invoked.payload);
        let key = trace::parent_of(invoked.request_id);
        self.note(|state, now| {
            let parts = causes.into_iter().filter_map(|cause| {
                let (below, received, message, ids) = state.place_of(cause, invoked, now);
                let mut span = Span::new(Kind::Function, invoked.function, now);
                span.attempt = received;
                span.note("request id", invoked.request_id);
                if invoked.is_cold {
                    span.note("start", "cold: the process was started for it");
                }
                let place = match below {
                    Below::Span(place) => state.flows.add_below(place, span),
                    Below::Flow(flow) => state.flows.add(flow, span),
                };
                let place = place?;
                Some(Part {
                    place,
                    message,
                    ids,
                })
            });
            let parts = apart(parts.collect());
            if parts.len() > 1 {
                let count = parts.len().to_string();
                for part in &parts {
                    if let Some(span) = state.flows.span(part.place) {
                        span.note("messages in this invocation", count.clone());
                    }
                }
            }
            let places = parts.iter().map(|it| it.place).collect();
            let running = Running {
                environment: invoked.environment.to_owned(),
                parts,
            };
            state.running.insert(key, running);
            places
        })
    }

    /// An invocation is over.
    pub(crate) fn returned(&self, mut noted: Noted, output: &InvokeOutput) {
        let key = trace::parent_of(&output.request_id);
        let answer: Answer = serde_json::from_slice(&output.payload).unwrap_or_default();
        noted.ended = true;
        self.change(|state, now| {
            let running = state.running.remove(&key);
            let parts = running.map(|it| it.parts).unwrap_or_default();
            for part in parts {
                let Some(span) = state.flows.span(part.place) else {
                    continue;
                };
                let outcome = match (output.function_error, answer.status_code) {
                    (Some(error), _) => {
                        span.note("error", describe(error, &output.payload));
                        Outcome::Failed
                    }
                    (None, Some(status)) => {
                        span.note("status", status.to_string());
                        of_status(status)
                    }
                    (None, None) if answer.has_failed(part.message.as_deref()) => {
                        span.note("error", "reported as failed, to be tried again");
                        Outcome::Failed
                    }
                    (None, None) => Outcome::Done,
                };
                span.end(outcome, now);
            }
        });
    }

    /// A function's call of AWS by a JSON protocol; nothing where it is nobody's.
    pub(crate) fn call(&self, headers: &HeaderMap, target: &str, body: &[u8]) -> Option<Noted> {
        let key = caller(headers)?;
        let Asked { what, commits } = Asked::of(target, body, &format!("{STACK_NAME}-"));
        let kind = match commits.len() {
            0 => Kind::Call,
            _ => Kind::Transaction,
        };
        let mut noted = self.called(&key, kind, &what, headers, body)?;
        let mut lock = self.lock();
        let now = self.inner.clock.now();
        for told in commits {
            if let Some(id) = &told.event_id {
                noted.events.push(id.clone());
                lock.commits(&noted.places, &told, now);
            }
        }
        Some(noted)
    }

    /// A function's call of S3.
    pub(crate) fn call_of_s3(&self, headers: &HeaderMap, what: &str) -> Option<Noted> {
        self.called(
            &caller(headers)?,
            Kind::Call,
            what,
            headers,
            what.as_bytes(),
        )
    }

    fn called(
        &self,
        key: &str,
        kind: Kind,
        what: &str,
        headers: &HeaderMap,
        text: &[u8],
    ) -> Option<Noted> {
        let (name, about) = what.split_once(' ').unwrap_or((what, ""));
        let attempt = header(headers, "amz-sdk-request")
            .and_then(|it| {
                it.split(';')
                    .find_map(|it| it.trim().strip_prefix("attempt="))
            })
            .and_then(|it| it.parse().ok());
        let noted = self.note(|state, now| {
            let Some(running) = state.running.get(key) else {
                return Vec::new();
            };
            let mut span = Span::new(kind, name, now);
            about.clone_into(&mut span.about);
            span.attempt = attempt.unwrap_or(1);
            let below = running.about(text);
            let add = below
                .into_iter()
                .map(|place| state.flows.add_below(place, span.clone()));
            add.flatten().collect()
        });
        (!noted.places.is_empty()).then_some(noted)
    }

    /// A function's call of a vendor; the function is told by the process that it runs in.
    pub(super) fn call_of_vendor(&self, environment: &str, call: &VendorCall<'_>) -> Option<Noted> {
        let key = call.idempotency_key.unwrap_or_default();
        let noted = self.note(|state, now| {
            let mut running = state.running.values_mut();
            let Some(running) = running.find(|it| it.environment == environment) else {
                return Vec::new();
            };
            let text = [call.body, b" ", key.as_bytes()].concat();
            running.learn(&text, key);
            let below = running.about(&text);
            let add = below.into_iter().map(|place| {
                let mut span = Span::new(Kind::Vendor, call.vendor, now);
                span.about = format!("{} {}", call.method, call.path);
                if !key.is_empty() {
                    span.note("idempotency key", key);
                }
                let flow = state.flows.flow(place.flow)?;
                let same = |it: &&Span| it.about == span.about && it.facts.starts_with(&span.facts);
                let before = flow.spans.iter().filter(same).count();
                if !key.is_empty() {
                    span.attempt += u32::try_from(before).unwrap_or_default();
                }
                state.flows.add_below(place, span)
            });
            add.flatten().collect()
        });
        (!noted.places.is_empty()).then_some(noted)
    }

    /// The bus has an event.
    pub(crate) fn on_bus(&self, event: &Value) {
        let Some(event) = event.as_object() else {
            return;
        };
        let told = Told::of(event);
        let Some(id) = &told.event_id else { return };
        self.change(|state, now| {
            let known = state.flows.event(id);
            let Some(place) = known.or_else(|| state.commits(&[], &told, now)) else {
                return;
            };
            let Some(span) = state.flows.span(place) else {
                return;
            };
            if span.outcome == Outcome::Running {
                span.end(Outcome::Done, now);
            } else {
                span.attempt += 1;
            }
        });
    }

    /// A queue has a message.
    pub(crate) fn sent(&self, queue: &str, message: &Message) {
        let told = Told::of_text(&message.body);
        let served = Noted::served();
        self.change(|state, now| {
            let span = queue_span(queue, message, now);
            let event = told.event_id.as_ref().and_then(|id| state.flows.event(id));
            let place = match (event, served.first()) {
                (Some(place), _) | (None, Some(&place)) => state.flows.add_below(place, span),
                (None, None) => {
                    let Some(id) = &told.correlation_id else {
                        return;
                    };
                    let flow = state.flow_of(id, &told, now);
                    state.flows.add(flow, span)
                }
            };
            if let Some(place) = place {
                state.flows.know_message(&message.message_id, place);
            }
        });
    }

    /// A queue gave a message up.
    pub(crate) fn given_up(&self, to: &str, message: &Message) {
        self.ends(&message.message_id, Outcome::Dead, |span| {
            let receives = message.receive_count.to_string();
            span.note("given up after receives", receives);
            span.note("lies in", short(to));
        });
    }

    /// A message is handled.
    pub(crate) fn deleted(&self, message: &Message) {
        self.ends(&message.message_id, Outcome::Done, |_| {});
    }

    /// A message was moved back, as a new one.
    pub(crate) fn redriven(&self, from: &str, queue: &str, message: &Message) {
        self.change(|state, now| {
            let Some(old) = state.flows.message(from) else {
                return;
            };
            if let Some(span) = state.flows.span(old) {
                span.outcome = Outcome::Redriven;
            }
            let mut span = queue_span(queue, message, now);
            "redriven".clone_into(&mut span.about);
            if let Some(place) = state.flows.add_below(old, span) {
                state.flows.know_message(&message.message_id, place);
            }
        });
    }

    fn ends(&self, message: &str, outcome: Outcome, tell: impl FnOnce(&mut Span)) {
        self.change(|state, now| {
            let place = state.flows.message(message);
            if let Some(span) = place.and_then(|it| state.flows.span(it)) {
                span.end(outcome, now);
                tell(span);
            }
        });
    }

    fn note(&self, begin: impl FnOnce(&mut State, Timestamp) -> Vec<Place>) -> Noted {
        Noted {
            places: self.change(begin),
            recorder: self.clone(),
            events: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.inner.clock.now();
        let changed = change(&mut self.lock(), now);
        self.inner
            .revision
            .send_modify(|it| *it = it.wrapping_add(1));
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no holder panics")
    }
}

/// A request to a vendor.
pub(super) struct VendorCall<'a> {
    pub(super) vendor: &'static str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// The invocation that a call of AWS comes from.
fn caller(headers: &HeaderMap) -> Option<String> {
    let mut parts = header(headers, "x-amzn-trace-id")?.split(';');
    parts.find_map(|it| it.strip_prefix("Parent=").map(str::to_owned))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn queue_span(queue: &str, message: &Message, now: Timestamp) -> Span {
    let mut span = Span::new(Kind::Queue, short(queue), now);
    span.note("message id", &*message.message_id);
    span
}

/// A queue's name without the stack's.
fn short(name: &str) -> &str {
    let rest = name.strip_prefix(STACK_NAME);
    rest.map_or(name, |rest| rest.trim_start_matches('-'))
}
