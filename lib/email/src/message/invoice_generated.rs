//! There is an invoice.

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format::{self, Amount, Invoice, Link};

/// "Invoice generated notification" (contract section 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceGenerated {
    /// Which invoice.
    pub invoice: Invoice,
    /// What is to be paid.
    pub amount_due: Amount,
    /// By when.
    pub due_at: Timestamp,
    /// Where it can be paid.
    pub pay_url: Option<Link>,
}

templates!(
    InvoiceGenerated,
    "invoice_generated/email.html",
    "invoice_generated/email.txt"
);

impl Mail for InvoiceGenerated {
    const CATEGORY: &str = "invoice_generated";

    fn subject(&self, _: &str) -> String {
        format!("{} from Bitflow", self.invoice.titled())
    }
}
