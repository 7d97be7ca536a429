//! The Stripe customer of each university.

use aws_sdk_dynamodb::Client as Dynamo;
use bitflow_domain::id::UniversityId;
use bitflow_store::transaction::{CommitError, Transaction};
use bitflow_store::universities::Universities;
use bitflow_stripe::api::{Client, NewCustomer};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::billing::issue::{age, once};
use crate::error::{PortalError, commit, load};

const OPERATION: &str = "create Stripe customer";

/// Makes customers.
#[derive(Debug)]
pub struct Customers {
    /// DynamoDB.
    pub dynamo: Dynamo,
    /// The universities' table.
    pub universities: Universities,
    /// Stripe.
    pub stripe: Client,
}

impl Customers {
    /// Sees to it that the university has a customer at Stripe, and which: one and the same however
    /// often this runs and wherever it died before. The idempotency key is the university's, and
    /// after Stripe has forgotten the key the customer is found by its metadata.
    pub async fn ensure(
        &self,
        university_id: UniversityId,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<String, PortalError> {
        let stripe = |source| PortalError::Stripe {
            operation: OPERATION,
            source,
        };
        let mut customer = None;
        for _ in 0..3 {
            let university = self
                .universities
                .get(university_id)
                .await
                .map_err(load(OPERATION))?
                .ok_or(PortalError::NoUniversity(university_id))?;
            if let Some(customer) = university.stripe_customer_id {
                return Ok(customer);
            }
            let id = university_id.to_string();
            let found = if let Some(made) = customer.take() {
                made
            } else {
                let id = &*id;
                let find = || self.stripe.find_customer(id).boxed();
                // Each customer that was deleted at Stripe makes room for another.
                let lost = match university.stripe_customers_lost {
                    0 => String::new(),
                    lost => format!(":{lost}"),
                };
                let make = |keys: String| {
                    let new = NewCustomer {
                        email: university.primary_email.as_str(),
                        name: university.name.as_str(),
                        university_id: id,
                    };
                    let key = format!("university-customer:{id}{lost}:{keys}");
                    async move { self.stripe.create_customer(&new, &key).await }.boxed()
                };
                once(age(asked_at, now), find, make).await.map_err(stripe)?
            };
            let Some(linked) = university.with_stripe_customer(&found.id, now) else {
                continue;
            };
            let mut transaction = Transaction::new(&self.dynamo);
            self.universities
                .replace(&mut transaction, &linked, university.version);
            match transaction.commit().await {
                Ok(()) => return Ok(found.id),
                Err(CommitError::Conflict { .. }) => customer = Some(found),
                Err(error) => return Err(commit(OPERATION)(error)),
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }
}
