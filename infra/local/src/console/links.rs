//! Which flow follows from another: a webhook of Stripe names the request that caused what it tells
//! of, and that may be a call that one of our functions made.
//! <https://docs.stripe.com/api/events/object#event_object-request>
//!
//! A webhook may be there before the call is answered and its id is known. So both are only noted, and
//! put together when somebody looks.

use std::collections::HashMap;

use super::flows::{Flow, Flows, Place, Span};

/// Vendors' calls by the ids that vendors gave them.
#[derive(Debug, Default)]
pub(super) struct Calls {
    places: HashMap<String, Vec<Place>>,
}

impl Calls {
    /// A call that is noted in several flows has a place in each: where it was made first.
    pub(super) fn know(&mut self, id: &str, place: Place) {
        let places = self.places.entry(id.to_owned()).or_default();
        if !places.iter().any(|it| it.flow == place.flow) {
            places.push(place);
        }
    }

    /// Its place in this flow is gone.
    pub(super) fn forget(&mut self, id: &str, flow: u64) {
        if let Some(places) = self.places.get_mut(id) {
            places.retain(|it| it.flow != flow);
            if places.is_empty() {
                self.places.remove(id);
            }
        }
    }

    fn of(&self, id: &str) -> &[Place] {
        self.places.get(id).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Flows {
    /// The calls that a flow follows from, each with its flow.
    pub(super) fn causes<'a>(
        &'a self,
        flow: &'a Flow,
    ) -> impl Iterator<Item = (&'a Flow, &'a Span)> {
        let calls = flow.caused_by.iter().flat_map(|id| self.calls.of(id));
        calls.filter_map(|place| {
            let flow = self.flow(place.flow)?;
            Some((flow, flow.spans.get(place.span)?))
        })
    }

    /// The flows that follow from this one, oldest first, each with the place of the call.
    pub(super) fn effects(&self, number: u64) -> impl Iterator<Item = (&Flow, usize)> {
        self.newest().rev().filter_map(move |flow| {
            let mut calls = self.calls.of(flow.caused_by.as_deref()?).iter();
            let call = calls.find(|place| place.flow == number)?;
            Some((flow, call.span))
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::flows::{Kind, MOST_FLOWS, Outcome};
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn calls(flows: &mut Flows, id: &str, call: &str) -> u64 {
        let flow = flows.begin(id, "POST /a".to_owned(), NOW);
        // A repeat is known by the id of the first.
        for _ in 0..2 {
            let mut span = Span::new(Kind::Vendor, "Stripe", NOW);
            span.end(Outcome::Done, NOW);
            let place = flows.add(flow, span);
            flows.know_call(call, place.expect("room"));
        }
        flow
    }

    fn told_of(flows: &mut Flows, id: &str, call: &str) {
        let flow = flows.begin(id, "POST /api/webhooks/stripe".to_owned(), NOW);
        flows.tells_of(flow, call);
    }

    fn effects(flows: &Flows, number: u64) -> Vec<&str> {
        flows.effects(number).map(|(it, _)| &*it.id).collect()
    }

    fn causes<'a>(flows: &'a Flows, id: &str) -> Vec<&'a str> {
        let flow = flows.of(id).and_then(|number| flows.flow(number));
        let causes = flows.causes(flow.expect("remembered"));
        causes.map(|(it, _)| &*it.id).collect()
    }

    #[test]
    fn whichever_is_there_first_they_find_each_other() {
        let mut flows = Flows::default();
        told_of(&mut flows, "early", "req_1");
        assert_eq!(causes(&flows, "early"), [""; 0]);
        let flow = calls(&mut flows, "caller", "req_1");
        told_of(&mut flows, "late", "req_1");
        told_of(&mut flows, "another's", "req_2");
        assert_eq!(effects(&flows, flow), ["early", "late"]);
        for (id, expect) in [("early", &["caller"][..]), ("late", &["caller"])] {
            assert_eq!(causes(&flows, id), expect, "{id}");
        }
        assert_eq!(causes(&flows, "another's"), [""; 0]);
        assert_eq!(causes(&flows, "caller"), [""; 0]);
    }

    #[test]
    fn a_call_of_two_flows_is_forgotten_with_the_last() {
        let mut flows = Flows::default();
        calls(&mut flows, "one", "req_1");
        calls(&mut flows, "two", "req_1");
        told_of(&mut flows, "told", "req_1");
        assert_eq!(causes(&flows, "told"), ["one", "two"]);
        for at in 3..=MOST_FLOWS {
            calls(&mut flows, &at.to_string(), &format!("req_{at}"));
        }
        assert_eq!(causes(&flows, "told"), ["two"]);
        calls(&mut flows, "more", "req_more");
        assert_eq!(causes(&flows, "told"), [""; 0]);
        assert_eq!(flows.calls.len(), MOST_FLOWS - 1, "all but the one told");
    }
}
