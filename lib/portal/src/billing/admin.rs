//! What admins do: subscribe, cancel, invoice, void, remind, and look.

use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus, NewsKind};
use bitflow_domain::billing::item::Lines;
use bitflow_domain::billing::payment::Payment;
use bitflow_domain::billing::subscription::{Billing, ManualPlan, Report, Subscription};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_domain::university::{University, UniversityStatus};
use bitflow_domain::version::Expected;
use bitflow_events::envelope::{Context, EventId};
use bitflow_store::idempotency::Attempt;
use bitflow_store::page::{ListError, Page, PageRequest};
use bitflow_store::transaction::Transaction;
use bitflow_stripe::api::NewSubscription;
use bitflow_stripe::object::Subscription as Told;
use futures_util::FutureExt;
use jiff::Timestamp;

use super::issue::{Draft, age, issue, once};
use super::ledger::{Ledger, Outcome, Tried, adopted, persist};
use super::reminders::reminder;
use super::reports::{new_subscription, put_subscription, terms};
use crate::customers::Customers;
use crate::error::{PortalError, load};

/// Billing, as admins see it.
#[derive(Debug)]
pub struct AdminBilling {
    /// The books.
    pub ledger: Ledger,
    /// Stripe, and whose customer is whose there.
    pub customers: Customers,
}

/// What a subscription is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Stripe bills it (`price_…`).
    Price(String),
    /// The monthly run bills it.
    Manual(ManualPlan),
}

impl AdminBilling {
    /// Subscribes a university. A repeat of `attempt` finds what the first try made.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], and [`PortalError::DeletedUniversity`], also for one that is
    /// deleted meanwhile: what was made for it is cancelled again. [`PortalError::Refused`]: Stripe
    /// does not take the price, or the customer. [`PortalError::Stripe`]: there may be a
    /// subscription at Stripe, which a repeat of `attempt` finds. [`PortalError::UnknownStatus`].
    pub async fn subscribe(
        &self,
        university_id: UniversityId,
        plan: &Plan,
        attempt: &Attempt,
        context: &Context,
        now: Timestamp,
    ) -> Result<Subscription, PortalError> {
        const OPERATION: &str = "create subscription";
        let university = self.billable(OPERATION, university_id).await?;
        let id = SubscriptionId::from_uuid(attempt.resource);
        let stored = self.ledger.subscriptions.get(university_id, id).await;
        if let Some(before) = stored.map_err(load(OPERATION))? {
            return Ok(before);
        }
        let subscription = match plan {
            Plan::Manual(plan) => Subscription::manual(id, university_id, plan.clone(), now),
            Plan::Price(price) => {
                let told = self.subscribe_at_stripe(&university, id, price, attempt, now);
                let told = told.await.map_err(|error| match error {
                    PortalError::Stripe { operation, source } => {
                        PortalError::refused(operation, source, |param| match param {
                            Some("customer") => None,
                            _ => Some("stripe_price_id"),
                        })
                    }
                    other => other,
                })?;
                let terms = terms(&told, false).ok_or(PortalError::UnknownStatus)?;
                let reported_at = told.created.unwrap_or(now);
                new_subscription((id, university_id), &told.id, terms, reported_at, now)
            }
        };
        let made = self.add(subscription, context, now).await?;
        // Deleted while this was under way: what ends its subscriptions may have come by before
        // this one was there.
        let still = self.billable(OPERATION, university_id).await;
        if let Err(PortalError::DeletedUniversity(_)) = &still {
            self.cancel(university_id, id, (false, &Expected::Any), context, now)
                .await?;
        }
        still.map(|_| made)
    }

