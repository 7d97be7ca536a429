//! One client: sends, waits for the answer, and sends the next.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::University;
use crate::stack::{ALL_SCOPES, Stack};

/// What is sent, of a hundred requests.
const MIX: [(Kind, u32); 4] = [
    (Kind::Read, 40),
    (Kind::Sync, 25),
    (Kind::Webhook, 20),
    (Kind::Alert, 15),
];

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An admin looks at a university.
    Read,
    /// A portal reports a metric.
    Sync,
    /// Stripe tells of a payment that failed.
    Webhook,
    /// A portal raises an alert.
    Alert,
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) kind: Kind,
    pub(super) university: String,
    /// What tells it from the others: the metric's value, Stripe's id of the invoice.
    pub(super) mark: String,
    /// HTTP status; 0 where there was no answer.
    pub(super) status: u16,
    /// How long it took to be answered.
    pub(super) took: Duration,
}

impl Sent {
    /// Whether the sender was told that it is taken.
    pub(super) fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A client.
pub(super) struct Client<'a> {
    stack: &'a Stack,
    http: reqwest::Client,
    token: String,
    number: u32,
    universities: Vec<University>,
    random: StdRng,
    /// How many requests it made, which makes each its own.
    made: u64,
}

impl<'a> Client<'a> {
    pub(super) fn new(stack: &'a Stack, number: u32, universities: Vec<University>) -> Self {
        Self {
            stack,
            http: reqwest::Client::new(),
            token: stack.token(&ALL_SCOPES),
            number,
            universities,
            random: StdRng::seed_from_u64(number.into()),
            made: 0,
        }
    }

    /// Sends one request after the other; what each came to.
    pub(super) async fn send_until(mut self, until: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        while Instant::now() < until {
            sent.push(self.send().await);
        }
        sent
    }

    async fn send(&mut self) -> Sent {
        self.made += 1;
        let at = self.random.random_range(0..self.universities.len());
        let university = self.universities[at].clone();
        let kind = kind(self.random.random_range(0..100));
        let mark = match kind {
            Kind::Webhook => format!("in_load_{}_{}", self.number, self.made),
            Kind::Read | Kind::Sync | Kind::Alert => self.made.to_string(),
        };
        let request = self.request(kind, &university, &mark);
        let began = Instant::now();
        let status = match request.send().await {
            // An answer is there once its body is.
            Ok(answer) => {
                let status = answer.status().as_u16();
                answer.bytes().await.map_or(0, |_| status)
            }
            Err(_) => 0,
        };
        Sent {
            kind,
            university: university.id,
            mark,
            status,
            took: began.elapsed(),
        }
    }

    fn request(&self, kind: Kind, university: &University, mark: &str) -> reqwest::RequestBuilder {
        let api = &self.stack.info().api_url;
        let id = &university.id;
        match kind {
            Kind::Read => self
                .http
                .get(format!("{api}/api/admin/universities/{id}"))
                .bearer_auth(&self.token),
            Kind::Sync => {
                let value: u64 = mark.parse().unwrap_or_default();
                let body = json!({ "university_id": id, "metric": "students", "value": value });
                self.signed("/api/webhooks/university-sync", university, &body)
            }
            Kind::Alert => {
                let body = json!({
                    "type": "load",
                    "university_id": id,
                    "message": format!("Alert {mark}"),
                });
                self.signed("/api/admin/alerts", university, &body)
            }
            Kind::Webhook => {
                let body = payment_failed(university, mark).to_string();
                let secret = self.stack.info().stripe_webhook_secret.clone().into();
                let signature =
                    bitflow_stripe::signature::sign(&secret, body.as_bytes(), real_now());
                self.http
                    .post(format!("{api}/api/webhooks/stripe"))
                    .header("stripe-signature", signature)
                    .header("content-type", "application/json")
                    .body(body)
            }
        }
    }

    /// A call of a portal.
    fn signed(&self, path: &str, university: &University, body: &Value) -> reqwest::RequestBuilder {
        let body = body.to_string();
        let secret = university.secret.clone().into();
        let signature = bitflow_university::sign(&secret, body.as_bytes(), real_now());
        self.http
            .post(format!("{}{path}", self.stack.info().api_url))
            .header(bitflow_university::HEADER, signature)
            .header("content-type", "application/json")
            .body(body)
    }
}

/// The kind that a number below a hundred stands for.
fn kind(number: u32) -> Kind {
    let mut end = 0;
    for (kind, share) in MIX {
        end += share;
        if number < end {
            return kind;
        }
    }
    Kind::Read
}

/// The event of an invoice that Stripe made and could not collect.
fn payment_failed(university: &University, invoice: &str) -> Value {
    let now = real_now().as_second();
    json!({
        "id": format!("evt_{invoice}"),
        "object": "event",
        "api_version": "2025-03-31.basil",
        "created": now,
        "type": "invoice.payment_failed",
        "livemode": false,
        "data": { "object": {
            "id": invoice,
            "object": "invoice",
            "customer": university.customer,
            "number": invoice,
            "status": "open",
            "currency": "usd",
            "amount_due": 5000,
            "amount_paid": 0,
            "amount_remaining": 5000,
            "total": 5000,
            "subtotal": 5000,
            "attempted": true,
            "attempt_count": 1,
            "next_payment_attempt": null,
            "collection_method": "charge_automatically",
            "billing_reason": "manual",
            "created": now,
            "due_date": null,
            "period_start": now,
            "period_end": now,
            "parent": null,
            "hosted_invoice_url": null,
            "metadata": { "university_id": university.id },
            "status_transitions": {
                "finalized_at": now,
                "marked_uncollectible_at": null,
                "paid_at": null,
                "voided_at": null,
            },
            "lines": { "object": "list", "data": [], "has_more": false },
        } },
    })
}

/// Signatures are checked by real processes.
#[expect(
    clippy::disallowed_methods,
    reason = "the signed time is read by a real process"
)]
fn real_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_a_hundred() {
        assert_eq!(MIX.iter().map(|(_, share)| share).sum::<u32>(), 100);
        assert_eq!(kind(0), Kind::Read);
        assert_eq!(kind(99), Kind::Alert);
    }
}
