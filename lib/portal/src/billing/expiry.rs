//! Which subscriptions end soon, and are warned of.

use bitflow_domain::billing::subscription::{Subscription, SubscriptionStatus};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_events::payload::{Expiring, SubscriptionExpiring};
use bitflow_store::page::PageRequest;
use bitflow_store::transaction::Transaction;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::ledger::{Ledger, Outcome, Rows, Tried, persist};
use crate::error::{PortalError, load};

const OPERATION: &str = "warn of expiring subscriptions";

/// What the events of one run go by.
pub fn correlation(scheduled_at: Timestamp) -> CorrelationId {
    CorrelationId::new(format!("expiring-{scheduled_at}"))
}

/// Finds what ends.
#[derive(Debug)]
pub struct Expiry {
    /// The books.
    pub ledger: Ledger,
    /// How long before its end a subscription is warned of.
    pub ahead: SignedDuration,
}

impl Expiry {
    /// Raises `SubscriptionExpiring` for every subscription that was cancelled for the end of a
    /// period that is close; how many. The warning is noted on the subscription in the same
    /// transaction, so again it finds nothing left to do.
    ///
    /// # Errors
    /// What befell a subscription last, after all others are through. The next run finds those that
    /// are left.
    pub async fn run(&self, scheduled_at: Timestamp) -> Result<usize, PortalError> {
        let context = Context {
            actor: Actor {
                kind: ActorKind::System,
                id: "warn-expiring-subscriptions-job".to_owned(),
            },
            correlation_id: correlation(scheduled_at),
        };
        let window = (scheduled_at, scheduled_at + self.ahead);
        let mut rows = Rows::default();
        for status in SubscriptionStatus::BILLED {
            let mut page = PageRequest {
                limit: 100,
                cursor: None,
            };
            loop {
                let ending = self.ledger.subscriptions.ending(status, window, &page);
                let ending = ending.await.map_err(|source| PortalError::List {
                    operation: OPERATION,
                    source,
                })?;
                for subscription in &ending.data {
                    if subscription.warned(self.ahead, scheduled_at).is_some() {
                        rows.add(self.warn(subscription, &context, scheduled_at).await);
                    }
                }
                page.cursor = ending.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
            }
        }
        rows.finish()
    }

    /// Warns of a subscription as it is now: the list may be a moment old.
    async fn warn(
        &self,
        listed: &Subscription,
        context: &Context,
        now: Timestamp,
    ) -> Result<bool, PortalError> {
        let outcome = persist(OPERATION, || {
            async {
                let (university_id, id) = (listed.university_id, listed.id);
                let stored = self.ledger.subscriptions.get(university_id, id).await;
                let stored = stored
                    .map_err(load(OPERATION))?
                    .ok_or(PortalError::NoSubscription(id))?;
                let Some(next) = stored.warned(self.ahead, now) else {
                    return Ok(Tried::Done(Outcome::Repeated));
                };
                let mut transaction = Transaction::new(&self.ledger.dynamo);
                self.ledger
                    .subscriptions
                    .replace(&mut transaction, &next, stored.version);
                let expiring = SubscriptionExpiring {
                    subscription_id: id,
                    stripe_subscription_id: next.stripe_subscription_id().map(str::to_owned),
                    what: Expiring::Subscription,
                    ends_at: next.terms.current_period_end,
                };
                let of = (id, next.version);
                let when = (context, now);
                self.ledger
                    .raise(&mut transaction, when, university_id, of, expiring);
                let done = (Outcome::Applied, now);
                self.ledger.commit(OPERATION, transaction, None, done).await
            }
            .boxed()
        })
        .await?;
        Ok(outcome == Outcome::Applied)
    }
}
