//! What is remembered: the last flows, each with its spans. All of it in memory, and bounded.
//!
//! A flow is everything that follows from one request, webhook or scheduled run: what carries its
//! correlation id, and what was done on the way.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::links::Calls;

/// Flows that are remembered; those that only read go first.
pub(super) const MOST_FLOWS: usize = 300;

/// Spans of one flow; further ones are only counted.
pub(super) const MOST_SPANS: usize = 600;

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A request to the HTTP API.
    Request,
    /// A function's invocation.
    Function,
    /// A call of AWS that commits events with the change they tell of.
    Transaction,
    /// Any other call of AWS.
    Call,
    /// An event, from its commit until it is on the bus.
    Event,
    /// A message, from when it was sent until it is deleted.
    Queue,
    /// A call of Stripe, SendGrid, Pusher or a portal.
    Vendor,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It has not.
    Running,
    /// Well.
    Done,
    /// Whoever asked was at fault.
    Refused,
    /// Badly.
    Failed,
    /// A message that lies in a dead-letter queue.
    Dead,
    /// A message that lay there, and was moved back.
    Redriven,
}

/// Something that took time.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// What it follows from, by its place in the flow.
    pub(super) parent: Option<usize>,
    pub(super) kind: Kind,
    pub(super) name: String,
    /// The rest of what it is, in a few words.
    pub(super) about: String,
    pub(super) begun_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) outcome: Outcome,
    /// From 1.
    pub(super) attempt: u32,
    pub(super) facts: Vec<(&'static str, String)>,
    /// It was to be, and did not come to pass: an event of a transaction that was refused.
    pub(super) void: bool,
}

impl Span {
    pub(super) fn new(kind: Kind, name: impl Into<String>, begun_at: Timestamp) -> Self {
        Self {
            parent: None,
            kind,
            name: name.into(),
            about: String::new(),
            begun_at,
            ended_at: None,
            outcome: Outcome::Running,
            attempt: 1,
            facts: Vec::new(),
            void: false,
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome, at: Timestamp) {
        self.outcome = outcome;
        self.ended_at = Some(at);
    }

    pub(super) fn note(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }
}

/// What follows from one beginning.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// The correlation id, or the id of the invocation that began it.
    pub(super) id: String,
    /// Further correlation ids that are given on the way, as by a scheduled run.
    pub(super) also: Vec<String>,
    pub(super) title: String,
    pub(super) begun_at: Timestamp,
    pub(super) spans: Vec<Span>,
    pub(super) left_out: usize,
    /// The request that it says caused what it tells of, by the vendor's id.
    pub(super) caused_by: Option<String>,
    /// Messages, events and calls that lead here.
    keys: Vec<Key>,
}

impl Flow {
    /// Nothing came of it but an answer.
    pub(super) fn only_reads(&self) -> bool {
        self.title.starts_with("GET ") && !self.spans.iter().any(|it| it.kind == Kind::Event)
    }

    fn is_running(&self) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|it| !it.void && it.outcome == Outcome::Running)
    }
}

#[derive(Debug, Clone)]
enum Key {
    Message(String),
    Event(String),
    Call(String),
}

/// A span, by its flow and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) flow: u64,
    pub(super) span: usize,
}

/// The last flows, and what leads to them.
#[derive(Debug, Default)]
pub(super) struct Flows {
    last: u64,
    kept: BTreeMap<u64, Flow>,
    by_id: HashMap<String, u64>,
    messages: HashMap<String, Place>,
    events: HashMap<String, Place>,
    pub(super) calls: Calls,
}

impl Flows {
    /// Begins a flow, and forgets another where there are too many.
    pub(super) fn begin(&mut self, id: &str, title: String, at: Timestamp) -> u64 {
        if self.kept.len() >= MOST_FLOWS {
            self.forget_one();
        }
        self.last += 1;
        let flow = Flow {
            id: id.to_owned(),
            also: Vec::new(),
            title,
            begun_at: at,
            spans: Vec::new(),
            left_out: 0,
            caused_by: None,
            keys: Vec::new(),
        };
        self.kept.insert(self.last, flow);
        self.by_id.insert(id.to_owned(), self.last);
        self.last
    }

    /// Adds a span; none where the flow is full or forgotten.
    pub(super) fn add(&mut self, flow: u64, span: Span) -> Option<Place> {
        let found = self.kept.get_mut(&flow)?;
        if found.spans.len() == MOST_SPANS {
            found.left_out += 1;
            return None;
        }
        found.spans.push(span);
        let span = found.spans.len() - 1;
        Some(Place { flow, span })
    }

    /// The same, below another one.
    pub(super) fn add_below(&mut self, parent: Place, span: Span) -> Option<Place> {
        let span = Span {
            parent: Some(parent.span),
            ..span
        };
        self.add(parent.flow, span)
    }

    pub(super) fn span(&mut self, place: Place) -> Option<&mut Span> {
        self.kept.get_mut(&place.flow)?.spans.get_mut(place.span)
    }

    /// Newest first.
    pub(super) fn newest(&self) -> impl DoubleEndedIterator<Item = &Flow> {
        self.kept.values().rev()
    }

    pub(super) fn flow(&self, number: u64) -> Option<&Flow> {
        self.kept.get(&number)
    }

