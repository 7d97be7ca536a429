//! What Stripe's events change, each once and in any order.

mod charges;
mod customers;
mod subscriptions;

use bitflow_domain::billing::invoice::NewsKind;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_store::inbox::Inbox;
use bitflow_stripe::event::{Event, Object};
use bitflow_stripe::retrieve::Retriever;
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::billing::ledger::{Ledger, Outcome, Seal, persist};
use crate::error::PortalError;

/// The inbox's name for the webhook.
pub const CONSUMER: &str = "stripe-webhook";

const OPERATION: &str = "apply Stripe event";

/// Applies Stripe's events to the books.
#[derive(Debug)]
pub struct StripeEvents {
    /// What they change.
    pub ledger: Ledger,
    /// Which of them were handled.
    pub inbox: Inbox,
    /// Asks Stripe what an event does not tell.
    pub retriever: Retriever,
}

/// The event types that change something: the contract's four (section 1.1, "Stripe Events
/// Handled") and those without which the books would not follow Stripe.
const FOLLOWED: [(&str, Followed); 14] = [
    ("invoice.finalized", Followed::Invoice(NewsKind::Finalized)),
    // Paid outside of Stripe, an invoice raises only the second.
    (
        "invoice.payment_succeeded",
        Followed::Invoice(NewsKind::Paid),
    ),
    ("invoice.paid", Followed::Invoice(NewsKind::Paid)),
    (
        "invoice.payment_failed",
        Followed::Invoice(NewsKind::Failed),
    ),
    (
        "invoice.payment_action_required",
        Followed::Invoice(NewsKind::ActionRequired),
    ),
    (
        "invoice.marked_uncollectible",
        Followed::Invoice(NewsKind::Uncollectible),
    ),
    ("invoice.voided", Followed::Invoice(NewsKind::Voided)),
    ("customer.subscription.created", Followed::Subscription),
    ("customer.subscription.updated", Followed::Subscription),
    (
        "customer.subscription.deleted",
        Followed::SubscriptionDeleted,
    ),
    (
        "customer.subscription.trial_will_end",
        Followed::TrialWillEnd,
    ),
    ("charge.refunded", Followed::ChargeRefunded),
    ("charge.dispute.created", Followed::DisputeCreated),
    ("customer.deleted", Followed::CustomerDeleted),
];

/// What an event of such a type is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    Invoice(NewsKind),
    Subscription,
    SubscriptionDeleted,
    TrialWillEnd,
    ChargeRefunded,
    DisputeCreated,
    CustomerDeleted,
}

impl Followed {
    fn of(kind: &str) -> Option<Self> {
        let mut all = FOLLOWED.into_iter();
        all.find_map(|(it, followed)| (it == kind).then_some(followed))
    }
}

/// Whether events of this type change something.
pub fn follows(kind: &str) -> bool {
    Followed::of(kind).is_some()
}

/// The types of events that change something: those that the endpoint is registered for.
pub fn followed() -> impl Iterator<Item = &'static str> {
    FOLLOWED.into_iter().map(|(kind, _)| kind)
}

/// An event on its way into the books.
struct News<'a> {
    event: &'a Event,
    context: &'a Context,
    seal: Option<Seal<'a>>,
    now: Timestamp,
}

impl StripeEvents {
    /// Applies a verified event: entity, payment, our events and the inbox row in one transaction.
    ///
    /// # Errors
    /// [`PortalError::TooEarly`]: the news that it builds on is still to come.
    /// [`PortalError::Stripe`]: what the event lacks could not be asked. Either way nothing is
    /// stored, and Stripe shall deliver it again.
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
        let seal = Seal {
            inbox: &self.inbox,
            message_id: &event.id,
        };
        let news = News {
            event,
            context: &context,
            seal: Some(seal),
            now,
        };
        let Some(followed) = Followed::of(&event.kind) else {
            return Ok(Outcome::NotFollowed);
        };
        match (followed, &event.object) {
            (Followed::Invoice(kind), Object::Invoice(told)) => {
                let at = told.paid_at.filter(|_| kind == NewsKind::Paid);
                let happened = (kind, at.unwrap_or(event.created));
                let operation = OPERATION;
                let told = self.retriever.with_all_lines((**told).clone()).await;
                let told = told.map_err(|source| PortalError::Stripe { operation, source })?;
                self.ledger
                    .hear(OPERATION, &told, happened, news.seal, (&context, now))
                    .await
            }
            (Followed::Subscription, Object::Subscription(told)) => {
                persist(OPERATION, || {
                    async { self.subscription(&news, told, None).await }.boxed()
                })
                .await
            }
            (Followed::SubscriptionDeleted, Object::Subscription(told)) => {
                persist(OPERATION, || {
                    async { self.subscription_deleted(&news, told).await }.boxed()
                })
                .await
            }
            (Followed::TrialWillEnd, Object::Subscription(told)) => {
                persist(OPERATION, || {
                    async { self.subscription(&news, told, told.trial_end).await }.boxed()
                })
                .await
            }
            (Followed::ChargeRefunded, Object::Charge(told)) => {
                self.charge_refunded(&news, told).await
            }
            (Followed::DisputeCreated, Object::Dispute(told)) => {
                self.dispute_created(&news, told).await
            }
            (Followed::CustomerDeleted, Object::Customer(told)) => {
                persist(OPERATION, || {
                    async { self.customer_deleted(&news, told).await }.boxed()
                })
                .await
            }
            _ => Ok(Outcome::NotFollowed),
        }
    }
}
