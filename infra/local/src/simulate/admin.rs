//! The admin's requests, sent until they are answered: under one idempotency key each.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::plan::{OneOff, Terms, Trouble, University};
use super::trouble::Tampered;
use crate::simulators::stripe::Failure;
use crate::stack::ALL_SCOPES;

/// How often a request is sent before the simulation gives up on it.
const PATIENCE: u32 = 30;

/// An admin's client.
pub(super) struct Admin<'a> {
    pub(super) tampered: &'a Tampered<'a>,
    pub(super) http: reqwest::Client,
}

impl Admin<'_> {
    /// Onboards a university; its id.
    pub(super) async fn onboard(&self, university: &University) -> Result<String, String> {
        let body = json!({
            "name": university.name,
            "primary_email": format!("registrar@{}.example", university.slug),
            "domain": format!("portal.{}.example", university.slug),
            "storage_quota": 500_000_000_000_u64,
        });
        let path = "/api/admin/universities";
        let made = self.until(Method::POST, path, None, Some(&body)).await?;
        text(&made, "id")
    }

    /// Subscribes a university; the subscription.
    pub(super) async fn subscribe(
        &self,
        id: &str,
        body: &Value,
        key: &str,
        trouble: Trouble,
    ) -> Result<Value, String> {
        let path = format!("/api/admin/universities/{id}/subscriptions");
        self.create(&path, body, key, (trouble, "/v1/subscriptions"))
            .await
    }

    /// Makes an invoice.
    pub(super) async fn invoice(
        &self,
        id: &str,
        currency: &str,
        one_off: &OneOff,
    ) -> Result<Value, String> {
        let items = one_off.amounts.iter().enumerate();
        let items = items
            .map(|(at, amount)| json!({ "description": format!("Item {at}"), "amount": amount }));
        let mut body = json!({ "currency": currency, "items": items.collect::<Vec<_>>() });
        if let Some(days) = one_off.days_until_due {
            body["days_until_due"] = days.into();
        }
        let path = format!("/api/admin/universities/{id}/invoices");
        let key = format!("one-off-{}", one_off.month);
        self.create(&path, &body, &key, (one_off.trouble, "/v1/invoice"))
            .await
    }

    /// Cancels a subscription; it, after that.
    pub(super) async fn cancel(
        &self,
        university: &str,
        id: &str,
        at_period_end: bool,
    ) -> Result<Value, String> {
        let path = format!(
            "/api/admin/universities/{university}/subscriptions/{id}?at_period_end={at_period_end}"
        );
        self.until(Method::DELETE, &path, None, None).await
    }

    /// Withdraws an invoice.
    pub(super) async fn void(&self, university: &str, id: &str) -> Result<Value, String> {
        let path = format!("/api/admin/universities/{university}/invoices/{id}/void");
        self.until(Method::POST, &path, None, Some(&json!({})))
            .await
    }

    /// A creation, with what goes wrong at it. `at` is where Stripe is asked for it.
    async fn create(
        &self,
        path: &str,
        body: &Value,
        key: &str,
        (trouble, at): (Trouble, &str),
    ) -> Result<Value, String> {
        let create = || self.until(Method::POST, path, Some(key), Some(body));
        match trouble {
            Trouble::None => create().await,
            Trouble::Repeated => {
                self.tampered.count("creations repeated");
                let (first, second) = tokio::join!(create(), create());
                let (first, second, third) = (first?, second?, create().await?);
                if first["id"] != second["id"] || first["id"] != third["id"] {
                    return Err(format!("{path} under {key}: {first}, {second} and {third}"));
                }
                Ok(first)
            }
            Trouble::Stripe {
                status,
                after_effect,
            } => {
                self.tampered.count("creations while Stripe fails");
                self.tampered.stack.stripe.fail_next(Failure {
                    status,
                    path: at.to_owned(),
                    method: Some("POST".to_owned()),
                    // As often as our client tries.
                    count: 3,
                    after_effect,
                    ..Failure::default()
                });
                create().await
            }
            Trouble::Killed { after } => {
                self.tampered.count("creations killed");
                let killed = self.tampered.kill_after("billing-api", after);
                self.tampered.beside(create(), killed).await
            }
        }
    }

    /// Sends a request until it succeeds. What is not the client's fault is sent again.
    async fn until(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let stack = self.tampered.stack;
        let url = format!("{}{path}", stack.info().api_url);
        let mut last = String::new();
        for _ in 0..PATIENCE {
            // Each time anew: a day of the stack is short.
            let token = stack.token(&ALL_SCOPES);
            let mut request = self.http.request(method.clone(), &url).bearer_auth(token);
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let answer = request
                .send()
                .await
                .map_err(|error| format!("{path}: {error}"))?;
            let status = answer.status();
            let body = answer
                .text()
                .await
                .map_err(|error| format!("{path}: {error}"))?;
            if status.is_success() {
                return serde_json::from_str(&body).map_err(|error| format!("{path}: {error}"));
            }
            last = format!("{method} {path} answered {status}: {body}");
            if !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
                return Err(last);
            }
            self.tampered.count("requests sent again");
        }
        Err(last)
    }
}

/// The body that asks for a subscription.
pub(super) fn wanted(terms: Terms, currency: &str, price: &str) -> Value {
    match terms {
        Terms::Price { .. } => json!({ "stripe_price_id": price }),
        Terms::Manual {
            amount,
            days_until_due,
        } => {
            let mut body =
                json!({ "amount": amount, "currency": currency, "description": "Campus" });
            if let Some(days) = days_until_due {
                body["days_until_due"] = days.into();
            }
            body
        }
    }
}

/// A text of an answer.
pub(super) fn text(answer: &Value, field: &str) -> Result<String, String> {
    let found = answer[field].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("there is no {field} in {answer}"))
}
