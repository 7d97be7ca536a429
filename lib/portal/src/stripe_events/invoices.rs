//! `invoice.payment_succeeded` and `invoice.payment_failed`.

use bitflow_domain::billing::invoice::{
    Invoice, InvoiceStatus, PaymentAttemptFailed, PaymentSucceeded,
};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::{InvoiceGenerated, Payload, PaymentFailed, PaymentProcessed};
use bitflow_store::transaction::Transaction;
use bitflow_stripe::event::Event;
use bitflow_stripe::object::Invoice as Told;
use jiff::Timestamp;

use super::{OPERATION, Outcome, StripeEvents, Tried, commit_once, named};
use crate::error::{PortalError, load};
use crate::fresh;

/// An invoice of ours, stored already or about to be adopted.
struct Ours {
    invoice: Invoice,
    stored: bool,
}

impl StripeEvents {
    pub(super) async fn payment_succeeded(
        &self,
        event: &Event,
        told: &Told,
        context: &Context,
        now: Timestamp,
    ) -> Result<Tried, PortalError> {
        let Some(ours) = self.locate_invoice(told, now).await? else {
            return Ok(Tried::Done(Outcome::NotOurs));
        };
        let news = PaymentSucceeded {
            amount_paid: Money::new(told.amount_paid, currency(told)),
            paid_at: told.paid_at.unwrap_or(event.created),
            attempt_count: told.attempt_count,
            method: told.payment_method_type.clone(),
            stripe_payment_intent_id: told.payment_intent.clone(),
        };
        let (invoice, payment) = match ours.invoice.payment_succeeded(&news, now) {
            Decision::Apply(next) => next,
            Decision::Ignore(why) => return self.note(event, why, now).await,
            Decision::AskSource => return Ok(Tried::Again),
        };
        let processed = PaymentProcessed {
            payment_id: payment.id,
            invoice_id: invoice.id,
            stripe_invoice_id: invoice.stripe_invoice_id.clone(),
            invoice_number: invoice.number.clone(),
            amount: payment.amount,
            method: payment.method.clone(),
            stripe_payment_intent_id: payment.stripe_payment_intent_id.clone(),
        };
        let mut transaction = Transaction::new(&self.dynamo);
        self.payments.insert(&mut transaction, &payment);
        self.put(
            &mut transaction,
            &ours,
            &invoice,
            processed.into(),
            context,
            now,
        );
        self.inbox.handled(&mut transaction, &event.id, now);
        commit_once(transaction, Outcome::Applied).await
    }

    pub(super) async fn payment_failed(
        &self,
        event: &Event,
        told: &Told,
        context: &Context,
        now: Timestamp,
    ) -> Result<Tried, PortalError> {
        let Some(ours) = self.locate_invoice(told, now).await? else {
            return Ok(Tried::Done(Outcome::NotOurs));
        };
        let news = PaymentAttemptFailed {
            attempt_count: told.attempt_count,
        };
        let invoice = match ours.invoice.payment_failed(&news, now) {
            Decision::Apply(next) => next,
            Decision::Ignore(why) => return self.note(event, why, now).await,
            Decision::AskSource => return Ok(Tried::Again),
        };
        let failed = PaymentFailed {
            invoice_id: invoice.id,
            stripe_invoice_id: invoice.stripe_invoice_id.clone(),
            invoice_number: invoice.number.clone(),
            amount_due: invoice.amount_due,
            attempt_count: invoice.attempt_count,
            next_attempt_at: told.next_payment_attempt,
            hosted_invoice_url: invoice.hosted_invoice_url.clone(),
        };
        let mut transaction = Transaction::new(&self.dynamo);
        self.put(
            &mut transaction,
            &ours,
            &invoice,
            failed.into(),
            context,
            now,
        );
        self.inbox.handled(&mut transaction, &event.id, now);
        commit_once(transaction, Outcome::Applied).await
    }

