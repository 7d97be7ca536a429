//! The books: the tables of billing, and how an invoice of Stripe's is written into them. Webhooks,
//! the monthly run and admins all come this way.

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus, News, NewsKind};
use bitflow_domain::billing::item::Item;
use bitflow_domain::billing::month::{Month, Period};
use bitflow_domain::decision::{Decision, Ignored};
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Context, Envelope, EventId};
use bitflow_events::payload::{
    InvoiceGenerated, InvoiceMarkedUncollectible, InvoiceVoided, Payload, PaymentActionRequired,
    PaymentFailed, PaymentProcessed,
};
use bitflow_store::inbox::Inbox;
use bitflow_store::invoices::Invoices;
use bitflow_store::outbox::Outbox;
use bitflow_store::payments::Payments;
use bitflow_store::subscriptions::Subscriptions;
use bitflow_store::transaction::{CommitError, Transaction};
use bitflow_store::universities::Universities;
use bitflow_stripe::object::{Invoice as Told, Metadata};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::contention;
use crate::error::{PortalError, load};
use crate::fresh;

/// The tables.
#[derive(Debug)]
pub struct Ledger {
    /// DynamoDB.
    pub dynamo: Client,
    /// Whose customer is whose.
    pub universities: Universities,
    /// What is billed again and again.
    pub subscriptions: Subscriptions,
    /// What is asked for.
    pub invoices: Invoices,
    /// What came in.
    pub payments: Payments,
    /// Where events leave.
    pub outbox: Outbox,
}

/// The message that a change answers: noted as handled with the change, or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal<'a> {
    pub(crate) inbox: &'a Inbox,
    pub(crate) message_id: &'a str,
}

/// What became of a message.
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

/// One try at a change: done, or to be loaded and decided again.
pub(crate) enum Tried {
    Done(Outcome),
    Again,
}

/// The rows of a job's run: one that fails does not keep the others from their turn.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    changed: usize,
    failed: Option<PortalError>,
}

impl Rows {
    /// Whether a row was changed, or why not.
    pub(crate) fn add(&mut self, row: Result<bool, PortalError>) {
        match row {
            Ok(changed) => self.changed += usize::from(changed),
            Err(error) => {
                tracing::warn!(target: "bitflow", %error, "a row is left for the next run");
                self.failed = Some(error);
            }
        }
    }

    /// How many were changed; the last failure, if there was any.
    pub(crate) fn finish(self) -> Result<usize, PortalError> {
        self.failed.map_or(Ok(self.changed), Err)
    }
}

/// Tries a change again while somebody else is faster; three times at most.
///
/// Boxed, since the compiler does not see that a borrowing async closure's future is `Send`.
pub(crate) async fn persist<'a>(
    operation: &'static str,
    attempt: impl Fn() -> BoxFuture<'a, Result<Tried, PortalError>>,
) -> Result<Outcome, PortalError> {
    for _ in 0..3 {
        if let Tried::Done(outcome) = attempt().await? {
            return Ok(outcome);
        }
    }
    Err(PortalError::Contended { operation })
}

/// An invoice of ours, stored already or about to be adopted.
struct Ours {
    invoice: Invoice,
    stored: bool,
}

