//! What is under way: which invocation does what for which flow, and where what begins belongs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::causes::{Cause, Told};
use super::flows::{Flows, Kind, Place, Span};
use super::recorder::Invoked;

/// The flows, and what is under way in them.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) flows: Flows,
    /// By the trace's parent.
    pub(super) running: HashMap<String, Running>,
}

/// An invocation under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) environment: String,
    pub(super) parts: Vec<Part>,
}

/// What an invocation does for one request, message or event.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) message: Option<String>,
    /// What only this part is about.
    pub(super) ids: Vec<String>,
}

/// Where a span goes.
pub(super) enum Below {
    Span(Place),
    Flow(u64),
}

/// Where an invocation belongs, the how-manieth it is, for which message, and what that is about.
pub(super) type Found = (Below, u32, Option<String>, Vec<String>);

impl State {
    /// Where an invocation belongs that was made for this, how often it was, and what is known of it.
    pub(super) fn place_of(
        &mut self,
        cause: Cause,
        invoked: &Invoked<'_>,
        now: Timestamp,
    ) -> Found {
        match cause {
            Cause::Request(id) => {
                let below = match self.flows.of(&id) {
                    Some(flow) => Below::Span(Place { flow, span: 0 }),
                    None => Below::Flow(self.by_hand(invoked, Some(&id), now)),
                };
                (below, 1, None, Vec::new())
            }
            Cause::Message { id, received, told } => {
                let below = match self.flows.message(&id) {
                    Some(place) => Below::Span(place),
                    None => Below::Flow(self.by_hand(invoked, told.correlation_id.as_deref(), now)),
                };
                let ids = told.ids.into_iter().chain([id.clone()]).collect();
                (below, received, Some(id), ids)
            }
            Cause::Row(told) => {
                let id = told.event_id.clone().unwrap_or_default();
                let place = self
                    .flows
                    .event(&id)
                    .or_else(|| self.commits(&[], &told, now));
                let below = match place {
                    Some(place) => Below::Span(place),
                    None => Below::Flow(self.by_hand(invoked, None, now)),
                };
                (below, 1, None, told.ids)
            }
            Cause::Run(at) => {
                let title = match at {
                    Some(at) => format!("{} for {at}", invoked.function),
                    None => format!("Invoke {}", invoked.function),
                };
                let flow = self.flows.begin(invoked.request_id, title, now);
                (Below::Flow(flow), 1, None, Vec::new())
            }
        }
    }

    /// A flow of an invocation that nothing in the stack asked for.
    fn by_hand(&mut self, invoked: &Invoked<'_>, carries: Option<&str>, now: Timestamp) -> u64 {
        if let Some(flow) = self.flows.of(invoked.request_id) {
            return flow;
        }
        let title = format!("Invoke {}", invoked.function);
        let flow = self.flows.begin(invoked.request_id, title, now);
        if let Some(id) = carries {
            self.flows.lead(id, flow);
        }
        flow
    }

    /// The flow of a correlation id, begun where there is none.
    pub(super) fn flow_of(&mut self, id: &str, told: &Told, now: Timestamp) -> u64 {
        let title = || told.kind.clone().unwrap_or_else(|| "Message".to_owned());
        let known = self.flows.of(id);
        known.unwrap_or_else(|| self.flows.begin(id, title(), now))
    }

    /// Notes an event that one of these calls commits, or that is only now heard of.
    pub(super) fn commits(
        &mut self,
        calls: &[Place],
        told: &Told,
        now: Timestamp,
    ) -> Option<Place> {
        let id = told.event_id.as_deref()?;
        let carried = told.correlation_id.as_deref().unwrap_or(id);
        if let Some(call) = calls.first() {
            self.flows.also(carried, call.flow);
        }
        let flow = self.flow_of(carried, told, now);
        let mut span = Span::new(Kind::Event, told.kind.clone().unwrap_or_default(), now);
        span.note("event id", id);
        let call = calls.iter().find(|it| it.flow == flow);
        let place = match call {
            Some(call) => self.flows.add_below(*call, span),
            None => self.flows.add(flow, span),
        }?;
        self.flows.know_event(id, place);
        Some(place)
    }
}

impl Running {
    /// The parts that a text is about; where it names none, one of each flow, since a call is one.
    pub(super) fn about(&self, text: &[u8]) -> Vec<Place> {
        let named = self.named(text);
        if !named.is_empty() {
            return named;
        }
        let mut flows = BTreeSet::new();
        let places = self.parts.iter().map(|it| it.place);
        places.filter(|it| flows.insert(it.flow)).collect()
    }

    /// What a call says of one part holds for later calls that have only an id of this one's key:
    /// of the invoice, say, that is made for a message and is not in it.
    pub(super) fn learn(&mut self, text: &[u8], key: &str) {
        let [about] = self.named(text)[..] else {
            return;
        };
        for id in key.split(':').filter(|it| Uuid::try_parse(it).is_ok()) {
            let mut known = self.parts.iter().flat_map(|it| &it.ids);
            let is_new = !known.any(|known| known == id);
            let part = self.parts.iter_mut().find(|it| it.place == about);
            if let Some(part) = part.filter(|_| is_new) {
                part.ids.push(id.to_owned());
            }
        }
    }

    /// The parts, of several, whose ids are in a text.
    fn named(&self, text: &[u8]) -> Vec<Place> {
        if self.parts.len() < 2 {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(text);
        let named = |part: &&Part| part.ids.iter().any(|id| text.contains(id.as_str()));
        let named = self.parts.iter().filter(named);
        named.map(|it| it.place).collect()
    }
}

/// Leaves each part the ids that no other has.
pub(super) fn apart(mut parts: Vec<Part>) -> Vec<Part> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in parts.iter().flat_map(|it| &it.ids) {
        *counts.entry(id.clone()).or_default() += 1;
    }
    for part in &mut parts {
        part.ids.retain(|id| counts.get(id) == Some(&1));
    }
    parts
}
