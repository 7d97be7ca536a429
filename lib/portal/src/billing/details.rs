//! How a payment was made, where the webhook did not tell.

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::UniversityId;
use bitflow_events::payload::PaymentProcessed;
use bitflow_store::payments::Payments;
use bitflow_store::transaction::CommitError;
use bitflow_store::transaction::Transaction;
use bitflow_stripe::retrieve::Retriever;

use crate::error::{PortalError, commit, load};

const OPERATION: &str = "fill in payment details";

/// Fills in method and payment intent.
#[derive(Debug)]
pub struct PaymentDetails {
    /// DynamoDB.
    pub dynamo: Client,
    /// What came in.
    pub payments: Payments,
    /// Stripe.
    pub retriever: Retriever,
}

impl PaymentDetails {
    /// Asks Stripe how a payment was made, if that is not known, and notes it; whether it did. A
    /// payment outside of Stripe has neither method nor intent, and is left so.
    ///
    /// # Errors
    /// [`PortalError::NoPayment`]. [`PortalError::Stripe`]: nothing is noted, and the next try asks
    /// again.
    pub async fn fill(
        &self,
        university_id: UniversityId,
        processed: &PaymentProcessed,
    ) -> Result<bool, PortalError> {
        let id = processed.payment_id;
        let mut told = None;
        for _ in 0..3 {
            let stored = self.payments.get(university_id, id).await;
            let stored = stored
                .map_err(load(OPERATION))?
                .ok_or(PortalError::NoPayment(id))?;
            if stored.method.is_some() && stored.stripe_payment_intent_id.is_some() {
                return Ok(false);
            }
            let details = match told.take() {
                Some(details) => details,
                None => self
                    .retriever
                    .payment_details(&processed.stripe_invoice_id)
                    .await
                    .map_err(|source| PortalError::Stripe {
                        operation: OPERATION,
                        source,
                    })?,
            };
            let (method, intent) = (details.method.as_deref(), details.payment_intent.as_deref());
            let Some(next) = stored.with_details(method, intent) else {
                return Ok(false);
            };
            let mut transaction = Transaction::new(&self.dynamo);
            self.payments
                .replace(&mut transaction, &next, stored.version);
            match transaction.commit().await {
                Ok(()) => return Ok(true),
                Err(CommitError::Conflict { .. }) => told = Some(details),
                Err(error) => return Err(commit(OPERATION)(error)),
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }
}
