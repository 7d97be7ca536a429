//! One subscription of the monthly run: its invoice for each month that is due, once.

use bitflow_domain::billing::invoice::NewsKind;
use bitflow_domain::billing::item::{Charge, Description, Lines};
use bitflow_domain::billing::month::Month;
use bitflow_domain::billing::subscription::{
    Billing, ManualPlan, Step, Subscription, SubscriptionStatus,
};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::InvoiceId;
use bitflow_domain::university::UniversityStatus;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_store::idempotency::{Begun, IdempotencyKeys};
use bitflow_store::transaction::Transaction;
use bitflow_stripe::object::Invoice as Told;
use jiff::{SignedDuration, Timestamp};

use super::due::InvoiceDue;
use super::issue::{Draft, issue};
use super::ledger::{Ledger, Outcome, Tried, adopted};
use super::reports::put_subscription;
use crate::customers::Customers;
use crate::error::{PortalError, load};

const OPERATION: &str = "bill month";

/// Most months that one message makes up for; the next run does the rest.
const MOST_MONTHS: usize = 6;

/// Stripe's own invoices older than this are history, and not told of any more.
const RECENT: SignedDuration = SignedDuration::from_hours(62 * 24);

/// Bills the subscriptions of a month's run: manual plans at Stripe, Stripe's own by looking through
/// its invoices.
#[derive(Debug)]
pub struct MonthlyBilling {
    /// The books.
    pub ledger: Ledger,
    /// Stripe, and whose customer is whose there.
    pub customers: Customers,
    /// When each invoice was first tried.
    pub attempts: IdempotencyKeys,
}

