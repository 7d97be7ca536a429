//! Table `invoices`: key `university_id, invoice_id`; indexes `by_stripe_id` and `by_status`
//! (status, due_at).

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus};
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_domain::money::Currency;
use bitflow_domain::money::Money;
use bitflow_domain::version::Version;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, s, to_item};
use crate::time::Stored;
use crate::transaction::{Guard, Transaction};

const TABLE: &str = "invoices";

/// The table.
#[derive(Debug, Clone)]
pub struct Invoices {
    client: Client,
    table: String,
}

impl Invoices {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// The invoice as of now (a consistent read).
    pub async fn get(
        &self,
        university_id: UniversityId,
        id: InvoiceId,
    ) -> Result<Option<Invoice>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("university_id", s(university_id))
            .key("invoice_id", s(id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("GetItem invoices", error))?;
        answer
            .item
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_entity))
            .transpose()
    }

    /// Which invoice this is at Stripe. An index read: a new row shows after a moment.
    pub async fn by_stripe_id(
        &self,
        stripe_invoice_id: &str,
    ) -> Result<Option<(UniversityId, InvoiceId)>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_stripe_id")
            .key_condition_expression("stripe_invoice_id = :id")
            .expression_attribute_values(":id", s(stripe_invoice_id))
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query invoices.by_stripe_id", error))?;
        let first = answer.items.unwrap_or_default().into_iter().next();
        let key = first
            .map(|item| from_item::<KeyRecord>(TABLE, item))
            .transpose()?;
        Ok(key.map(|key| (key.university_id, key.invoice_id)))
    }

    /// Adds an invoice that must be new.
    pub fn insert(&self, transaction: &mut Transaction, invoice: &Invoice) {
        let item = to_item(&Record::of(invoice));
        transaction.insert(&self.table, "invoice_id", item, Guard::Version("invoice"));
    }

    /// Replaces the invoice that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, invoice: &Invoice, loaded: Version) {
        transaction.replace(
            &self.table,
            loaded.get(),
            to_item(&Record::of(invoice)),
            "invoice",
        );
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
    stripe_invoice_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    status: InvoiceStatus,
    amount_due: i64,
    currency: Currency,
    attempt_count: u64,
    due_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosted_invoice_url: Option<String>,
    version: Version,
    created_at: Stored,
    updated_at: Stored,
}

impl Record {
    fn of(invoice: &Invoice) -> Self {
        Self {
            university_id: invoice.university_id,
            invoice_id: invoice.id,
            subscription_id: invoice.subscription_id,
            stripe_invoice_id: invoice.stripe_invoice_id.clone(),
            number: invoice.number.clone(),
            status: invoice.status,
            amount_due: invoice.amount_due.amount,
            currency: invoice.amount_due.currency,
            attempt_count: invoice.attempt_count,
            due_at: Stored(invoice.due_at),
            paid_at: invoice.paid_at.map(Stored),
            hosted_invoice_url: invoice.hosted_invoice_url.clone(),
            version: invoice.version,
            created_at: Stored(invoice.created_at),
            updated_at: Stored(invoice.updated_at),
        }
    }

    fn into_entity(self) -> Invoice {
        Invoice {
            id: self.invoice_id,
            university_id: self.university_id,
            subscription_id: self.subscription_id,
            stripe_invoice_id: self.stripe_invoice_id,
            number: self.number,
            status: self.status,
            amount_due: Money::new(self.amount_due, self.currency),
            attempt_count: self.attempt_count,
            due_at: self.due_at.0,
            paid_at: self.paid_at.map(|at| at.0),
            hosted_invoice_url: self.hosted_invoice_url,
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}