    /// Writes a new subscription down, or finds it written.
    async fn add(
        &self,
        new: Subscription,
        context: &Context,
        now: Timestamp,
    ) -> Result<Subscription, PortalError> {
        const OPERATION: &str = "create subscription";
        for _ in 0..3 {
            let mut transaction = Transaction::new(&self.ledger.dynamo);
            put_subscription(&self.ledger, &mut transaction, None, &new, (context, now));
            let done = (Outcome::Applied, now);
            let tried = self.ledger.commit(OPERATION, transaction, None, done);
            if let Tried::Done(_) = tried.await? {
                return Ok(new);
            }
            // Stripe's webhook, or a repeat at the same moment, was faster, or is just now.
            let stored = self.ledger.subscriptions.get(new.university_id, new.id);
            if let Some(faster) = stored.await.map_err(load(OPERATION))? {
                return Ok(faster);
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    async fn subscribe_at_stripe(
        &self,
        university: &University,
        id: SubscriptionId,
        price: &str,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Told, PortalError> {
        let operation = "create subscription";
        let stripe = |source| PortalError::Stripe { operation, source };
        let customer = self
            .customers
            .ensure(university.id, university.created_at, now);
        let customer = customer.await?;
        let (university_id, subscription_id) = (university.id.to_string(), id.to_string());
        let (customer, client) = (&*customer, &self.customers.stripe);
        let (university_id, subscription_id) = (&*university_id, &*subscription_id);
        let find = || {
            let since = attempt.started_at;
            let reads = client.reads();
            reads
                .find_subscription(customer, subscription_id, since)
                .boxed()
        };
        let make = |keys: String| {
            let new = NewSubscription {
                customer,
                price,
                university_id,
                subscription_id,
            };
            let key = format!("subscription:{subscription_id}:create:{keys}");
            async move { client.create_subscription(&new, &key).await }.boxed()
        };
        once(age(attempt.started_at, now), find, make)
            .await
            .map_err(stripe)
    }

    /// One subscription.
    ///
    /// # Errors
    /// [`PortalError::NoSubscription`].
    pub async fn subscription(
        &self,
        university_id: UniversityId,
        id: SubscriptionId,
    ) -> Result<Subscription, PortalError> {
        let stored = self.ledger.subscriptions.get(university_id, id).await;
        stored
            .map_err(load("get subscription"))?
            .ok_or(PortalError::NoSubscription(id))
    }

    /// A university's subscriptions.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`]; a deleted one has its subscriptions still.
    pub async fn subscriptions(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Subscription>, PortalError> {
        self.known("list subscriptions", university_id).await?;
        let listed = self.ledger.subscriptions.of_university(university_id, page);
        listed.await.map_err(list("list subscriptions"))
    }

    /// Cancels a subscription: now, or when its period ends. One that is over, or ends so already,
    /// is left as it is, whatever version is `expected`: what was asked for is so.
    ///
    /// # Errors
    /// [`PortalError::NoSubscription`]. [`PortalError::OtherVersion`], before Stripe is asked.
    /// [`PortalError::Refused`]: Stripe does not end it, and it is not over.
    /// [`PortalError::Stripe`]: it may be over; a repeat finds that.
    pub async fn cancel(
        &self,
        university_id: UniversityId,
        id: SubscriptionId,
        (at_period_end, expected): (bool, &Expected),
        context: &Context,
        now: Timestamp,
    ) -> Result<Subscription, PortalError> {
        const OPERATION: &str = "cancel subscription";
        let before = self.subscription(university_id, id).await?;
        let done =
            before.terms.status.is_final() || at_period_end && before.terms.cancel_at_period_end;
        if done {
            return Ok(before);
        }
        // Before Stripe is asked, which cannot be taken back; what changes in the meantime is news
        // of Stripe's.
        let current = before.version;
        if !expected.allows(current) {
            return Err(PortalError::OtherVersion { current });
        }
        let told = match &before.billing {
            Billing::Manual(_) => None,
            Billing::Stripe { subscription_id } => Some(
                self.cancel_at_stripe(subscription_id, at_period_end)
                    .await?,
            ),
        };
        persist(OPERATION, || {
            async {
                let stored = self.subscription(university_id, id).await?;
                let decision = match &told {
                    None => stored.cancelled(at_period_end, now),
                    Some(told) => {
                        let terms = terms(told, false).ok_or(PortalError::UnknownStatus)?;
                        // Stripe's own time of it, so that older news does not undo it.
                        let reported_at = told.canceled_at.unwrap_or(stored.reported_at);
                        let report = Report {
                            terms,
                            reported_at: reported_at.max(stored.reported_at),
                            fetched: true,
                        };
                        stored.follow(&report, now)
                    }
                };
                let Decision::Apply(next) = decision else {
                    return Ok(Tried::Done(Outcome::Applied));
                };
                let mut transaction = Transaction::new(&self.ledger.dynamo);
                let when = (context, now);
                put_subscription(&self.ledger, &mut transaction, Some(&stored), &next, when);
                let done = (Outcome::Applied, now);
                self.ledger.commit(OPERATION, transaction, None, done).await
            }
            .boxed()
        })
        .await?;
        self.subscription(university_id, id).await
    }

    /// The subscription after it was cancelled. Where Stripe refuses, it may be over there already;
    /// if it is not, the refusal stands.
    async fn cancel_at_stripe(&self, id: &str, at_period_end: bool) -> Result<Told, PortalError> {
        let operation = "cancel subscription";
        let failed = |source| PortalError::Stripe { operation, source };
        let stripe = &self.customers.stripe;
        let cancelled = if at_period_end {
            stripe.cancel_subscription_at_period_end(id).await
        } else {
            stripe.cancel_subscription(id).await
        };
        match cancelled {
            Err(refused) if refused.refusal().is_some() => {
                let told = stripe.reads().subscription(id).await.map_err(failed)?;
                let over = terms(&told, false).is_some_and(|terms| terms.status.is_final());
                if over || at_period_end && told.cancel_at_period_end {
                    Ok(told)
                } else {
                    Err(PortalError::refused(operation, refused, |_| None))
                }
            }
            other => other.map_err(failed),
        }
    }

    /// Makes an invoice. A repeat of `attempt` finds what the first try made, and completes it.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], [`PortalError::DeletedUniversity`]. [`PortalError::Refused`]:
    /// Stripe does not take the currency, a line or the customer. [`PortalError::Stripe`]: there
    /// may be a draft or an invoice at Stripe, which a repeat of `attempt` finds.
    pub async fn invoice(
        &self,
        university_id: UniversityId,
        lines: &Lines,
        days_until_due: Option<u16>,
        attempt: &Attempt,
        context: &Context,
        now: Timestamp,
    ) -> Result<Invoice, PortalError> {
        const OPERATION: &str = "create invoice";
        let university = self.billable(OPERATION, university_id).await?;
        let id = InvoiceId::from_uuid(attempt.resource);
        let stored = self.ledger.invoices.get(university_id, id).await;
        if let Some(before) = stored.map_err(load(OPERATION))? {
            return Ok(before);
        }
        let customer = self
            .customers
            .ensure(university_id, university.created_at, now);
        let customer = customer.await?;
        let draft = Draft {
            id,
            university_id,
            customer: &customer,
            of: None,
            lines,
            days_until_due,
        };
        let told = issue(&self.customers.stripe, &draft, attempt.started_at, now)
            .await
            .map_err(|source| {
                PortalError::refused(OPERATION, source, |param| match param {
                    Some("currency") => Some("currency"),
                    Some("customer") => None,
                    _ => Some("items"),
                })
            })?;
        let invoice = adopted(id, university_id, &told, now);
        for _ in 0..3 {
            let mut transaction = Transaction::new(&self.ledger.dynamo);
            self.ledger.invoices.insert(&mut transaction, &invoice);
            self.ledger
                .generated(&mut transaction, &invoice, (context, now));
            let done = (Outcome::Applied, now);
            let tried = self.ledger.commit(OPERATION, transaction, None, done);
            if let Tried::Done(_) = tried.await? {
                return Ok(invoice);
            }
            // Stripe's webhook, or a repeat at the same moment, was faster, or is just now.
            let stored = self.ledger.invoices.get(university_id, id).await;
            if let Some(faster) = stored.map_err(load(OPERATION))? {
                return Ok(faster);
            }
        }
        Err(PortalError::Contended {
            operation: OPERATION,
        })
    }

    /// One invoice.
    ///
    /// # Errors
    /// [`PortalError::NoInvoice`].
    pub async fn get_invoice(
        &self,
        university_id: UniversityId,
        id: InvoiceId,
    ) -> Result<Invoice, PortalError> {
        let stored = self.ledger.invoices.get(university_id, id).await;
        stored
            .map_err(load("get invoice"))?
            .ok_or(PortalError::NoInvoice(id))
    }

    /// A university's invoices, newest first.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`]; a deleted one has its invoices still.
    pub async fn invoices(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Invoice>, PortalError> {
        self.known("list invoices", university_id).await?;
        let listed = self.ledger.invoices.of_university(university_id, page);
        listed.await.map_err(list("list invoices"))
    }

    /// The invoices of one status of all universities, the longest due first. A cursor of another
    /// list is refused.
    pub async fn invoices_by_status(
        &self,
        status: InvoiceStatus,
        due_before: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Invoice>, PortalError> {
        // The index's range takes its end in. Nothing was due before time began.
        let moment = jiff::SignedDuration::from_micros(1);
        let before = |at: Timestamp| at.checked_sub(moment).unwrap_or(Timestamp::UNIX_EPOCH);
        let due_by = due_before.map(|at| before(at).max(Timestamp::UNIX_EPOCH));
        let listed = self.ledger.invoices.by_status(status, due_by, page);
        listed.await.map_err(list("list invoices"))
    }

    /// Withdraws an invoice that is not paid. One that is void is left as it is.
    ///
    /// # Errors
    /// [`PortalError::NoInvoice`]. [`PortalError::NotNow`] where it is paid, or Stripe does not
    /// void it. [`PortalError::Stripe`]: it may be void at Stripe; a repeat finds that.
    pub async fn void(
        &self,
        university_id: UniversityId,
        id: InvoiceId,
        context: &Context,
        now: Timestamp,
    ) -> Result<Invoice, PortalError> {
        const OPERATION: &str = "void invoice";
        let before = self.get_invoice(university_id, id).await?;
        match before.status {
            InvoiceStatus::Void => return Ok(before),
            InvoiceStatus::Paid => {
                return Err(PortalError::NotNow(
                    "A paid invoice cannot be voided; refund its payment instead.".to_owned(),
                ));
            }
            _ => {}
        }
        let stripe = &self.customers.stripe;
        let operation = OPERATION;
        let failed = |source| PortalError::Stripe { operation, source };
        let told = match stripe.void_invoice(&before.stripe_invoice_id).await {
            Err(error) if error.refusal().is_some() => {
                // It is not open any more: void by an earlier try of ours, or paid meanwhile.
                let reads = stripe.reads();
                let told = reads.invoice(&before.stripe_invoice_id).await;
                let told = told.map_err(failed)?;
                if told.status.as_deref() != Some("void") {
                    return Err(PortalError::NotNow(format!(
                        "Stripe does not void this invoice: {}",
                        error
                            .refusal()
                            .and_then(|refusal| refusal.message.as_deref())
                            .unwrap_or("it is not open any more.")
                    )));
                }
                told
            }
            other => other.map_err(failed)?,
        };
        let news = (NewsKind::Voided, now);
        let when = (context, now);
        self.ledger.hear(OPERATION, &told, news, None, when).await?;
        self.get_invoice(university_id, id).await
    }

    /// Has an unpaid invoice reminded of, whatever its age; a repeat of `attempt` does not do it
    /// again.
    ///
    /// # Errors
    /// [`PortalError::NoInvoice`]. [`PortalError::NotNow`] where nothing is to be paid.
    pub async fn remind(
        &self,
        university_id: UniversityId,
        id: InvoiceId,
        attempt: &Attempt,
        context: &Context,
        now: Timestamp,
    ) -> Result<Invoice, PortalError> {
        const OPERATION: &str = "remind of invoice";
        persist(OPERATION, || {
            async {
                let invoice = self.get_invoice(university_id, id).await?;
                if !invoice.status.awaits_payment() {
                    return Err(PortalError::NotNow(format!(
                        "This invoice is {}: there is nothing to remind of.",
                        invoice.status.as_str()
                    )));
                }
                let next = invoice.reminded(None, now);
                let mut transaction = Transaction::new(&self.ledger.dynamo);
                self.ledger
                    .invoices
                    .replace(&mut transaction, &next, invoice.version);
                let of = (next.id, next.version);
                let due = reminder(&next, None);
                let when = (context, now);
                let event = EventId::from_ulid(attempt.resource.as_u128().into());
                self.ledger
                    .raise_as(event, &mut transaction, when, university_id, of, due);
                let done = (Outcome::Applied, now);
                self.ledger.commit(OPERATION, transaction, None, done).await
            }
            .boxed()
        })
        .await?;
        self.get_invoice(university_id, id).await
    }

    /// A university's payments, newest first.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`]; a deleted one has its payments still.
    pub async fn payments(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Payment>, PortalError> {
        self.known("list payments", university_id).await?;
        let listed = self.ledger.payments.of_university(university_id, page);
        listed.await.map_err(list("list payments"))
    }

    /// A university, deleted or not: its bills remain to be seen.
    pub(super) async fn known(
        &self,
        operation: &'static str,
        id: UniversityId,
    ) -> Result<University, PortalError> {
        let university = self.ledger.universities.get(id).await;
        university
            .map_err(load(operation))?
            .ok_or(PortalError::NoUniversity(id))
    }

    /// A university that may be billed.
    async fn billable(
        &self,
        operation: &'static str,
        id: UniversityId,
    ) -> Result<University, PortalError> {
        let university = self.known(operation, id).await?;
        match university.status {
            UniversityStatus::Active => Ok(university),
            UniversityStatus::Deleted => Err(PortalError::deleted_university()),
        }
    }
}

fn list(operation: &'static str) -> impl Fn(ListError) -> PortalError {
    move |source| PortalError::List { operation, source }
}
