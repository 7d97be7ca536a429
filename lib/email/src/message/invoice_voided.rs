//! An invoice was withdrawn.

use super::templates::{Mail, templates};
use crate::format::{Amount, Invoice};

/// Nothing is to be paid for an invoice any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceVoided {
    /// Which invoice.
    pub invoice: Invoice,
    /// What had been asked for.
    pub amount: Amount,
}

templates!(
    InvoiceVoided,
    "invoice_voided/email.html",
    "invoice_voided/email.txt"
);

impl Mail for InvoiceVoided {
    const CATEGORY: &str = "invoice_voided";

    fn subject(&self, _: &str) -> String {
        format!("{} was withdrawn", self.invoice.titled())
    }
}