    /// The flow with this correlation id.
    pub(super) fn of(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// What carries this correlation id belongs to a flow, too, unless it leads somewhere already.
    pub(super) fn also(&mut self, id: &str, flow: u64) {
        if !self.by_id.contains_key(id)
            && let Some(found) = self.kept.get_mut(&flow)
            && found.also.len() < MOST_SPANS
        {
            found.also.push(id.to_owned());
            self.by_id.insert(id.to_owned(), flow);
        }
    }

    /// What carries this correlation id leads to a flow from now on, unless it is another's own.
    pub(super) fn lead(&mut self, id: &str, flow: u64) {
        let known = self.of(id).and_then(|number| self.flow(number));
        if known.is_some_and(|flow| flow.id == id) {
            return;
        }
        self.by_id.remove(id);
        self.also(id, flow);
    }

    pub(super) fn message(&self, id: &str) -> Option<Place> {
        self.messages.get(id).copied()
    }

    pub(super) fn event(&self, id: &str) -> Option<Place> {
        self.events.get(id).copied()
    }

    pub(super) fn know_message(&mut self, id: &str, place: Place) {
        self.know(Key::Message(id.to_owned()), place);
        self.messages.insert(id.to_owned(), place);
    }

    pub(super) fn know_event(&mut self, id: &str, place: Place) {
        self.know(Key::Event(id.to_owned()), place);
        self.events.insert(id.to_owned(), place);
    }

    /// A vendor knows a call by this id.
    pub(super) fn know_call(&mut self, id: &str, place: Place) {
        self.know(Key::Call(id.to_owned()), place);
        self.calls.know(id, place);
    }

    /// A flow tells of what the request with this id caused.
    pub(super) fn tells_of(&mut self, flow: u64, id: &str) {
        if let Some(flow) = self.kept.get_mut(&flow) {
            flow.caused_by = Some(id.to_owned());
        }
    }

    pub(super) fn forget_event(&mut self, id: &str) {
        self.events.remove(id);
    }

    fn know(&mut self, key: Key, place: Place) {
        if let Some(flow) = self.kept.get_mut(&place.flow) {
            flow.keys.push(key);
        }
    }

    /// Forgets the oldest flow that is over, of those that only read if there is one.
    fn forget_one(&mut self) {
        let oldest = |fits: &dyn Fn(&Flow) -> bool| {
            let mut flows = self.kept.iter();
            flows.find(|(_, flow)| fits(flow)).map(|(id, _)| *id)
        };
        let gone = oldest(&|flow| flow.only_reads() && !flow.is_running())
            .or_else(|| oldest(&|flow| !flow.is_running()))
            .or_else(|| oldest(&|_| true));
        let Some((number, flow)) = gone.and_then(|it| self.kept.remove_entry(&it)) else {
            return;
        };
        for key in flow.keys {
            let (known, id) = match key {
                Key::Message(id) => (&mut self.messages, id),
                Key::Event(id) => (&mut self.events, id),
                Key::Call(id) => {
                    self.calls.forget(&id, number);
                    continue;
                }
            };
            if known.get(&id).is_some_and(|it| it.flow == number) {
                known.remove(&id);
            }
        }
        for id in flow.also.iter().chain([&flow.id]) {
            if self.of(id) == Some(number) {
                self.by_id.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn done(flows: &mut Flows, id: &str, title: &str) -> u64 {
        let flow = flows.begin(id, title.to_owned(), NOW);
        let mut span = Span::new(Kind::Request, title, NOW);
        span.end(Outcome::Done, NOW);
        let place = flows.add(flow, span).unwrap();
        flows.know_message(&format!("message of {id}"), place);
        flows.know_event(&format!("event of {id}"), place);
        flow
    }

    #[test]
    fn what_only_reads_is_forgotten_first_and_leaves_nothing() {
        let mut flows = Flows::default();
        let first = done(&mut flows, "first", "POST /a");
        flows.also("also first", first);
        done(&mut flows, "read", "GET /a");
        for at in 2..MOST_FLOWS {
            done(&mut flows, &at.to_string(), "POST /a");
        }
        done(&mut flows, "one more", "POST /a");
        assert_eq!(flows.of("read"), None);
        assert_eq!(flows.message("message of read"), None);
        assert_eq!(flows.of("also first"), Some(first));
        done(&mut flows, "and one", "POST /a");
        assert_eq!(flows.of("also first"), None);
        assert_eq!(flows.kept.len(), MOST_FLOWS);
        let kept = [&flows.messages, &flows.events].map(HashMap::len);
        assert_eq!(kept, [MOST_FLOWS, MOST_FLOWS]);
        assert_eq!(flows.by_id.len(), MOST_FLOWS);
    }

    #[test]
    fn an_id_leads_to_the_last_that_carries_it_but_stays_its_owners() {
        let mut flows = Flows::default();
        let [owner, first, last] = ["own", "1", "2"].map(|id| done(&mut flows, id, "POST /a"));
        for (flow, carries) in [(first, "own"), (first, "sample"), (last, "sample")] {
            flows.lead(carries, flow);
        }
        assert_eq!(flows.of("own"), Some(owner));
        assert_eq!(flows.of("sample"), Some(last));
    }

    #[test]
    fn a_flow_that_is_full_counts_what_it_leaves_out() {
        let mut flows = Flows::default();
        let flow = flows.begin("a", "job".to_owned(), NOW);
        for _ in 0..=MOST_SPANS {
            flows.add(flow, Span::new(Kind::Call, "c", NOW));
        }
        let flow = flows.flow(flow).unwrap();
        assert_eq!((flow.spans.len(), flow.left_out), (MOST_SPANS, 1));
    }

    #[test]
    fn what_runs_outlives_what_is_over() {
        let mut flows = Flows::default();
        let running = flows.begin("running", "GET /a".to_owned(), NOW);
        flows.add(running, Span::new(Kind::Request, "GET", NOW));
        for at in 0..MOST_FLOWS {
            done(&mut flows, &at.to_string(), "POST /a");
        }
        assert_eq!(flows.of("running"), Some(running));
        assert_eq!(flows.of("0"), None);
    }
}
