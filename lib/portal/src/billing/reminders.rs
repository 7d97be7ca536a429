//! Which overdue invoices are reminded of, step by step.

use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus};
use bitflow_domain::billing::reminder::ReminderSteps;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_events::payload::PaymentReminderDue;
use bitflow_store::page::PageRequest;
use bitflow_store::transaction::Transaction;
use futures_util::FutureExt;
use jiff::Timestamp;

use super::ledger::{Ledger, Outcome, Rows, Tried, persist};
use crate::error::{PortalError, load};

const OPERATION: &str = "send payment reminders";

/// What the events of one run go by.
pub fn correlation(scheduled_at: Timestamp) -> CorrelationId {
    CorrelationId::new(format!("reminders-{scheduled_at}"))
}

/// Finds what is overdue.
#[derive(Debug)]
pub struct Reminders {
    /// The books.
    pub ledger: Ledger,
    /// After how many days.
    pub steps: ReminderSteps,
}

impl Reminders {
    /// Raises `PaymentReminderDue` for every unpaid invoice that reached a step; how many. The step
    /// is noted on the invoice in the same transaction, so again it finds nothing left to do.
    ///
    /// # Errors
    /// What befell an invoice last, after all others are through. The next run finds those that are
    /// left.
    pub async fn run(&self, scheduled_at: Timestamp) -> Result<usize, PortalError> {
        let context = Context {
            actor: Actor {
                kind: ActorKind::System,
                id: "send-payment-reminders-job".to_owned(),
            },
            correlation_id: correlation(scheduled_at),
        };
        let due_by = self.steps.due_before(scheduled_at);
        let mut rows = Rows::default();
        let unpaid = InvoiceStatus::ALL
            .into_iter()
            .filter(|it| it.awaits_payment());
        for status in unpaid {
            let mut page = PageRequest {
                limit: 100,
                cursor: None,
            };
            loop {
                let overdue = self.ledger.invoices.by_status(status, Some(due_by), &page);
                let overdue = overdue.await.map_err(|source| PortalError::List {
                    operation: OPERATION,
                    source,
                })?;
                for invoice in &overdue.data {
                    if self.steps.due(invoice, scheduled_at).is_some() {
                        rows.add(self.remind(invoice, &context, scheduled_at).await);
                    }
                }
                page.cursor = overdue.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
            }
        }
        rows.finish()
    }

    /// Reminds of an invoice as it is now: the list may be a moment old.
    async fn remind(
        &self,
        listed: &Invoice,
        context: &Context,
        now: Timestamp,
    ) -> Result<bool, PortalError> {
        let outcome = persist(OPERATION, || {
            async {
                let invoice = self.ledger.invoices.get(listed.university_id, listed.id);
                let invoice = invoice
                    .await
                    .map_err(load(OPERATION))?
                    .ok_or(PortalError::NoInvoice(listed.id))?;
                let Some(step) = self.steps.due(&invoice, now) else {
                    return Ok(Tried::Done(Outcome::Repeated));
                };
                let next = invoice.reminded(Some(step), now);
                let mut transaction = Transaction::new(&self.ledger.dynamo);
                self.ledger
                    .invoices
                    .replace(&mut transaction, &next, invoice.version);
                let of = (next.id, next.version);
                let due = reminder(&next, Some(step));
                let when = (context, now);
                self.ledger
                    .raise(&mut transaction, when, next.university_id, of, due);
                let done = (Outcome::Applied, now);
                self.ledger.commit(OPERATION, transaction, None, done).await
            }
            .boxed()
        })
        .await?;
        Ok(outcome == Outcome::Applied)
    }
}

/// The event that has an invoice reminded of.
pub(crate) fn reminder(invoice: &Invoice, step_days: Option<u16>) -> PaymentReminderDue {
    PaymentReminderDue {
        invoice_id: invoice.id,
        stripe_invoice_id: invoice.stripe_invoice_id.clone(),
        invoice_number: invoice.number.clone(),
        amount_due: invoice.amount_due,
        due_at: invoice.due_at,
        step_days,
        hosted_invoice_url: invoice.hosted_invoice_url.clone(),
    }
}
