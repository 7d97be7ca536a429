//! `customer.subscription.updated` and `customer.subscription.deleted`.

use bitflow_domain::billing::subscription::{Report, Subscription, SubscriptionStatus, Terms};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::SubscriptionStatusChanged;
use bitflow_store::transaction::Transaction;
use bitflow_stripe::event::Event;
use bitflow_stripe::object::Subscription as Told;
use jiff::Timestamp;

use super::{OPERATION, Outcome, StripeEvents, Tried, commit_once, named};
use crate::error::{PortalError, load};
use crate::fresh;

impl StripeEvents {
    pub(super) async fn subscription_reported(
        &self,
        event: &Event,
        told: &Told,
        deleted: bool,
        context: &Context,
        now: Timestamp,
    ) -> Result<Tried, PortalError> {
        let Some(told_terms) = terms(told, deleted) else {
            tracing::warn!(
                target: "bitflow",
                event_id = event.id,
                "the event carries a subscription status that is not known; it is left alone",
            );
            return Ok(Tried::Done(Outcome::NotFollowed));
        };
        let (stored, owner) = self.locate_subscription(told).await?;
        let Some(stored) = stored else {
            let Some(owner) = owner else {
                return Ok(Tried::Done(Outcome::NotOurs));
            };
            let adopted = Subscription {
                id: id_of(told),
                university_id: owner,
                stripe_subscription_id: told.id.clone(),
                terms: told_terms,
                reported_at: event.created,
                version: Version::FIRST,
                created_at: now,
                updated_at: now,
            };
            return self
                .commit_subscription(event, None, &adopted, context, now)
                .await;
        };
        let report = Report {
            terms: told_terms,
            reported_at: event.created,
            fetched: false,
        };
        let decision = match stored.follow(&report, now) {
            Decision::AskSource => {
                let operation = OPERATION;
                let current = self
                    .retriever
                    .subscription(&told.id)
                    .await
                    .map_err(|source| PortalError::Stripe { operation, source })?;
                match terms(&current, false) {
                    Some(terms) => stored.follow(
                        &Report {
                            terms,
                            fetched: true,
                            ..report
                        },
                        now,
                    ),
                    None => return Ok(Tried::Done(Outcome::NotFollowed)),
                }
            }
            decided => decided,
        };
        match decision {
            Decision::Apply(next) => {
                self.commit_subscription(event, Some(&stored), &next, context, now)
                    .await
            }
            Decision::Ignore(why) => self.note(event, why, now).await,
            Decision::AskSource => Ok(Tried::Again),
        }
    }

    /// Stores a subscription; tells of it where its status, or whether it goes on, changed. A
    /// period that moved on is no news.
    async fn commit_subscription(
        &self,
        event: &Event,
        before: Option<&Subscription>,
        after: &Subscription,
        context: &Context,
        now: Timestamp,
    ) -> Result<Tried, PortalError> {
        let mut transaction = Transaction::new(&self.dynamo);
        match before {
            Some(before) => self
                .subscriptions
                .replace(&mut transaction, after, before.version),
            None => self.subscriptions.insert(&mut transaction, after),
        }
        let seen = |it: &Subscription| (it.terms.status, it.terms.cancel_at_period_end);
        if before.map(seen) != Some(seen(after)) {
            let changed = SubscriptionStatusChanged {
                subscription_id: after.id,
                stripe_subscription_id: after.stripe_subscription_id.clone(),
                from: before.map(|before| before.terms.status),
                to: after.terms.status,
                cancel_at_period_end: after.terms.cancel_at_period_end,
                current_period_end: after.terms.current_period_end,
            };
            let news = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                after.university_id,
                (after.id, after.version),
                changed.into(),
            );
            self.outbox.put(&mut transaction, &news);
        }
        self.inbox.handled(&mut transaction, &event.id, now);
        commit_once(transaction, Outcome::Applied).await
    }

    /// The subscription of ours that Stripe tells of; where we have not seen it, its owner.
    async fn locate_subscription(
        &self,
        told: &Told,
    ) -> Result<(Option<Subscription>, Option<UniversityId>), PortalError> {
        let id = id_of(told);
        if let Some(university) = named(&[&told.metadata], "university_id", UniversityId::parse)
            && let Some(stored) = self.stored_subscription(university, id, told).await?
        {
            return Ok((Some(stored), None));
        }
        let indexed = self
            .subscriptions
            .by_stripe_id(&told.id)
            .await
            .map_err(load(OPERATION))?;
        if let Some((university, id)) = indexed
            && let Some(stored) = self.stored_subscription(university, id, told).await?
        {
            return Ok((Some(stored), None));
        }
        let Some(university) = self.owner(&[&told.metadata], Some(&told.customer)).await? else {
            return Ok((None, None));
        };
        // The index lags: the row may be there already.
        Ok((
            self.stored_subscription(university, id, told).await?,
            Some(university),
        ))
    }

    async fn stored_subscription(
        &self,
        university: UniversityId,
        id: SubscriptionId,
        told: &Told,
    ) -> Result<Option<Subscription>, PortalError> {
        let stored = self
            .subscriptions
            .get(university, id)
            .await
            .map_err(load(OPERATION))?;
        Ok(stored.filter(|stored| stored.stripe_subscription_id == told.id))
    }
}

/// Ours from the metadata, or derived from Stripe's.
fn id_of(told: &Told) -> SubscriptionId {
    named(&[&told.metadata], "subscription_id", SubscriptionId::parse)
        .unwrap_or_else(|| SubscriptionId::of_stripe_subscription(&told.id))
}

/// What Stripe tells, in our words; nothing where it uses a status we do not know.
fn terms(told: &Told, deleted: bool) -> Option<Terms> {
    let status = match told.status.as_str() {
        _ if deleted => SubscriptionStatus::Cancelled,
        "incomplete" => SubscriptionStatus::Incomplete,
        "incomplete_expired" => SubscriptionStatus::IncompleteExpired,
        "trialing" => SubscriptionStatus::Trialing,
        "active" => SubscriptionStatus::Active,
        "past_due" => SubscriptionStatus::PastDue,
        "unpaid" => SubscriptionStatus::Unpaid,
        "paused" => SubscriptionStatus::Paused,
        "canceled" => SubscriptionStatus::Cancelled,
        _ => return None,
    };
    Some(Terms {
        status,
        stripe_price_id: told.price.clone(),
        current_period_start: told.current_period_start,
        current_period_end: told.current_period_end,
        cancel_at_period_end: told.cancel_at_period_end,
    })
}
