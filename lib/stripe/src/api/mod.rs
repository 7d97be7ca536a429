//! What changes something at Stripe: async-stripe's typed requests, each under an idempotency key.

mod customers;
mod invoices;
mod subscriptions;

use std::collections::HashMap;

use reqwest::Method;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use stripe::{IdempotencyKey, StripeRequest};
use stripe_client_core::StripeMethod;
use url::Url;

pub use customers::NewCustomer;
pub use invoices::{NewInvoice, NewItem};
pub use subscriptions::NewSubscription;

use crate::error::StripeError;
use crate::retrieve::Retriever;
use crate::transport::Call;

/// Stripe's API: what changes something, and by [`reads`](Self::reads) what does not.
///
/// # Errors
/// A call is sent up to three times, where Stripe says that this may help; then it is a
/// [`StripeError`]. After [`StripeError::Unreachable`] it may have been done: the same again, under
/// the same key, is done once. One with a [`refusal`](StripeError::refusal) was not done, and the
/// same again is refused again. One [that is stored](StripeError::is_stored_failure) is repeated
/// under its key: look whether it was done, then take another.
#[derive(Debug)]
pub struct Client {
    reads: Retriever,
}

impl Client {
    /// Calls `base` (`https://api.stripe.com`) with the API key `secret`. Nothing is built or
    /// connected before the first call.
    pub fn new(base: Url, secret: SecretString) -> Self {
        Self {
            reads: Retriever::new(base, secret),
        }
    }

    /// What changes nothing.
    pub fn reads(&self) -> &Retriever {
        &self.reads
    }

    /// Sends a request; within 24 h the same key gives the same answer.
    async fn send<T: DeserializeOwned>(
        &self,
        request: &impl StripeRequest,
        idempotency_key: Option<&str>,
    ) -> Result<T, StripeError> {
        let request = request.build();
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let key = idempotency_key.map(IdempotencyKey::new).transpose();
        let key = key.map_err(|_| StripeError::Key {
            operation: format!("{method} /v1{}", request.path),
        })?;
        let call = Call {
            method,
            path: request.path,
            query: request.query,
            body: request.body.as_deref().map(in_one_order),
            idempotency_key: key.map(|key| key.as_str().to_owned()),
        };
        self.reads.transport.call(&call).await
    }
}

/// A form with its fields in order: async-stripe writes metadata in any order, and a repeat under
/// an idempotency key must be the same request.
fn in_one_order(form: &str) -> String {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).collect();
    // Stable: the elements of a list (`expand[]`) stay as they are.
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut ordered = url::form_urlencoded::Serializer::new(String::new());
    ordered.extend_pairs(pairs).finish()
}

/// Metadata as async-stripe takes it.
fn metadata(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
