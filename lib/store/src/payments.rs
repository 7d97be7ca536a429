//! Table `payments`: key `university_id, payment_id`; index `by_paid` (university_id, paid_at).

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::month::Period;
use bitflow_domain::billing::payment::{Payment, PaymentStatus};
use bitflow_domain::id::{InvoiceId, PaymentId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::Version;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::to_item;
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// The table `payments`: at most one for an invoice.
#[derive(Debug, Clone)]
pub struct Payments {
    table: Table,
}

impl Payments {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "payments"),
        }
    }

    /// The payment as of now (a consistent read).
    pub async fn get(
        &self,
        university_id: UniversityId,
        id: PaymentId,
    ) -> Result<Option<Payment>, StoreError> {
        let key = [
            ("university_id", university_id.to_string()),
            ("payment_id", id.to_string()),
        ];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// A university's payments, newest first. An index read: a change shows after a moment. A
    /// cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn of_university(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Payment>, ListError> {
        let partition = university_id.to_string();
        let key = CursorKey {
            partition: ("university_id", &partition),
            others: &["payment_id", "paid_at"],
        };
        let select = Select {
            backwards: true,
            ..Select::of("by_paid", key)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// A university's payments that came in in `period`, oldest first, `limit` of them after
    /// `cursor`. A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn of_period(
        &self,
        university_id: UniversityId,
        period: Period,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Payment>, ListError> {
        let partition = university_id.to_string();
        let key = CursorKey {
            partition: ("university_id", &partition),
            others: &["payment_id", "paid_at"],
        };
        // Times are kept to the microsecond.
        let last = period.end - SignedDuration::from_micros(1);
        let select = Select {
            between: Some(("paid_at", fixed(period.start), fixed(last))),
            ..Select::of("by_paid", key)
        };
        let rows = self
            .table
            .page::<Record>(select, limit.into(), cursor)
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Adds a payment that must be new.
    pub fn insert(&self, transaction: &mut Transaction, payment: &Payment) {
        let item = to_item(&Record::of(payment));
        let guard = Guard::Version("payment");
        transaction.insert(&self.table.name, "payment_id", item, guard);
    }

    /// Replaces the payment that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, payment: &Payment, loaded: Version) {
        let item = to_item(&Record::of(payment));
        transaction.replace(&self.table.name, loaded.get(), item, "payment");
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    payment_id: PaymentId,
    invoice_id: InvoiceId,
    amount: i64,
    currency: Currency,
    amount_refunded: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_payment_intent_id: Option<String>,
    status: PaymentStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    disputed_at: Option<Stored>,
    paid_at: Stored,
    version: Version,
}

impl Record {
    fn of(payment: &Payment) -> Self {
        Self {
            university_id: payment.university_id,
            payment_id: payment.id,
            invoice_id: payment.invoice_id,
            amount: payment.amount.amount,
            currency: payment.amount.currency,
            amount_refunded: payment.amount_refunded,
            method: payment.method.clone(),
            stripe_payment_intent_id: payment.stripe_payment_intent_id.clone(),
            status: payment.status,
            disputed_at: payment.disputed_at.map(Stored),
            paid_at: Stored(payment.paid_at),
            version: payment.version,
        }
    }

    fn into_entity(self) -> Payment {
        Payment {
            id: self.payment_id,
            university_id: self.university_id,
            invoice_id: self.invoice_id,
            amount: Money::new(self.amount, self.currency),
            amount_refunded: self.amount_refunded,
            method: self.method,
            stripe_payment_intent_id: self.stripe_payment_intent_id,
            status: self.status,
            disputed_at: self.disputed_at.map(|at| at.0),
            paid_at: self.paid_at.0,
            version: self.version,
        }
    }
}