impl MonthlyBilling {
    /// Bills what is due; again, it finds nothing left to do.
    ///
    /// A manual plan gets an invoice for each month up to the run's. A subscription that Stripe
    /// bills gets none: Stripe's own invoices are written down, where their webhooks did not do it.
    ///
    /// # Errors
    /// [`PortalError::NoSubscription`], [`PortalError::NoUniversity`]. [`PortalError::BadPlan`]:
    /// what is stored cannot be billed. [`PortalError::Stripe`]: there may be an invoice at Stripe,
    /// which the next try finds. The months that were billed before stay so.
    pub async fn bill(&self, due: &InvoiceDue, now: Timestamp) -> Result<usize, PortalError> {
        let context = Context {
            actor: Actor {
                kind: ActorKind::System,
                id: "invoice-listener".to_owned(),
            },
            correlation_id: correlation(due),
        };
        let mut billed = 0;
        // Each step may lose to somebody faster a few times.
        for _ in 0..3 * MOST_MONTHS {
            let id = due.subscription_id;
            let stored = self.ledger.subscriptions.get(due.university_id, id).await;
            let subscription = stored
                .map_err(load(OPERATION))?
                .ok_or(PortalError::NoSubscription(id))?;
            if let Billing::Stripe { subscription_id } = &subscription.billing {
                if SubscriptionStatus::BILLED.contains(&subscription.terms.status) {
                    return self.reconcile(subscription_id, &context, now).await;
                }
                return Ok(0);
            }
            match subscription.next_step(due.month) {
                Step::Idle => return Ok(billed),
                Step::End => self.end(&subscription, &context, now).await?,
                Step::Bill { .. } if billed == MOST_MONTHS => return Ok(billed),
                Step::Bill { month, plan } => {
                    let made = self.bill_month(&subscription, month, &plan, &context, now);
                    match made.await? {
                        Billed::Yes => billed += 1,
                        Billed::Again => {}
                        Billed::NoMore => self.end(&subscription, &context, now).await?,
                    }
                }
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    /// The invoice of one month, and the subscription's step into it, in one transaction.
    async fn bill_month(
        &self,
        subscription: &Subscription,
        month: Month,
        plan: &ManualPlan,
        context: &Context,
        now: Timestamp,
    ) -> Result<Billed, PortalError> {
        let id = InvoiceId::of_month(subscription.id, month);
        let university_id = subscription.university_id;
        // Stripe's webhook may have brought it already.
        let stored = self.ledger.invoices.get(university_id, id).await;
        let stored = stored.map_err(load(OPERATION))?;
        let mut transaction = Transaction::new(&self.ledger.dynamo);
        if stored.is_none() {
            let Some(told) = self.make(subscription, id, month, plan, now).await? else {
                return Ok(Billed::NoMore);
            };
            let invoice = adopted(id, university_id, &told, now);
            self.ledger.invoices.insert(&mut transaction, &invoice);
            self.ledger
                .generated(&mut transaction, &invoice, (context, now));
        }
        let next = subscription.billed(month, now);
        self.ledger
            .subscriptions
            .replace(&mut transaction, &next, subscription.version);
        let done = (Outcome::Applied, now);
        let tried = self.ledger.commit(OPERATION, transaction, None, done);
        Ok(match tried.await? {
            Tried::Done(_) => Billed::Yes,
            Tried::Again => Billed::Again,
        })
    }

    /// The invoice at Stripe: three calls. None for a university that is deleted.
    async fn make(
        &self,
        subscription: &Subscription,
        id: InvoiceId,
        month: Month,
        plan: &ManualPlan,
        now: Timestamp,
    ) -> Result<Option<Told>, PortalError> {
        let university_id = subscription.university_id;
        let university = self.ledger.universities.get(university_id).await;
        let university = university
            .map_err(load(OPERATION))?
            .ok_or(PortalError::NoUniversity(university_id))?;
        if university.status == UniversityStatus::Deleted {
            return Ok(None);
        }
        let key = format!("invoice:{id}");
        let begun = self.attempts.begin(&key, "", id.as_uuid(), now).await;
        let started_at = match begun.map_err(load(OPERATION))? {
            Begun::Go(attempt) => attempt.started_at,
            // Nobody answers these keys, and all have one fingerprint.
            Begun::Done(_) | Begun::OtherRequest => now,
        };
        let customer = if let Some(customer) = university.stripe_customer_id {
            customer
        } else {
            let asked_at = university.created_at;
            self.customers.ensure(university_id, asked_at, now).await?
        };
        let line = Description::parse(&plan.description)
            .ok()
            .zip(Charge::new(plan.amount.amount).ok());
        let lines = Lines::new(line, plan.amount.currency).map_err(|_| PortalError::BadPlan)?;
        let draft = Draft {
            id,
            university_id,
            customer: &customer,
            of: Some((subscription.id, month)),
            lines: &lines,
            days_until_due: plan.days_until_due,
        };
        issue(&self.customers.stripe, &draft, started_at, now)
            .await
            .map(Some)
            .map_err(|source| PortalError::Stripe {
                operation: OPERATION,
                source,
            })
    }

    /// The end of a plan: it was cancelled for the end of its period, or its university is deleted.
    async fn end(
        &self,
        subscription: &Subscription,
        context: &Context,
        now: Timestamp,
    ) -> Result<(), PortalError> {
        let Decision::Apply(over) = subscription.cancelled(false, now) else {
            return Ok(());
        };
        let mut transaction = Transaction::new(&self.ledger.dynamo);
        let when = (context, now);
        put_subscription(
            &self.ledger,
            &mut transaction,
            Some(subscription),
            &over,
            when,
        );
        let done = (Outcome::Applied, now);
        // Lost to somebody faster: the caller looks again.
        let tried = self.ledger.commit(OPERATION, transaction, None, done);
        tried.await.map(drop)
    }

    /// Writes down Stripe's own invoices: one call.
    async fn reconcile(
        &self,
        stripe_subscription_id: &str,
        context: &Context,
        now: Timestamp,
    ) -> Result<usize, PortalError> {
        let reads = self.customers.stripe.reads();
        let operation = OPERATION;
        let failed = |source| PortalError::Stripe { operation, source };
        let mut told = reads
            .invoices_of_subscription(stripe_subscription_id, now - RECENT)
            .await
            .map_err(failed)?;
        told.reverse();
        let mut adopted = 0;
        for invoice in told {
            let (kind, at) = match invoice.status.as_deref() {
                Some("open") => (NewsKind::Finalized, invoice.created),
                Some("paid") => (NewsKind::Paid, invoice.paid_at.unwrap_or(invoice.created)),
                Some("void") => (NewsKind::Voided, invoice.created),
                Some("uncollectible") => (NewsKind::Uncollectible, invoice.created),
                // A draft becomes one of the others, and is told of then.
                _ => continue,
            };
            let when = (context, now);
            let invoice = reads.with_all_lines(invoice).await.map_err(failed)?;
            let heard = self
                .ledger
                .hear(OPERATION, &invoice, (kind, at), None, when);
            adopted += usize::from(heard.await? == Outcome::Applied);
        }
        Ok(adopted)
    }
}

enum Billed {
    Yes,
    /// Somebody was faster: look again.
    Again,
    /// There is nobody to bill: the plan is over.
    NoMore,
}

/// One run's work on one subscription.
pub fn correlation(due: &InvoiceDue) -> CorrelationId {
    CorrelationId::new(format!("invoices-{}-{}", due.month, due.subscription_id))
}
