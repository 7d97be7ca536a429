//! What was begun, and how it is ended.

use std::future::Future;

use super::causes::Webhook;
use super::flows::{Outcome, Place};
use super::recorder::Recorder;

tokio::task_local! {
    /// The calls of AWS that are being served.
    static SERVED: Vec<Place>;
}

/// Something that was begun; it has failed if it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(super) recorder: Recorder,
    pub(super) places: Vec<Place>,
    /// Events that are there if it ends well.
    pub(super) events: Vec<String>,
    pub(super) ended: bool,
}

impl Noted {
    /// What the call of AWS that is being served has become, if one is.
    pub(super) fn served() -> Vec<Place> {
        SERVED.try_with(Clone::clone).unwrap_or_default()
    }

    /// What is sent while this is served follows from it.
    pub(crate) async fn serving<T>(noted: Option<&Self>, served: impl Future<Output = T>) -> T {
        let places = noted.map(|it| it.places.clone()).unwrap_or_default();
        SERVED.scope(places, served).await
    }

    /// A request has this body; if it is a webhook, that says what it is about.
    pub(crate) fn has_body(&self, body: &[u8]) {
        let webhook = Webhook::of(body);
        if webhook == Webhook::default() {
            return;
        }
        self.recorder.change(|state, _| {
            for place in &self.places {
                if let Some(span) = state.flows.span(*place) {
                    webhook.about.clone_into(&mut span.about);
                    if !webhook.caused_by.is_empty() {
                        span.note("caused by request", &*webhook.caused_by);
                        state.flows.tells_of(place.flow, &webhook.caused_by);
                    }
                }
            }
        });
    }

    /// A vendor gave a call an id. What it tells of later names the call that was carried out, which
    /// of a repeat is another one.
    pub(super) fn known_as(&self, id: &str, carried_out: Option<&str>) {
        let carried_out = carried_out.unwrap_or(id);
        self.recorder.change(|state, _| {
            for place in &self.places {
                if let Some(span) = state.flows.span(*place) {
                    span.note("request id", id);
                    if carried_out != id {
                        span.note("repeats request", carried_out);
                    }
                    state.flows.know_call(carried_out, *place);
                }
            }
        });
    }

    /// It was answered, with an error's code where it has one.
    pub(crate) fn answered(mut self, status: u16, code: Option<&str>) {
        let status_text = status.to_string();
        let mut facts = vec![("status", status_text.as_str())];
        facts.extend(code.map(|code| ("error", code)));
        self.end(of_status(status), &facts);
    }

    /// It was not answered.
    pub(crate) fn unanswered(mut self) {
        self.end(Outcome::Failed, &[("error", "no answer")]);
    }

    fn end(&mut self, outcome: Outcome, facts: &[(&'static str, &str)]) {
        self.ended = true;
        let (places, events) = (&self.places, &self.events);
        self.recorder.change(|state, now| {
            for place in places {
                if let Some(span) = state.flows.span(*place) {
                    span.end(outcome, now);
                    for (name, value) in facts {
                        span.note(name, *value);
                    }
                }
            }
            let came_to_pass = outcome == Outcome::Done;
            for event in events.iter().filter(|_| !came_to_pass) {
                let place = state.flows.event(event);
                if let Some(span) = place.and_then(|it| state.flows.span(it)) {
                    span.void = true;
                }
                state.flows.forget_event(event);
            }
        });
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Failed, &[("error", "broken off")]);
        }
    }
}

/// How an answer of this status is taken.
pub(super) fn of_status(status: u16) -> Outcome {
    match status {
        0..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    }
}
