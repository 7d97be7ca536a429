//! `customer.subscription.*`.

use bitflow_domain::billing::subscription::{Report, Subscription};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_events::payload::{Expiring, SubscriptionExpiring};
use bitflow_store::transaction::Transaction;
use bitflow_stripe::object::Subscription as Told;
use jiff::Timestamp;

use super::{News, OPERATION, StripeEvents};
use crate::billing::ledger::{Outcome, Tried, named};
use crate::billing::reports::{new_subscription, put_subscription, terms};
use crate::error::{PortalError, load};

impl StripeEvents {
    /// `created`, `updated`, and, with the end of the trial, `trial_will_end`.
    pub(super) async fn subscription(
        &self,
        news: &News<'_>,
        told: &Told,
        trial_end: Option<Timestamp>,
    ) -> Result<Tried, PortalError> {
        self.reported(news, told, false, trial_end).await
    }

    pub(super) async fn subscription_deleted(
        &self,
        news: &News<'_>,
        told: &Told,
    ) -> Result<Tried, PortalError> {
        self.reported(news, told, true, None).await
    }

    async fn reported(
        &self,
        news: &News<'_>,
        told: &Told,
        deleted: bool,
        trial_end: Option<Timestamp>,
    ) -> Result<Tried, PortalError> {
        let (event, now) = (news.event, news.now);
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
            let adopted = new_subscription(
                (id_of(told), owner),
                &told.id,
                told_terms,
                event.created,
                now,
            );
            return self.store(news, None, &adopted, trial_end).await;
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
                let Some(terms) = terms(&current, false) else {
                    return Ok(Tried::Done(Outcome::NotFollowed));
                };
                let fetched = Report {
                    terms,
                    fetched: true,
                    ..report
                };
                stored.follow(&fetched, now)
            }
            decided => decided,
        };
        match decision {
            Decision::Apply(next) => self.store(news, Some(&stored), &next, trial_end).await,
            // The state is known, but that the trial ends soon is news of its own.
            Decision::Ignore(_) if trial_end.is_some() && !stored.terms.status.is_final() => {
                self.store(news, Some(&stored), &stored, trial_end).await
            }
            Decision::Ignore(why) => self.ledger.note(OPERATION, news.seal, (why, now)).await,
            Decision::AskSource => Ok(Tried::Again),
        }
    }

    async fn store(
        &self,
        news: &News<'_>,
        before: Option<&Subscription>,
        after: &Subscription,
        trial_end: Option<Timestamp>,
    ) -> Result<Tried, PortalError> {
        let when = (news.context, news.now);
        let mut transaction = Transaction::new(&self.ledger.dynamo);
        if before != Some(after) {
            put_subscription(&self.ledger, &mut transaction, before, after, when);
        }
        if let Some(ends_at) = trial_end {
            let expiring = SubscriptionExpiring {
                subscription_id: after.id,
                stripe_subscription_id: after.stripe_subscription_id().map(str::to_owned),
                what: Expiring::Trial,
                ends_at,
            };
            let of = (after.id, after.version);
            self.ledger
                .raise(&mut transaction, when, after.university_id, of, expiring);
        }
        self.ledger
            .commit(
                OPERATION,
                transaction,
                news.seal,
                (Outcome::Applied, news.now),
            )
            .await
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
        let indexed = self.ledger.subscriptions.by_stripe_id(&told.id).await;
        if let Some(key) = indexed.map_err(load(OPERATION))?
            && let Some(stored) = self
                .stored_subscription(key.university_id, key.subscription_id, told)
                .await?
        {
            return Ok((Some(stored), None));
        }
        let metadata = [&told.metadata];
        let owner = self
            .ledger
            .owner(OPERATION, &metadata, Some(&told.customer));
        let Some(university) = owner.await? else {
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
        let stored = self.ledger.subscriptions.get(university, id).await;
        let stored = stored.map_err(load(OPERATION))?;
        Ok(stored.filter(|stored| stored.stripe_subscription_id() == Some(&told.id)))
    }
}

/// Ours from the metadata, or derived from Stripe's.
fn id_of(told: &Told) -> SubscriptionId {
    named(&[&told.metadata], "subscription_id", SubscriptionId::parse)
        .unwrap_or_else(|| SubscriptionId::of_stripe_subscription(&told.id))
}
