//! `customer.deleted`: somebody deleted a customer of ours at Stripe.

use bitflow_domain::decision::Ignored;
use bitflow_events::payload::StripeCustomerDeleted;
use bitflow_store::transaction::Transaction;
use bitflow_stripe::object::Customer;

use super::{News, OPERATION, StripeEvents};
use crate::billing::ledger::{Outcome, Tried};
use crate::error::{PortalError, load};

impl StripeEvents {
    /// The university loses its customer; what is billed next makes another. Its subscriptions end
    /// by events of their own.
    pub(super) async fn customer_deleted(
        &self,
        news: &News<'_>,
        told: &Customer,
    ) -> Result<Tried, PortalError> {
        let metadata = [&told.metadata];
        let owner = self.ledger.owner(OPERATION, &metadata, Some(&told.id));
        let Some(id) = owner.await? else {
            return Ok(Tried::Done(Outcome::NotOurs));
        };
        let university = self.ledger.universities.get(id).await;
        let university = university
            .map_err(load(OPERATION))?
            .ok_or(PortalError::NoUniversity(id))?;
        let Some(next) = university.without_stripe_customer(&told.id, news.now) else {
            let why = (Ignored::AlreadyApplied, news.now);
            return self.ledger.note(OPERATION, news.seal, why).await;
        };
        let mut transaction = Transaction::new(&self.ledger.dynamo);
        self.ledger
            .universities
            .replace(&mut transaction, &next, university.version);
        let deleted = StripeCustomerDeleted {
            stripe_customer_id: told.id.clone(),
        };
        let when = (news.context, news.now);
        self.ledger
            .raise(&mut transaction, when, id, (id, next.version), deleted);
        let done = (Outcome::Applied, news.now);
        self.ledger
            .commit(OPERATION, transaction, news.seal, done)
            .await
    }
}
