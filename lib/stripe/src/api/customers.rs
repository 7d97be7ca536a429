//! Customers. <https://docs.stripe.com/api/customers>

use stripe_core::customer::{CreateCustomer, SearchCustomer, UpdateCustomer};

use super::{Client, metadata};
use crate::error::StripeError;
use crate::object::{Customer, List};

/// A customer to be.
#[derive(Debug, Clone)]
pub struct NewCustomer<'a> {
    /// Where Stripe sends receipts.
    pub email: &'a str,
    /// As people read it.
    pub name: &'a str,
    /// Ours; goes into the metadata, so that the customer can be found by it.
    pub university_id: &'a str,
}

impl Client {
    /// Creates a customer; the same `idempotency_key` within 24 h gives the same customer.
    /// <https://docs.stripe.com/api/customers/create>
    ///
    /// # Errors
    /// [That the key is reused](StripeError::is_reuse_of_key), where name or address changed since
    /// it was asked for under this key: there may be a customer, which
    /// [`find_customer`](Self::find_customer) finds after a minute.
    pub async fn create_customer(
        &self,
        new: &NewCustomer<'_>,
        idempotency_key: &str,
    ) -> Result<Customer, StripeError> {
        let request = CreateCustomer::new()
            .email(new.email)
            .name(new.name)
            .metadata(metadata(&[("university_id", new.university_id)]));
        self.send(&request, Some(idempotency_key)).await
    }

    /// Gives a customer this address and name. Other things of it stay as they are.
    /// <https://docs.stripe.com/api/customers/update>
    ///
    /// # Errors
    /// 404, in [`StripeError::refusal`], for a customer that is not there.
    pub async fn update_customer(
        &self,
        id: &str,
        (email, name): (&str, &str),
        idempotency_key: &str,
    ) -> Result<Customer, StripeError> {
        let request = UpdateCustomer::new(id).email(email).name(name);
        self.send(&request, Some(idempotency_key)).await
    }

    /// The customer with our `university_id` in its metadata. Stripe's search lags by up to a
    /// minute, so that one may be found which was deleted just now: that is none. <https://docs.stripe.com/api/customers/search>
    pub async fn find_customer(
        &self,
        university_id: &str,
    ) -> Result<Option<Customer>, StripeError> {
        let query = format!("metadata['university_id']:'{university_id}'");
        let found: List<Customer> = self
            .send(&SearchCustomer::new(query).limit(1), None)
            .await?;
        let Some(found) = found.data.into_iter().next() else {
            return Ok(None);
        };
        let now = self.reads().customer(&found.id).await?;
        Ok((!now.deleted).then_some(now))
    }
}
