//! A payment failed.

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format::{self, Amount, Invoice, Link};

/// "Payment failure alert" (contract section 1.3): the university's, not the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFailed {
    /// Which invoice.
    pub invoice: Invoice,
    /// What is still to be paid.
    pub amount_due: Amount,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Where it can be paid.
    pub pay_url: Option<Link>,
}

templates!(
    PaymentFailed,
    "payment_failed/email.html",
    "payment_failed/email.txt"
);

impl Mail for PaymentFailed {
    const CATEGORY: &str = "payment_failed";

    fn subject(&self, _: &str) -> String {
        format!("Payment failed for {}", self.invoice)
    }
}