impl Ledger {
    /// The tables; `name` tells the name of each, by its kind (`invoices`).
    pub fn new(dynamo: Client, name: impl Fn(&'static str) -> String) -> Self {
        Self {
            universities: Universities::new(&dynamo, name("universities")),
            subscriptions: Subscriptions::new(&dynamo, name("subscriptions")),
            invoices: Invoices::new(&dynamo, name("invoices")),
            payments: Payments::new(&dynamo, name("payments")),
            outbox: Outbox::new(&dynamo, name("outbox")),
            dynamo,
        }
    }

    /// Raises an event in the transaction of the change it tells of.
    pub(crate) fn raise(
        &self,
        transaction: &mut Transaction,
        (context, now): (&Context, Timestamp),
        university_id: UniversityId,
        aggregate: (impl std::fmt::Display, Version),
        payload: impl Into<Payload>,
    ) {
        let id = fresh::event_id(now);
        self.raise_as(
            id,
            transaction,
            (context, now),
            university_id,
            aggregate,
            payload,
        );
    }

    /// The same under an id that a repeat has again: then the event was raised before, and the
    /// commit ends as [`Outcome::Repeated`].
    pub(crate) fn raise_as(
        &self,
        id: EventId,
        transaction: &mut Transaction,
        (context, now): (&Context, Timestamp),
        university_id: UniversityId,
        aggregate: (impl std::fmt::Display, Version),
        payload: impl Into<Payload>,
    ) {
        let event = Envelope::new(id, now, context, university_id, aggregate, payload.into());
        self.outbox.put(transaction, &event);
    }

    /// Commits; what was handled before is a success, what was changed meanwhile is tried again.
    pub(crate) async fn commit(
        &self,
        operation: &'static str,
        mut transaction: Transaction,
        seal: Option<Seal<'_>>,
        (outcome, now): (Outcome, Timestamp),
    ) -> Result<Tried, PortalError> {
        if let Some(seal) = seal {
            seal.inbox.handled(&mut transaction, seal.message_id, now);
        }
        match transaction.commit().await {
            Ok(()) => Ok(Tried::Done(outcome)),
            Err(
                CommitError::AlreadyHandled
                | CommitError::Conflict {
                    entity: Outbox::ENTITY,
                },
            ) => Ok(Tried::Done(Outcome::Repeated)),
            Err(error) => {
                contention::lost(operation, error).await?;
                Ok(Tried::Again)
            }
        }
    }

    /// Notes a message that changes nothing.
    pub(crate) async fn note(
        &self,
        operation: &'static str,
        seal: Option<Seal<'_>>,
        (why, now): (Ignored, Timestamp),
    ) -> Result<Tried, PortalError> {
        let outcome = Outcome::Ignored(why);
        if seal.is_none() {
            return Ok(Tried::Done(outcome));
        }
        let transaction = Transaction::new(&self.dynamo);
        self.commit(operation, transaction, seal, (outcome, now))
            .await
    }

    /// Writes down what Stripe tells of an invoice; where we have not seen it and its customer is
    /// ours, it is adopted first.
    pub(crate) async fn hear(
        &self,
        operation: &'static str,
        told: &Told,
        (kind, at): (NewsKind, Timestamp),
        seal: Option<Seal<'_>>,
        (context, now): (&Context, Timestamp),
    ) -> Result<Outcome, PortalError> {
        persist(operation, || {
            async {
                let Some(ours) = self.locate(operation, told, now).await? else {
                    return Ok(Tried::Done(Outcome::NotOurs));
                };
                let news = News {
                    kind,
                    attempt_count: told.attempt_count,
                    at,
                };
                let mut transaction = Transaction::new(&self.dynamo);
                let invoice = match ours.invoice.hear(news, now) {
                    Decision::Apply(next) => {
                        let payload = self.consequence(&mut transaction, told, &next, (kind, at));
                        let of = (next.id, next.version);
                        if !ours.stored {
                            self.generated(&mut transaction, &ours.invoice, (context, now));
                        }
                        if let Some(payload) = payload {
                            let when = (context, now);
                            self.raise(&mut transaction, when, next.university_id, of, payload);
                        }
                        next
                    }
                    Decision::Ignore(_) if !ours.stored => {
                        self.generated(&mut transaction, &ours.invoice, (context, now));
                        ours.invoice.clone()
                    }
                    Decision::Ignore(why) => return self.note(operation, seal, (why, now)).await,
                    Decision::AskSource => return Ok(Tried::Again),
                };
                if ours.stored {
                    self.invoices
                        .replace(&mut transaction, &invoice, ours.invoice.version);
                } else {
                    self.invoices.insert(&mut transaction, &invoice);
                }
                self.commit(operation, transaction, seal, (Outcome::Applied, now))
                    .await
            }
            .boxed()
        })
        .await
    }

    /// What else is written with the news, and the event that tells of it.
    fn consequence(
        &self,
        transaction: &mut Transaction,
        told: &Told,
        invoice: &Invoice,
        (kind, at): (NewsKind, Timestamp),
    ) -> Option<Payload> {
        let invoice_id = invoice.id;
        let stripe_invoice_id = invoice.stripe_invoice_id.clone();
        let invoice_number = invoice.number.clone();
        let amount_due = invoice.amount_due;
        let hosted_invoice_url = invoice.hosted_invoice_url.clone();
        Some(match kind {
            NewsKind::Finalized => return None,
            NewsKind::Paid => {
                let payment = invoice.payment(
                    Money::new(told.amount_paid, currency(told)),
                    told.payment_method_type.clone(),
                    told.payment_intent.clone(),
                    at,
                );
                self.payments.insert(transaction, &payment);
                PaymentProcessed {
                    payment_id: payment.id,
                    invoice_id,
                    stripe_invoice_id,
                    invoice_number,
                    amount: payment.amount,
                    method: payment.method,
                    stripe_payment_intent_id: payment.stripe_payment_intent_id,
                }
                .into()
            }
            NewsKind::Failed => PaymentFailed {
                invoice_id,
                stripe_invoice_id,
                invoice_number,
                amount_due,
                attempt_count: invoice.attempt_count,
                next_attempt_at: told.next_payment_attempt,
                hosted_invoice_url,
            }
            .into(),
            NewsKind::ActionRequired => PaymentActionRequired {
                invoice_id,
                stripe_invoice_id,
                invoice_number,
                amount_due,
                hosted_invoice_url,
            }
            .into(),
            NewsKind::Voided => InvoiceVoided {
                invoice_id,
                stripe_invoice_id,
                invoice_number,
                amount_due,
            }
            .into(),
            NewsKind::Uncollectible => InvoiceMarkedUncollectible {
                invoice_id,
                stripe_invoice_id,
                invoice_number,
                amount_due,
            }
            .into(),
        })
    }

    /// Raises `InvoiceGenerated` for an invoice that is new to us.
    pub(crate) fn generated(
        &self,
        transaction: &mut Transaction,
        invoice: &Invoice,
        when: (&Context, Timestamp),
    ) {
        let generated = InvoiceGenerated {
            invoice_id: invoice.id,
            stripe_invoice_id: invoice.stripe_invoice_id.clone(),
            invoice_number: invoice.number.clone(),
            amount_due: invoice.amount_due,
            due_at: invoice.due_at,
            hosted_invoice_url: invoice.hosted_invoice_url.clone(),
        };
        let of = (invoice.id, invoice.version);
        self.raise(transaction, when, invoice.university_id, of, generated);
    }

    /// The invoice of ours that Stripe tells of. By the ids in its metadata, by Stripe's id, or,
    /// where we have not seen it and its customer is ours, as a new one.
    async fn locate(
        &self,
        operation: &'static str,
        told: &Told,
        now: Timestamp,
    ) -> Result<Option<Ours>, PortalError> {
        if let Some(invoice) = self.stored(operation, told).await? {
            return Ok(Some(Ours {
                invoice,
                stored: true,
            }));
        }
        let metadata = [&told.metadata, &told.subscription_metadata];
        let owner = self.owner(operation, &metadata, told.customer.as_deref());
        let Some(university) = owner.await? else {
            return Ok(None);
        };
        // The index lags: the row may be there already. And metadata can be copied by hand: an id
        // that another invoice has is not this one's.
        let derived = InvoiceId::of_stripe_invoice(&told.id);
        let id = named(&[&told.metadata], "invoice_id", InvoiceId::parse).unwrap_or(derived);
        let there = self.invoices.get(university, id).await;
        let id = match there.map_err(load(operation))? {
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

    /// The invoice that we have stored of what Stripe tells.
    pub(crate) async fn stored(
        &self,
        operation: &'static str,
        told: &Told,
    ) -> Result<Option<Invoice>, PortalError> {
        let id = named(&[&told.metadata], "invoice_id", InvoiceId::parse)
            .unwrap_or_else(|| InvoiceId::of_stripe_invoice(&told.id));
        let metadata = [&told.metadata, &told.subscription_metadata];
        if let Some(university) = named(&metadata, "university_id", UniversityId::parse) {
            let invoice = self.invoices.get(university, id).await;
            let invoice = invoice.map_err(load(operation))?;
            if let Some(invoice) = invoice.filter(|it| it.stripe_invoice_id == told.id) {
                return Ok(Some(invoice));
            }
        }
        self.by_stripe_id(operation, &told.id).await
    }

    /// The invoice with this id at Stripe, as of now.
    pub(crate) async fn by_stripe_id(
        &self,
        operation: &'static str,
        stripe_invoice_id: &str,
    ) -> Result<Option<Invoice>, PortalError> {
        let indexed = self.invoices.by_stripe_id(stripe_invoice_id).await;
        let Some((university, id)) = indexed.map_err(load(operation))? else {
            return Ok(None);
        };
        let invoice = self.invoices.get(university, id).await;
        let invoice = invoice.map_err(load(operation))?;
        Ok(invoice.filter(|invoice| invoice.stripe_invoice_id == stripe_invoice_id))
    }

    /// The university that an object belongs to, if it is one of ours: named by the metadata we put
    /// there, or else by the customer.
    pub(crate) async fn owner(
        &self,
        operation: &'static str,
        metadata: &[&Metadata],
        customer: Option<&str>,
    ) -> Result<Option<UniversityId>, PortalError> {
        if let Some(id) = named(metadata, "university_id", UniversityId::parse)
            && let Some(university) = self.universities.get(id).await.map_err(load(operation))?
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
                .map_err(load(operation)),
            None => Ok(None),
        }
    }
}

/// An invoice that is at Stripe, as it was before any news.
pub(crate) fn adopted(
    id: InvoiceId,
    university_id: UniversityId,
    told: &Told,
    now: Timestamp,
) -> Invoice {
    let metadata = [&told.metadata, &told.subscription_metadata];
    let named_subscription = named(&metadata, "subscription_id", SubscriptionId::parse);
    let subscription_id = named_subscription.or_else(|| {
        let stripe_id = told.subscription.as_deref()?;
        Some(SubscriptionId::of_stripe_subscription(stripe_id))
    });
    let month = named(&[&told.metadata], "month", str::parse::<Month>);
    let told_period = || {
        told.subscription.as_ref()?;
        let (start, end) = told.lines.iter().find_map(|line| line.period)?;
        Some(Period { start, end })
    };
    let items = told.lines.iter().map(|line| Item {
        description: line.description.clone().unwrap_or_default(),
        amount: line.amount,
    });
    Invoice {
        id,
        university_id,
        subscription_id,
        period: month.map(Month::period).or_else(told_period),
        stripe_invoice_id: told.id.clone(),
        number: told.number.clone(),
        status: InvoiceStatus::Open,
        amount_due: Money::new(told.amount_due, currency(told)),
        items: items.collect(),
        attempt_count: 0,
        due_at: told.due_date.unwrap_or(told.created),
        paid_at: None,
        hosted_invoice_url: told.hosted_invoice_url.clone(),
        last_reminder_step: None,
        version: Version::FIRST,
        created_at: told.created,
        updated_at: now,
    }
}

/// The first value of `key` that `parse` takes.
pub(crate) fn named<T, E>(
    metadata: &[&Metadata],
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    metadata
        .iter()
        .filter_map(|pairs| pairs.get(key))
        .find_map(|text| parse(text).ok())
}

/// Stripe's currency; it always sends one that is a code.
fn currency(told: &Told) -> Currency {
    Currency::parse(&told.currency).unwrap_or(Currency::USD)
}
