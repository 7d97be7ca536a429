//! What Stripe's events change, each once and in any order.

mod invoices;
mod subscriptions;

use aws_sdk_dynamodb::Client;
use bitflow_domain::decision::Ignored;
use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_store::inbox::Inbox;
use bitflow_store::invoices::Invoices;
use bitflow_store::outbox::Outbox;
use bitflow_store::payments::Payments;
use bitflow_store::subscriptions::Subscriptions;
use bitflow_store::transaction::{CommitError, Transaction};
use bitflow_store::universities::Universities;
use bitflow_stripe::event::{Event, Object};
use bitflow_stripe::object::Metadata;
use bitflow_stripe::retrieve::Retriever;
use jiff::Timestamp;

use crate::error::{PortalError, commit, load};

/// The inbox's name for the webhook.
pub const CONSUMER: &str = "stripe-webhook";

const OPERATION: &str = "apply Stripe event";

/// Applies events.
#[derive(Debug)]
pub struct StripeEvents {
    /// DynamoDB.
    pub dynamo: Client,
    /// Whose customer is whose.
    pub universities: Universities,
    /// What `customer.subscription.*` changes.
    pub subscriptions: Subscriptions,
    /// What `invoice.*` changes.
    pub invoices: Invoices,
    /// What `invoice.payment_succeeded` adds.
    pub payments: Payments,
    /// Where our events leave.
    pub outbox: Outbox,
    /// Which of Stripe's events were handled.
    pub inbox: Inbox,
    /// Asks Stripe where two events of one second disagree.
    pub retriever: Retriever,
}

/// What became of an event. Each is a success for Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Applied,
    /// It was handled before.
    Repeated,
    /// It changed nothing, and that is noted.
    Ignored(Ignored),
    /// It is about something that is not ours; nothing is stored.
    NotOurs,
    /// We do not follow its type; nothing is stored.
    NotFollowed,
}

/// The event types that change something (contract section 1.1, "Stripe Events Handled").
pub fn follows(kind: &str) -> bool {
    Followed::of(kind).is_some()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    PaymentSucceeded,
    PaymentFailed,
    SubscriptionUpdated,
    SubscriptionDeleted,
}

impl Followed {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "invoice.payment_succeeded" => Some(Self::PaymentSucceeded),
            "invoice.payment_failed" => Some(Self::PaymentFailed),
            "customer.subscription.updated" => Some(Self::SubscriptionUpdated),
            "customer.subscription.deleted" => Some(Self::SubscriptionDeleted),
            _ => None,
        }
    }
}

/// One try at an event: done, or to be loaded and decided again.
enum Tried {
    Done(Outcome),
    Again,
}

impl StripeEvents {
    /// Applies a verified event: entity, payment, our events and the inbox row in one transaction.
    pub async fn apply(
        &self,
        event: &Event,
        correlation_id: CorrelationId,
        now: Timestamp,
    ) -> Result<Outcome, PortalError> {
        let context = Context {
            actor: Actor {
                kind: ActorKind::Stripe,
                id: event.id.clone(),
            },
            correlation_id,
        };
        for _ in 0..3 {
            let tried = match (Followed::of(&event.kind), &event.object) {
                (Some(Followed::PaymentSucceeded), Object::Invoice(told)) => {
                    self.payment_succeeded(event, told, &context, now).await?
                }
                (Some(Followed::PaymentFailed), Object::Invoice(told)) => {
                    self.payment_failed(event, told, &context, now).await?
                }
                (Some(Followed::SubscriptionUpdated), Object::Subscription(told)) => {
                    self.subscription_reported(event, told, false, &context, now)
                        .await?
                }
                (Some(Followed::SubscriptionDeleted), Object::Subscription(told)) => {
                    self.subscription_reported(event, told, true, &context, now)
                        .await?
                }
                _ => return Ok(Outcome::NotFollowed),
            };
            if let Tried::Done(outcome) = tried {
                return Ok(outcome);
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    /// Notes an event that changes nothing.
    async fn note(
        &self,
        event: &Event,
        why: Ignored,
        now: Timestamp,
    ) -> Result<Tried, PortalError> {
        let mut transaction = Transaction::new(&self.dynamo);
        self.inbox.handled(&mut transaction, &event.id, now);
        commit_once(transaction, Outcome::Ignored(why)).await
    }

    /// The university that an object belongs to, if it is one of ours: named by the metadata we put
    /// there, or else by the customer.
    async fn owner(
        &self,
        metadata: &[&Metadata],
        customer: Option<&str>,
    ) -> Result<Option<UniversityId>, PortalError> {
        if let Some(id) = named(metadata, "university_id", UniversityId::parse)
            && let Some(university) = self.universities.get(id).await.map_err(load(OPERATION))?
        {
            // Metadata can be copied by hand; the customer cannot. Not linked yet is fine.
            let linked = university.stripe_customer_id.as_deref();
            if linked.is_none() || customer.is_none() || linked == customer {
                return Ok(Some(id));
            }
        }
        match customer {
            Some(customer) => self
                .universities
                .by_stripe_customer(customer)
                .await
                .map_err(load(OPERATION)),
            None => Ok(None),
        }
    }
}

/// The first value of `key` that `parse` takes.
fn named<T, E>(
    metadata: &[&Metadata],
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    metadata
        .iter()
        .filter_map(|pairs| pairs.get(key))
        .find_map(|text| parse(text).ok())
}

/// Commits; what was handled before is a success, what was changed meanwhile is tried again.
async fn commit_once(transaction: Transaction, outcome: Outcome) -> Result<Tried, PortalError> {
    match transaction.commit().await {
        Ok(()) => Ok(Tried::Done(outcome)),
        Err(CommitError::AlreadyHandled) => Ok(Tried::Done(Outcome::Repeated)),
        Err(CommitError::Conflict { .. }) => Ok(Tried::Again),
        Err(error) => Err(commit(OPERATION)(error)),
    }
}
