//! SQS: a university at Stripe (contract section 2.1). `UniversityCreated` → a customer, its id
//! stored with the university. `UniversityUpdated` → the customer has the new name and address.
//! `UniversityDeleted` → the subscriptions are cancelled; customer and invoices stay.
//!
//! Promise: one university, one customer, as the university is now, and no subscription of a
//! deleted one.
//!
//! On a retry: a university that has its customer is left alone; before that the same idempotency
//! key gives the same customer, and once Stripe has forgotten the key it is found by metadata. An
//! update sends what is stored, not what the event tells, so that an old event undoes nothing. What
//! is cancelled stays so; the next delivery cancels the rest.

use bitflow_domain::university::UniversityField;
use bitflow_events::envelope::Context;
use bitflow_events::payload::Payload;
use bitflow_portal::billing::admin::AdminBilling;
use bitflow_portal::billing::ledger::Ledger;
use bitflow_portal::customers::Customers;
use bitflow_portal::listen::{self, ListenError};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_stripe::api::Client;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::SUBSCRIPTIONS_TABLE,
    config::INVOICES_TABLE,
    config::PAYMENTS_TABLE,
    config::OUTBOX_TABLE,
    config::STRIPE_SECRET,
    config::STRIPE_API_BASE,
];

/// What of a university its customer has.
const OF_THE_CUSTOMER: [UniversityField; 2] =
    [UniversityField::Name, UniversityField::PrimaryEmail];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    billing: AdminBilling,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let ledger = Ledger::new(dynamo.clone(), |kind| config.table(kind));
        let customers = Customers {
            universities: ledger.universities.clone(),
            stripe: Client::new(
                config.url(config::STRIPE_API_BASE),
                config.secret(config::STRIPE_SECRET),
            ),
            dynamo,
        };
        Self {
            billing: AdminBilling { ledger, customers },
        }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    let (university_id, now) = (listen::university(&event)?, clock::now());
    let customers = &cx.billing.customers;
    let (event_id, event_type) = (event.event_id, event.payload.kind());
    match event.payload {
        Payload::UniversityCreated(_) => {
            customers
                .ensure(university_id, event.occurred_at, now)
                .await?;
            tracing::info!(target: "bitflow::outcome", %event_id, event_type, %university_id, "the customer is at Stripe");
        }
        Payload::UniversityUpdated(updated) if updated.touches(&OF_THE_CUSTOMER) => {
            customers
                .refresh(university_id, event.event_id, now)
                .await?;
            tracing::info!(target: "bitflow::outcome", %event_id, event_type, %university_id, "the customer at Stripe is as stored");
        }
        Payload::UniversityUpdated(_) => {
            tracing::info!(target: "bitflow::outcome", %event_id, event_type, %university_id, "nothing of the customer changed");
        }
        Payload::UniversityDeleted(_) => {
            let context = Context {
                actor: event.actor,
                correlation_id: event.correlation_id,
            };
            let cancelled = cx
                .billing
                .cancel_all(university_id, event.occurred_at, &context, now);
            let subscriptions = cancelled.await?;
            tracing::info!(target: "bitflow::outcome", %event_id, event_type, %university_id, subscriptions, "subscriptions cancelled");
        }
        other => return Err(ListenError::Unexpected { kind: other.kind() }),
    }
    Ok(())
}
