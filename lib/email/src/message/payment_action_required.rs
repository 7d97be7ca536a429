//! A payment waits for its payer.

use super::templates::{Mail, templates};
use crate::format::{Amount, Invoice, Link};

/// The payer's bank wants a payment confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentActionRequired {
    /// Which invoice.
    pub invoice: Invoice,
    /// What is to be paid.
    pub amount_due: Amount,
    /// Where it can be confirmed.
    pub confirm_url: Option<Link>,
}

templates!(
    PaymentActionRequired,
    "payment_action_required/email.html",
    "payment_action_required/email.txt"
);

impl Mail for PaymentActionRequired {
    const CATEGORY: &str = "payment_action_required";

    fn subject(&self, _: &str) -> String {
        format!("Please confirm the payment of {}", self.invoice)
    }
}
