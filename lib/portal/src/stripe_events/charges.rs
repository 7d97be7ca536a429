//! `charge.refunded` and `charge.dispute.created`.
//!
//! Neither names its invoice since API 2025-03-31: Stripe is asked what the payment intent paid.

use bitflow_domain::billing::payment::Payment;
use bitflow_domain::decision::Decision;
use bitflow_domain::id::PaymentId;
use bitflow_domain::money::Money;
use bitflow_events::payload::{Payload, PaymentDisputed, PaymentRefunded};
use bitflow_store::transaction::Transaction;
use bitflow_stripe::object::{Charge, Dispute};

use futures_util::FutureExt;

use super::{News, OPERATION, StripeEvents};
use crate::billing::ledger::{Outcome, Tried, persist};
use crate::error::{PortalError, load};

impl StripeEvents {
    pub(super) async fn charge_refunded(
        &self,
        news: &News<'_>,
        told: &Charge,
    ) -> Result<Outcome, PortalError> {
        let paid = self.paid(told.invoice.clone(), told.payment_intent.as_deref());
        let Some(invoice) = paid.await? else {
            return Ok(Outcome::NotOurs);
        };
        let decide = |payment: &Payment| payment.refunded(told.amount_refunded);
        self.payment_changed(news, &invoice, decide, |payment| {
            PaymentRefunded {
                payment_id: payment.id,
                invoice_id: payment.invoice_id,
                amount: payment.amount,
                amount_refunded: payment.amount_refunded,
            }
            .into()
        })
        .await
    }

    pub(super) async fn dispute_created(
        &self,
        news: &News<'_>,
        told: &Dispute,
    ) -> Result<Outcome, PortalError> {
        let paid = self.paid(None, told.payment_intent.as_deref());
        let Some(invoice) = paid.await? else {
            return Ok(Outcome::NotOurs);
        };
        let decide = |payment: &Payment| payment.disputed(told.created);
        self.payment_changed(news, &invoice, decide, |payment| {
            PaymentDisputed {
                payment_id: payment.id,
                invoice_id: payment.invoice_id,
                amount: Money::new(told.amount, payment.amount.currency),
                reason: told.reason.clone(),
            }
            .into()
        })
        .await
    }

    /// Stripe's id of the invoice that was paid; none where it was something else.
    async fn paid(
        &self,
        invoice: Option<String>,
        intent: Option<&str>,
    ) -> Result<Option<String>, PortalError> {
        match (invoice, intent) {
            (Some(invoice), _) => Ok(Some(invoice)),
            (None, Some(intent)) => {
                let operation = OPERATION;
                self.retriever
                    .invoice_paid_by(intent)
                    .await
                    .map_err(|source| PortalError::Stripe { operation, source })
            }
            (None, None) => Ok(None),
        }
    }

    /// Changes the payment of an invoice. Where the invoice is ours and its payment is not there
    /// yet, the news of the payment is still on its way: [`PortalError::TooEarly`], and Stripe
    /// delivers this one again.
    async fn payment_changed(
        &self,
        news: &News<'_>,
        stripe_invoice_id: &str,
        decide: impl Fn(&Payment) -> Decision<Payment> + Sync,
        tell: impl Fn(&Payment) -> Payload + Sync,
    ) -> Result<Outcome, PortalError> {
        let stored = self
            .ledger
            .by_stripe_id(OPERATION, stripe_invoice_id)
            .await?;
        let Some(invoice) = stored else {
            return self.not_ours_or_early(stripe_invoice_id).await;
        };
        let id = PaymentId::of_invoice(invoice.id);
        persist(OPERATION, || {
            async {
                let payment = self.ledger.payments.get(invoice.university_id, id).await;
                let payment = payment
                    .map_err(load(OPERATION))?
                    .ok_or(PortalError::TooEarly)?;
                let next = match decide(&payment) {
                    Decision::Apply(next) => next,
                    Decision::Ignore(why) => {
                        return self
                            .ledger
                            .note(OPERATION, news.seal, (why, news.now))
                            .await;
                    }
                    Decision::AskSource => return Ok(Tried::Again),
                };
                let mut transaction = Transaction::new(&self.ledger.dynamo);
                self.ledger
                    .payments
                    .replace(&mut transaction, &next, payment.version);
                let of = (next.id, next.version);
                let when = (news.context, news.now);
                self.ledger
                    .raise(&mut transaction, when, next.university_id, of, tell(&next));
                let done = (Outcome::Applied, news.now);
                self.ledger
                    .commit(OPERATION, transaction, news.seal, done)
                    .await
            }
            .boxed()
        })
        .await
    }

    /// An invoice that we have not stored: of a stranger, or of ours and about to be.
    async fn not_ours_or_early(&self, stripe_invoice_id: &str) -> Result<Outcome, PortalError> {
        let operation = OPERATION;
        let told = self
            .retriever
            .invoice(stripe_invoice_id)
            .await
            .map_err(|source| PortalError::Stripe { operation, source })?;
        let metadata = [&told.metadata, &told.subscription_metadata];
        let owner = self
            .ledger
            .owner(OPERATION, &metadata, told.customer.as_deref());
        match owner.await? {
            Some(_) => Err(PortalError::TooEarly),
            None => Ok(Outcome::NotOurs),
        }
    }
}
