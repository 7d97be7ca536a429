//! What a test or a developer brings about: what customers and banks do, what time brings, and
//! requests that fail. [`super::sim_api`] has the same over HTTP.
//!
//! Where there is no such object, or it is in no state for it (an invoice that is not open), the error
//! is Stripe's sentence about that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ApiError;
use super::payment_methods::{self, PaymentMethod};
use super::payments::{self, Attempt};
use super::shape::Shape;
use super::state::State;
use super::{StripeSim, charges, customers, params, routes, subscriptions};
use crate::simulators::hold::Held;

/// Requests that are remembered; a simulation makes many more.
const REQUESTS_KEPT: usize = 10_000;

/// What was asked for, and what came in.
#[derive(Debug, Default)]
pub(super) struct Controls {
    requests: VecDeque<Received>,
    requests_total: u64,
    failures: Vec<Failure>,
    held: Option<(String, Held)>,
    /// Idempotency keys of requests that are being answered.
    pub(super) keys_in_use: BTreeSet<String>,
}

/// A request that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// `POST` and so on.
    pub method: String,
    /// With `/v1`, without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The form or query, as it came.
    pub parameters: String,
    /// What was answered.
    pub status: u16,
    /// When.
    pub received_at: jiff::Timestamp,
}

/// An answer that requests get instead of their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failure {
    /// HTTP status; 0 for no answer at all.
    pub status: u16,
    /// Only requests whose path begins so.
    pub path: String,
    /// Only requests of this method.
    pub method: Option<String>,
    /// How many requests.
    pub count: u32,
    /// The request takes effect all the same.
    pub after_effect: bool,
    /// The request began to be executed: under its idempotency key this answer is repeated.
    /// <https://docs.stripe.com/api/idempotent_requests>
    pub stored: bool,
    /// `Stripe-Should-Retry`. <https://docs.stripe.com/error-low-level>
    pub stripe_should_retry: Option<bool>,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u32>,
}

impl Default for Failure {
    /// One request, whichever, gets no answer.
    fn default() -> Self {
        Self {
            status: 0,
            path: String::new(),
            method: None,
            count: 1,
            after_effect: false,
            stored: false,
            stripe_should_retry: None,
            retry_after: None,
        }
    }
}

impl Failure {
    fn fits(&self, method: &str, path: &str) -> bool {
        let wanted = self.method.as_deref().unwrap_or(method);
        path.starts_with(&self.path) && wanted.eq_ignore_ascii_case(method)
    }
}

impl Controls {
    /// The failure that a request gets.
    pub(super) fn failure_of(&mut self, method: &str, path: &str) -> Option<Failure> {
        let fits = |failure: &Failure| failure.fits(method, path);
        let at = self.failures.iter().position(fits)?;
        let failure = self.failures.get_mut(at)?;
        failure.count = failure.count.saturating_sub(1);
        if failure.count > 0 {
            return Some(failure.clone());
        }
        Some(self.failures.remove(at))
    }

    /// Who holds the answer of a request to this path.
    pub(super) fn hold_of(&mut self, path: &str) -> Option<Held> {
        let held = self.held.take_if(|(begins, _)| path.starts_with(&*begins));
        held.map(|(_, held)| held)
    }

    pub(super) fn record(&mut self, received: Received) {
        self.requests_total += 1;
        self.requests.push_back(received);
        if self.requests.len() > REQUESTS_KEPT {
            self.requests.pop_front();
        }
    }
}

impl StripeSim {
    /// What it was asked, oldest first; the last ten thousand.
    pub fn requests(&self) -> Vec<Received> {
        self.controls().requests.iter().cloned().collect()
    }

    /// How many requests there were in all.
    pub fn requests_total(&self) -> u64 {
        self.controls().requests_total
    }

    /// The next requests that fit are answered so.
    pub fn fail_next(&self, failure: Failure) {
        self.controls().failures.push(failure);
    }

    /// Whatever was to fail does not any more.
    pub fn fail_no_more(&self) {
        self.controls().failures.clear();
    }

    /// The next request whose path begins so takes effect, but its answer is held.
    pub fn hold_answer(&self, path: &str) -> Held {
        let held = Held::new();
        self.controls().held = Some((path.to_owned(), held.clone()));
        held
    }