    /// Adds the invoice as it is now and the event about it; before that, where it is adopted,
    /// `InvoiceGenerated`.
    fn put(
        &self,
        transaction: &mut Transaction,
        ours: &Ours,
        invoice: &Invoice,
        news: Payload,
        context: &Context,
        now: Timestamp,
    ) {
        let raise = |transaction: &mut Transaction, version: Version, payload: Payload| {
            let event = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                invoice.university_id,
                (invoice.id, version),
                payload,
            );
            self.outbox.put(transaction, &event);
        };
        if ours.stored {
            self.invoices
                .replace(transaction, invoice, ours.invoice.version);
        } else {
            self.invoices.insert(transaction, invoice);
            let generated = InvoiceGenerated {
                invoice_id: invoice.id,
                stripe_invoice_id: invoice.stripe_invoice_id.clone(),
                invoice_number: invoice.number.clone(),
                amount_due: invoice.amount_due,
                due_at: invoice.due_at,
                hosted_invoice_url: invoice.hosted_invoice_url.clone(),
            };
            raise(transaction, ours.invoice.version, generated.into());
        }
        raise(transaction, invoice.version, news);
    }

    /// The invoice of ours that Stripe tells of. By the ids in its metadata, by Stripe's id, or,
    /// where we have not seen it and its customer is ours, as a new one.
    async fn locate_invoice(
        &self,
        told: &Told,
        now: Timestamp,
    ) -> Result<Option<Ours>, PortalError> {
        let derived = InvoiceId::of_stripe_invoice(&told.id);
        let id = named(&[&told.metadata], "invoice_id", InvoiceId::parse).unwrap_or(derived);
        let metadata = [&told.metadata, &told.subscription_metadata];
        if let Some(university) = named(&metadata, "university_id", UniversityId::parse)
            && let Some(stored) = self.stored_invoice(university, id, told).await?
        {
            return Ok(Some(stored));
        }
        let indexed = self
            .invoices
            .by_stripe_id(&told.id)
            .await
            .map_err(load(OPERATION))?;
        if let Some((university, id)) = indexed
            && let Some(stored) = self.stored_invoice(university, id, told).await?
        {
            return Ok(Some(stored));
        }
        let Some(university) = self.owner(&metadata, told.customer.as_deref()).await? else {
            return Ok(None);
        };
        // The index lags: the row may be there already. And metadata can be copied by hand: an id
        // that another invoice has is not this one's.
        let id = match self
            .invoices
            .get(university, id)
            .await
            .map_err(load(OPERATION))?
        {
            Some(invoice) if invoice.stripe_invoice_id == told.id => {
                return Ok(Some(Ours {
                    invoice,
                    stored: true,
                }));
            }
            Some(_) => derived,
            None => id,
        };
        Ok(Some(Ours {
            invoice: adopted(id, university, told, now),
            stored: false,
        }))
    }

    async fn stored_invoice(
        &self,
        university: UniversityId,
        id: InvoiceId,
        told: &Told,
    ) -> Result<Option<Ours>, PortalError> {
        let invoice = self
            .invoices
            .get(university, id)
            .await
            .map_err(load(OPERATION))?;
        let same = invoice.filter(|invoice| invoice.stripe_invoice_id == told.id);
        Ok(same.map(|invoice| Ours {
            invoice,
            stored: true,
        }))
    }
}

/// An invoice that Stripe made, as it was before the news.
fn adopted(id: InvoiceId, university_id: UniversityId, told: &Told, now: Timestamp) -> Invoice {
    let subscription_id = told.subscription.as_deref().map(|stripe_id| {
        named(
            &[&told.subscription_metadata],
            "subscription_id",
            SubscriptionId::parse,
        )
        .unwrap_or_else(|| SubscriptionId::of_stripe_subscription(stripe_id))
    });
    Invoice {
        id,
        university_id,
        subscription_id,
        stripe_invoice_id: told.id.clone(),
        number: told.number.clone(),
        status: InvoiceStatus::Open,
        amount_due: Money::new(told.amount_due, currency(told)),
        attempt_count: 0,
        due_at: told.due_date.unwrap_or(told.created),
        paid_at: None,
        hosted_invoice_url: told.hosted_invoice_url.clone(),
        version: Version::FIRST,
        created_at: now,
        updated_at: now,
    }
}

/// Stripe's currency; it always sends one that is a code.
fn currency(told: &Told) -> Currency {
    Currency::parse(&told.currency).unwrap_or(Currency::USD)
}
