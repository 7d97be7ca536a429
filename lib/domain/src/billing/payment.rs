//! A payment that settled an invoice.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{InvoiceId, PaymentId, UniversityId};
use crate::money::Money;

/// Money that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Derived from the invoice: [`PaymentId::of_invoice`].
    pub id: PaymentId,
    /// Who paid.
    pub university_id: UniversityId,
    /// What was paid.
    pub invoice_id: InvoiceId,
    /// How much.
    pub amount: Money,
    /// Stripe's payment method type (`card`, `sepa_debit`), where Stripe told.
    pub method: Option<String>,
    /// Stripe's payment intent (`pi_…`), where Stripe told.
    pub stripe_payment_intent_id: Option<String>,
    /// What became of it.
    pub status: PaymentStatus,
    /// When Stripe had the money.
    pub paid_at: Timestamp,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The money is there (contract section 1.1).
    Completed,
}
