//! SQS: `UniversityCreated` → a customer at Stripe, its id stored with the university
//! (contract section 2.1, `CreateStripeCustomer`).
//!
//! Promise: one university, one customer.
//!
//! On a retry: a university that has its customer is left alone; before that the same idempotency
//! key gives the same customer, and once Stripe has forgotten the key it is found by metadata.

use bitflow_events::payload::Payload;
use bitflow_portal::customers::Customers;
use bitflow_portal::listen::{self, ListenError};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::universities::Universities;
use bitflow_stripe::api::Client;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    customers: Customers,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let customers = Customers {
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            stripe: Client::new(
                config.url(config::STRIPE_API_BASE),
                config.secret(config::STRIPE_SECRET),
            ),
            dynamo,
        };
        Self { customers }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    match event.payload {
        Payload::UniversityCreated(_) => {
            cx.customers
                .ensure(event.university_id, event.occurred_at, clock::now())
                .await?;
            Ok(())
        }
        other => Err(ListenError::Unexpected { kind: other.kind() }),
    }
}
