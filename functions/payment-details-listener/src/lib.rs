//! SQS: `PaymentProcessed` → method and payment intent of the payment, where the webhook lacked
//! them: since API 2025-03-31 an invoice's payments are not always in it.
//!
//! Promise: what Stripe knows of how a payment was made is stored with it.
//!
//! On a retry: a payment that has both is left alone.

use bitflow_events::payload::Payload;
use bitflow_portal::billing::details::PaymentDetails;
use bitflow_portal::listen::{self, ListenError};
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::payments::Payments;
use bitflow_stripe::retrieve::Retriever;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::PAYMENTS_TABLE,
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    details: PaymentDetails,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let details = PaymentDetails {
            payments: Payments::new(&dynamo, config.text(config::PAYMENTS_TABLE)),
            retriever: Retriever::new(
                config.url(config::STRIPE_API_BASE),
                config.secret(config::STRIPE_SECRET),
            ),
            dynamo,
        };
        Self { details }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    let university_id = listen::university(&event)?;
    match event.payload {
        Payload::PaymentProcessed(processed) => {
            let filled = cx.details.fill(university_id, &processed).await?;
            tracing::info!(
                target: "bitflow::outcome",
                payment_id = %processed.payment_id,
                filled,
                "payment details looked up",
            );
            Ok(())
        }
        other => Err(ListenError::Unexpected { kind: other.kind() }),
    }
}