    /// Creates an object as `POST /v1/<path>` would, e.g. `create("customers", "email=…")`.
    pub fn create(&self, path: &str, form: &str) -> Result<Value, String> {
        let (parameters, _) = params::parse(form);
        let segments: Vec<&str> = path.split('/').collect();
        self.act(|state, now| routes::route(state, "POST", &segments, parameters, now))
    }

    /// Pays an open invoice, as a customer would on its page: with the default payment method, or
    /// with another where there is none or it is refused.
    pub fn pay(&self, invoice: &str) -> Result<Value, String> {
        self.act(|state, now| payments::pay(state, invoice, now))
    }

    /// Tries to pay an open invoice, and fails.
    pub fn fail(&self, invoice: &str) -> Result<Value, String> {
        self.act(|state, now| payments::fail(state, invoice, now))
    }

    /// Tries to pay an open invoice, and the customer has to authenticate.
    pub fn require_action(&self, invoice: &str) -> Result<Value, String> {
        self.act(|state, now| payments::require_action(state, invoice, now))
    }

    /// What Stripe does about an hour after an invoice that it charges was finalized, and at each
    /// retry: an attempt that goes as the customer's payment method behaves.
    pub fn collect(&self, invoice: &str) -> Result<Value, String> {
        self.act(|state, now| {
            match payments::collect(state, invoice, Attempt::Automatic, now) {
                // That the attempt failed is what was asked for.
                Err(error) if error.took_effect => state.find("invoice", invoice, None),
                other => other,
            }
        })
    }

    /// Refunds the payment of an invoice (or a payment intent): `amount`, or all that is left.
    pub fn refund(&self, invoice: &str, amount: impl Into<Option<i64>>) -> Result<Value, String> {
        let amount = amount.into();
        self.act(|state, now| {
            let intent = payments::intent_named(state, invoice)?;
            let id = intent["id"].as_str().unwrap_or_default();
            let amount = amount.map(|amount| format!("&amount={amount}"));
            let form = format!("payment_intent={id}{}", amount.unwrap_or_default());
            charges::refund(state, params::parse(&form).0, now)
        })
    }

    /// The customer's bank disputes the payment of an invoice (or a payment intent).
    pub fn dispute(&self, invoice: &str) -> Result<Value, String> {
        self.act(|state, now| {
            let intent = payments::intent_named(state, invoice)?;
            charges::dispute(state, &intent, now)
        })
    }

    /// Moves a subscription to its next period.
    pub fn advance(&self, subscription: &str) -> Result<Value, String> {
        self.act(|state, now| subscriptions::advance(state, subscription, now))
    }

    /// Tells that a subscription's trial ends in three days.
    pub fn trial_will_end(&self, subscription: &str) -> Result<Value, String> {
        self.act(|state, now| subscriptions::trial_will_end(state, subscription, now))
    }

    /// Deletes a customer, as somebody may in Stripe's dashboard.
    pub fn delete_customer(&self, customer: &str) -> Result<Value, String> {
        self.act(|state, now| customers::delete(state, customer, now))
    }

    /// Gives a customer a default payment method that behaves so, or takes it away.
    pub fn set_payment_behaviour(
        &self,
        customer: &str,
        method: impl Into<PaymentMethod>,
    ) -> Result<Value, String> {
        let method = method.into();
        self.act(|state, now| payment_methods::set_default(state, customer, method, now))
    }

    fn act(
        &self,
        act: impl FnOnce(&mut State, i64) -> Result<Value, ApiError>,
    ) -> Result<Value, String> {
        self.change(act)
            .map(|object| Shape::Newer.render(&object))
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_remembered_and_all_are_counted() {
        let mut controls = Controls::default();
        for at in 0..=REQUESTS_KEPT {
            controls.record(Received {
                method: "GET".into(),
                path: at.to_string(),
                headers: BTreeMap::new(),
                parameters: String::new(),
                status: 200,
                received_at: jiff::Timestamp::UNIX_EPOCH,
            });
        }
        assert_eq!(controls.requests.len(), REQUESTS_KEPT);
        assert_eq!(controls.requests[0].path, "1");
        assert_eq!(controls.requests_total, REQUESTS_KEPT as u64 + 1);
    }
}
