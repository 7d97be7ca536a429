//! Reads from Stripe, also for those who must not link async-stripe.

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

use crate::error::StripeError;
use crate::object::{
    Customer, Invoice, InvoicePayment, Line, List, Metadata, PaymentDetails, Subscription,
};
use crate::transport::{Call, Transport};

/// A reader of objects and lists.
#[derive(Debug)]
pub struct Retriever {
    pub(crate) transport: Transport,
}

impl Retriever {
    /// Reads at `base` (`https://api.stripe.com`) with the API key `secret`. Nothing is built or
    /// connected before the first read.
    pub fn new(base: Url, secret: SecretString) -> Self {
        Self {
            transport: Transport::new(base, secret),
        }
    }

    /// The subscription as it is now. <https://docs.stripe.com/api/subscriptions/retrieve>
    ///
    /// # Errors
    /// [`StripeError::Refused`] with 404 where Stripe knows none of this id.
    pub async fn subscription(&self, id: &str) -> Result<Subscription, StripeError> {
        let call = Call::get(format!("/subscriptions/{}", segment(id)), &[]);
        self.transport.call(&call).await
    }

    /// The newest invoices of a subscription, not before `since`.
    /// <https://docs.stripe.com/api/invoices/list>
    pub async fn invoices_of_subscription(
        &self,
        id: &str,
        since: Timestamp,
    ) -> Result<Vec<Invoice>, StripeError> {
        let since = since.as_second().to_string();
        let query = [
            ("subscription", id),
            ("created[gte]", &since),
            ("limit", "12"),
        ];
        let list: List<Invoice> = self.transport.call(&Call::get("/invoices", &query)).await?;
        Ok(list.data)
    }

    /// A customer's invoice that we made under `invoice_id`, not before `since`.
    pub async fn find_invoice(
        &self,
        customer: &str,
        invoice_id: &str,
        since: Timestamp,
    ) -> Result<Option<Invoice>, StripeError> {
        let wanted = |invoice: &Invoice| {
            has(&invoice.metadata, "invoice_id", invoice_id)
                && invoice.status.as_deref() != Some("draft")
        };
        self.find("/invoices", customer, &[], since, wanted).await
    }

    /// A customer's subscription that we made under `subscription_id`, not before `since`.
    pub async fn find_subscription(
        &self,
        customer: &str,
        subscription_id: &str,
        since: Timestamp,
    ) -> Result<Option<Subscription>, StripeError> {
        let wanted = |subscription: &Subscription| {
            has(&subscription.metadata, "subscription_id", subscription_id)
        };
        let all = [("status", "all")];
        self.find("/subscriptions", customer, &all, since, wanted)
            .await
    }

    /// How an invoice was paid; nothing where Stripe tells of no payment, as of one outside of
    /// Stripe.
    /// <https://docs.stripe.com/api/invoice-payment/list>
    pub async fn payment_details(&self, invoice: &str) -> Result<PaymentDetails, StripeError> {
        let query = [
            ("invoice", invoice),
            ("status", "paid"),
            ("expand[]", "data.payment.payment_intent.payment_method"),
        ];
        let list: List<InvoicePayment> = self
            .transport
            .call(&Call::get("/invoice_payments", &query))
            .await?;
        let first = list.data.into_iter().next();
        Ok(first.map(InvoicePayment::details).unwrap_or_default())
    }

    /// What a payment intent paid, where that is an invoice.
    pub async fn invoice_paid_by(&self, intent: &str) -> Result<Option<String>, StripeError> {
        let query = [
            ("payment[type]", "payment_intent"),
            ("payment[payment_intent]", intent),
        ];
        let list: List<InvoicePayment> = self
            .transport
            .call(&Call::get("/invoice_payments", &query))
            .await?;
        Ok(list.data.into_iter().find_map(InvoicePayment::invoice))
    }

    /// The invoice as it is now. <https://docs.stripe.com/api/invoices/retrieve>
    ///
    /// # Errors
    /// [`StripeError::Refused`] with 404 where Stripe knows none of this id.
    pub async fn invoice(&self, id: &str) -> Result<Invoice, StripeError> {
        let call = Call::get(format!("/invoices/{}", segment(id)), &[]);
        self.transport.call(&call).await
    }

    /// The invoice with all of its lines; within a webhook or another object are the first ten.
    /// <https://docs.stripe.com/api/invoice-line-item/retrieve>
    pub async fn with_all_lines(&self, mut invoice: Invoice) -> Result<Invoice, StripeError> {
        if invoice.has_more_lines {
            let path = format!("/invoices/{}/lines", segment(&invoice.id));
            let call = Call::get(path, &[("limit", "100")]);
            let list: List<Line> = self.transport.call(&call).await?;
            invoice.lines = list.data;
            invoice.has_more_lines = list.has_more;
        }
        Ok(invoice)
    }

    /// The customer as it is now, deleted or not. <https://docs.stripe.com/api/customers/retrieve>
    ///
    /// # Errors
    /// [`StripeError::Refused`] with 404 where Stripe knows none of this id.
    pub async fn customer(&self, id: &str) -> Result<Customer, StripeError> {
        let call = Call::get(format!("/customers/{}", segment(id)), &[]);
        self.transport.call(&call).await
    }

    /// The first object of a customer's list, as of `since`, that is `wanted`. Lists, unlike
    /// Stripe's search, show what was just made. One page: nobody makes a hundred a day.
    async fn find<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        customer: &str,
        more: &[(&str, &str)],
        since: Timestamp,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, StripeError> {
        // Clocks differ a little.
        let since = (since.as_second() - 3600).to_string();
        let common = [
            ("customer", customer),
            ("created[gte]", since.as_str()),
            ("limit", "100"),
        ];
        let query: Vec<_> = common.iter().chain(more).copied().collect();
        let list: List<T> = self.transport.call(&Call::get(path, &query)).await?;
        Ok(list.data.into_iter().find(wanted))
    }
}

fn has(metadata: &Metadata, key: &str, value: &str) -> bool {
    metadata.get(key).is_some_and(|it| it == value)
}

/// An id as one segment of a path.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}
