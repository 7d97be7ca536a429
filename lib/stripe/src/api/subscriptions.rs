//! Subscriptions. <https://docs.stripe.com/api/subscriptions>

use stripe_billing::subscription::{
    CancelSubscription, CreateSubscription, CreateSubscriptionItems,
    CreateSubscriptionPaymentBehavior, UpdateSubscription,
};

use super::{Client, metadata};
use crate::error::StripeError;
use crate::object::Subscription;

/// A subscription to be (contract section 1.1, `createSubscription`).
#[derive(Debug, Clone)]
pub struct NewSubscription<'a> {
    /// `cus_…`.
    pub customer: &'a str,
    /// `price_…`.
    pub price: &'a str,
    /// Ours; into the metadata of the subscription, hence of its invoices.
    pub university_id: &'a str,
    /// Ours, likewise.
    pub subscription_id: &'a str,
}

impl Client {
    /// Creates a subscription that waits for its first payment. The contract's
    /// `expand[]=latest_invoice.payment_intent` is left out: API versions since 2025-03-31 refuse
    /// it, and nothing here reads it.
    /// <https://docs.stripe.com/api/subscriptions/create>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) names the parameter at fault, such as `items[0][price]`.
    pub async fn create_subscription(
        &self,
        new: &NewSubscription<'_>,
        idempotency_key: &str,
    ) -> Result<Subscription, StripeError> {
        let mut item = CreateSubscriptionItems::new();
        item.price = Some(new.price.to_owned());
        let ours = [
            ("university_id", new.university_id),
            ("subscription_id", new.subscription_id),
        ];
        let request = CreateSubscription::new()
            .customer(new.customer)
            .items(vec![item])
            .payment_behavior(CreateSubscriptionPaymentBehavior::DefaultIncomplete)
            .metadata(metadata(&ours));
        self.send(&request, Some(idempotency_key)).await
    }

    /// Ends a subscription now. <https://docs.stripe.com/api/subscriptions/cancel>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) where it is over already, which
    /// [`Retriever::subscription`](crate::retrieve::Retriever::subscription) tells.
    pub async fn cancel_subscription(&self, id: &str) -> Result<Subscription, StripeError> {
        self.send(&CancelSubscription::new(id), None).await
    }

    /// Ends a subscription with its period. <https://docs.stripe.com/api/subscriptions/update>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) where it is over already, which
    /// [`Retriever::subscription`](crate::retrieve::Retriever::subscription) tells.
    pub async fn cancel_subscription_at_period_end(
        &self,
        id: &str,
    ) -> Result<Subscription, StripeError> {
        let request = UpdateSubscription::new(id).cancel_at_period_end(true);
        self.send(&request, None).await
    }
}
