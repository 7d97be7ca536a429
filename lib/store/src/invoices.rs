//! Table `invoices`: key `university_id, invoice_id`; indexes `by_stripe_id`, `by_created`
//! (university_id, created_at) and `by_status` (status, due_at).

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus};
use bitflow_domain::billing::item::Item as Line;
use bitflow_domain::billing::month::Period;
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::Version;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::to_item;
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// The table `invoices`.
#[derive(Debug, Clone)]
pub struct Invoices {
    table: Table,
}

impl Invoices {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "invoices"),
        }
    }

    /// The invoice as of now (a consistent read).
    pub async fn get(
        &self,
        university_id: UniversityId,
        id: InvoiceId,
    ) -> Result<Option<Invoice>, StoreError> {
        let key = [
            ("university_id", university_id.to_string()),
            ("invoice_id", id.to_string()),
        ];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Which invoice this is at Stripe. An index read: a new row shows after a moment.
    pub async fn by_stripe_id(
        &self,
        stripe_invoice_id: &str,
    ) -> Result<Option<(UniversityId, InvoiceId)>, StoreError> {
        let key = self
            .table
            .first::<KeyRecord>("by_stripe_id", "stripe_invoice_id", stripe_invoice_id)
            .await?;
        Ok(key.map(|key| (key.university_id, key.invoice_id)))
    }

    /// A university's invoices, newest first. An index read: a change shows after a moment. A
    /// cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn of_university(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Invoice>, ListError> {
        let partition = university_id.to_string();
        let key = CursorKey {
            partition: ("university_id", &partition),
            others: &["invoice_id", "created_at"],
        };
        let select = Select {
            backwards: true,
            ..Select::of("by_created", key)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Invoices of one status that were due by `due_by`, the longest due first. An index read: a
    /// change shows after a moment. A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn by_status(
        &self,
        status: InvoiceStatus,
        due_by: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Invoice>, ListError> {
        let key = CursorKey {
            partition: ("status", status.as_str()),
            others: &["university_id", "invoice_id", "due_at"],
        };
        let between = |at| ("due_at", fixed(Timestamp::UNIX_EPOCH), fixed(at));
        let select = Select {
            between: due_by.map(between),
            ..Select::of("by_status", key)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// A university's invoices that were made in `period`, oldest first, `limit` of them after
    /// `cursor`. A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn of_period(
        &self,
        university_id: UniversityId,
        period: Period,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Invoice>, ListError> {
        let partition = university_id.to_string();
        let key = CursorKey {
            partition: ("university_id", &partition),
            others: &["invoice_id", "created_at"],
        };
        // Times are kept to the microsecond.
        let last = period.end - SignedDuration::from_micros(1);
        let select = Select {
            between: Some(("created_at", fixed(period.start), fixed(last))),
            ..Select::of("by_created", key)
        };
        let rows = self
            .table
            .page::<Record>(select, limit.into(), cursor)
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Adds an invoice that must be new.
    pub fn insert(&self, transaction: &mut Transaction, invoice: &Invoice) {
        let item = to_item(&Record::of(invoice));
        let guard = Guard::Version("invoice");
        transaction.insert(&self.table.name, "invoice_id", item, guard);
    }

    /// Replaces the invoice that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, invoice: &Invoice, loaded: Version) {
        let item = to_item(&Record::of(invoice));
        transaction.replace(&self.table.name, loaded.get(), item, "invoice");
    }
}

#[derive(Deserialize)]
struct KeyRecord {
    university_id: UniversityId,
    invoice_id: InvoiceId,
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    invoice_id: InvoiceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<SubscriptionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_start: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_end: Option<Stored>,
    stripe_invoice_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    status: InvoiceStatus,
    amount_due: i64,
    currency: Currency,
    items: Vec<ItemRecord>,
    attempt_count: u64,
    due_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosted_invoice_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reminder_step: Option<u16>,
    version: Version,
    created_at: Stored,
    updated_at: Stored,
}

#[derive(Serialize, Deserialize)]
struct ItemRecord {
    description: String,
    amount: i64,
}

impl Record {
    fn of(invoice: &Invoice) -> Self {
        let item = |line: &Line| ItemRecord {
            description: line.description.clone(),
            amount: line.amount,
        };
        Self {
            university_id: invoice.university_id,
            invoice_id: invoice.id,
            subscription_id: invoice.subscription_id,
            period_start: invoice.period.map(|period| Stored(period.start)),
            period_end: invoice.period.map(|period| Stored(period.end)),
            stripe_invoice_id: invoice.stripe_invoice_id.clone(),
            number: invoice.number.clone(),
            status: invoice.status,
            amount_due: invoice.amount_due.amount,
            currency: invoice.amount_due.currency,
            items: invoice.items.iter().map(item).collect(),
            attempt_count: invoice.attempt_count,
            due_at: Stored(invoice.due_at),
            paid_at: invoice.paid_at.map(Stored),
            hosted_invoice_url: invoice.hosted_invoice_url.clone(),
            last_reminder_step: invoice.last_reminder_step,
            version: invoice.version,
            created_at: Stored(invoice.created_at),
            updated_at: Stored(invoice.updated_at),
        }
    }

    fn into_entity(self) -> Invoice {
        let line = |item: ItemRecord| Line {
            description: item.description,
            amount: item.amount,
        };
        let period = self.period_start.zip(self.period_end);
        Invoice {
            id: self.invoice_id,
            university_id: self.university_id,
            subscription_id: self.subscription_id,
            period: period.map(|(start, end)| Period {
                start: start.0,
                end: end.0,
            }),
            stripe_invoice_id: self.stripe_invoice_id,
            number: self.number,
            status: self.status,
            amount_due: Money::new(self.amount_due, self.currency),
            items: self.items.into_iter().map(line).collect(),
            attempt_count: self.attempt_count,
            due_at: self.due_at.0,
            paid_at: self.paid_at.map(|at| at.0),
            hosted_invoice_url: self.hosted_invoice_url,
            last_reminder_step: self.last_reminder_step,
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}
