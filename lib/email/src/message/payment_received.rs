//! An invoice was paid.

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format::{self, Amount, Invoice};

/// An invoice was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReceived {
    /// Which invoice.
    pub invoice: Invoice,
    /// What came in.
    pub amount: Amount,
    /// Stripe's payment method type, where it is known.
    pub method: Option<String>,
    /// When it came in.
    pub paid_at: Timestamp,
}

templates!(
    PaymentReceived,
    "payment_received/email.html",
    "payment_received/email.txt"
);

impl Mail for PaymentReceived {
    const CATEGORY: &str = "payment_received";

    fn subject(&self, _: &str) -> String {
        format!("Payment received for {}", self.invoice)
    }
}
