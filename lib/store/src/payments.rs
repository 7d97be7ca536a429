//! Table `payments`: key `university_id, payment_id`.

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::payment::{Payment, PaymentStatus};
use bitflow_domain::id::{InvoiceId, PaymentId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, s, to_item};
use crate::time::Stored;
use crate::transaction::{Guard, Transaction};

const TABLE: &str = "payments";

/// The table.
#[derive(Debug, Clone)]
pub struct Payments {
    client: Client,
    table: String,
}

impl Payments {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// Every payment of a university, oldest invoice first.
    pub async fn of_university(
        &self,
        university_id: UniversityId,
    ) -> Result<Vec<Payment>, StoreError> {
        let mut payments = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("university_id = :university")
                .expression_attribute_values(":university", s(university_id))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::dynamo("Query payments", error))?;
            for item in answer.items.unwrap_or_default() {
                payments.push(from_item::<Record>(TABLE, item)?.into_entity());
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(payments);
            }
        }
    }

    /// Adds a payment that must be new.
    pub fn insert(&self, transaction: &mut Transaction, payment: &Payment) {
        let item = to_item(&Record::of(payment));
        transaction.insert(&self.table, "payment_id", item, Guard::Version("payment"));
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    payment_id: PaymentId,
    invoice_id: InvoiceId,
    amount: i64,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_payment_intent_id: Option<String>,
    status: PaymentStatus,
    paid_at: Stored,
}

impl Record {
    fn of(payment: &Payment) -> Self {
        Self {
            university_id: payment.university_id,
            payment_id: payment.id,
            invoice_id: payment.invoice_id,
            amount: payment.amount.amount,
            currency: payment.amount.currency,
            method: payment.method.clone(),
            stripe_payment_intent_id: payment.stripe_payment_intent_id.clone(),
            status: payment.status,
            paid_at: Stored(payment.paid_at),
        }
    }

    fn into_entity(self) -> Payment {
        Payment {
            id: self.payment_id,
            university_id: self.university_id,
            invoice_id: self.invoice_id,
            amount: Money::new(self.amount, self.currency),
            method: self.method,
            stripe_payment_intent_id: self.stripe_payment_intent_id,
            status: self.status,
            paid_at: self.paid_at.0,
        }
    }
}
