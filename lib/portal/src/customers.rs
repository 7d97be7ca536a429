//! The Stripe customer of each university: made once, and kept like the university.

use aws_sdk_dynamodb::Client as Dynamo;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{UniversityField, UniversityStatus};
use bitflow_events::envelope::EventId;
use bitflow_store::transaction::{CommitError, Transaction};
use bitflow_store::universities::Universities;
use bitflow_stripe::api::{Client, NewCustomer};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::billing::issue::{age, once};
use crate::error::{PortalError, commit, load};

const OPERATION: &str = "create Stripe customer";

/// Makes and updates the universities' customers at Stripe.
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
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`]. [`PortalError::Stripe`]: there may be a customer, which the
    /// next try finds. [`PortalError::Contended`], also while a customer that is there cannot be
    /// found: Stripe's search lags by a minute.
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
                match once(age(asked_at, now), find, make).await {
                    Ok(made) => made,
                    // It was asked for before the university changed, and may be there: then it is
                    // found, if not at once. The event of the change brings it up to date.
                    Err(error) if error.is_reuse_of_key() => {
                        self.stripe.find_customer(id).await.map_err(stripe)?.ok_or(
                            PortalError::Contended {
                                operation: OPERATION,
                            },
                        )?
                    }
                    Err(error) => return Err(stripe(error)),
                }
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

    /// Gives the customer the name and the address that the university has now, because of an event
    /// that told of a change: not what the event tells, so that a late one undoes nothing.
    ///
    /// What was sent is compared with what is stored after it was sent, and sent again where it is
    /// another: whoever sends last has seen the newest.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], [`PortalError::Stripe`], and what [`ensure`](Self::ensure)
    /// has.
    pub async fn refresh(
        &self,
        university_id: UniversityId,
        event_id: EventId,
        now: Timestamp,
    ) -> Result<(), PortalError> {
        let operation = "update Stripe customer";
        let load = load(operation);
        let stored = async || {
            let university = self.universities.get(university_id).await.map_err(&load)?;
            university.ok_or(PortalError::NoUniversity(university_id))
        };
        let mut university = stored().await?;
        for _ in 0..3 {
            let customer = match &university.stripe_customer_id {
                Some(customer) => customer.clone(),
                // It is gone, and nobody bills it any more.
                None if university.status == UniversityStatus::Deleted => return Ok(()),
                // It is not made yet, or was made with what the university was before.
                None => {
                    let asked_at = university.created_at;
                    self.ensure(university_id, asked_at, now).await?
                }
            };
            let email = university.primary_email.as_str();
            let name = university.name.as_str();
            let version = university.version.get();
            let key = format!("university-customer-update:{event_id}:{version}");
            self.stripe
                .update_customer(&customer, (email, name), &key)
                .await
                .map_err(|source| PortalError::Stripe { operation, source })?;
            let after = stored().await?;
            let sent = [UniversityField::Name, UniversityField::PrimaryEmail];
            let differ = university.differences(&after);
            if !sent.iter().any(|field| differ.contains(field)) {
                return Ok(());
            }
            university = after;
        }
        Err(PortalError::Contended { operation })
    }
}
