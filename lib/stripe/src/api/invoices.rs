//! Invoices and their items. <https://docs.stripe.com/api/invoices>

use stripe_billing::invoice::{CreateInvoice, FinalizeInvoiceInvoice, VoidInvoiceInvoice};
use stripe_billing::invoice_item::CreateInvoiceItem;
use stripe_shared::InvoiceCollectionMethod;

use super::{Client, metadata};
use crate::error::StripeError;
use crate::object::Invoice;

/// An invoice to be (contract section 1.1, `createInvoice`).
#[derive(Debug, Clone)]
pub struct NewInvoice<'a> {
    /// `cus_…`.
    pub customer: &'a str,
    /// ISO code, either case.
    pub currency: &'a str,
    /// Sent, to be paid within so many days; otherwise charged automatically.
    pub days_until_due: Option<u16>,
    /// Ours, so that a webhook needs no lookup.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// A line to be.
#[derive(Debug, Clone)]
pub struct NewItem<'a> {
    /// `cus_…`.
    pub customer: &'a str,
    /// `in_…` of a draft.
    pub invoice: &'a str,
    /// Minor units.
    pub amount: i64,
    /// ISO code, either case.
    pub currency: &'a str,
    /// What for.
    pub description: &'a str,
}

impl Client {
    /// Creates a draft, empty: other pending items of the customer stay where they are. It does
    /// not advance by itself before it is finalized, so that half an invoice is never charged.
    /// <https://docs.stripe.com/api/invoices/create>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) names the parameter at fault: `currency`, `customer`.
    pub async fn create_invoice(
        &self,
        new: &NewInvoice<'_>,
        idempotency_key: &str,
    ) -> Result<Invoice, StripeError> {
        let mut request = CreateInvoice::new()
            .customer(new.customer)
            .currency(currency(new.currency))
            .auto_advance(false)
            .metadata(metadata(new.metadata));
        if let Some(days) = new.days_until_due {
            request = request
                .collection_method(InvoiceCollectionMethod::SendInvoice)
                .days_until_due(u32::from(days));
        }
        self.send(&request, Some(idempotency_key)).await
    }

    /// Adds a line to a draft. <https://docs.stripe.com/api/invoiceitems/create>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) where the invoice is no draft any more.
    pub async fn create_invoice_item(
        &self,
        new: &NewItem<'_>,
        idempotency_key: &str,
    ) -> Result<(), StripeError> {
        let request = CreateInvoiceItem::new()
            .customer(new.customer)
            .invoice(new.invoice)
            .amount(new.amount)
            .currency(currency(new.currency))
            .description(new.description);
        let _: serde::de::IgnoredAny = self.send(&request, Some(idempotency_key)).await?;
        Ok(())
    }

    /// Makes a draft final; from here on Stripe collects it by itself (`auto_advance`).
    /// <https://docs.stripe.com/api/invoices/finalize>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) where it is final already, under another key.
    pub async fn finalize_invoice(
        &self,
        id: &str,
        idempotency_key: &str,
    ) -> Result<Invoice, StripeError> {
        let request = FinalizeInvoiceInvoice::new(id).auto_advance(true);
        self.send(&request, Some(idempotency_key)).await
    }

    /// Withdraws an invoice. <https://docs.stripe.com/api/invoices/void>
    ///
    /// # Errors
    /// A [refusal](StripeError::refusal) where it is not open: paid, or void already. Which,
    /// [`Retriever::invoice`](crate::retrieve::Retriever::invoice) tells.
    pub async fn void_invoice(&self, id: &str) -> Result<Invoice, StripeError> {
        self.send(&VoidInvoiceInvoice::new(id), None).await
    }
}

/// The code as async-stripe has it; one that it does not know goes as it is.
fn currency(code: &str) -> stripe_types::Currency {
    let lower = code.to_lowercase();
    lower
        .parse()
        .unwrap_or(stripe_types::Currency::Unknown(lower))
}
