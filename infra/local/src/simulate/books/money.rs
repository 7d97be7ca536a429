//! What came in and went back, here and at Stripe.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Books, Differences};
use crate::rows::{number, text};

/// Minor units by currency.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::simulate) struct Sums {
    pub(in crate::simulate) billed: BTreeMap<String, i64>,
    pub(in crate::simulate) paid: BTreeMap<String, i64>,
    pub(in crate::simulate) refunded: BTreeMap<String, i64>,
}

impl Books {
    /// The sums of our own tables.
    pub(in crate::simulate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for invoice in &self.invoices {
            let currency = text(invoice, "/currency").to_owned();
            *sums.billed.entry(currency).or_default() += number(invoice, "/amount_due");
        }
        for payment in &self.payments {
            let currency = text(payment, "/currency").to_owned();
            *sums.paid.entry(currency.clone()).or_default() += number(payment, "/amount");
            *sums.refunded.entry(currency).or_default() += number(payment, "/amount_refunded");
        }
        sums
    }

    /// What came in by Stripe's invoices, and what it gave back.
    fn taken(&self) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
        let (mut paid, mut refunded) = (BTreeMap::new(), BTreeMap::new());
        let invoices = self.at_stripe.invoices.iter();
        for invoice in invoices.filter(|it| it["status"] == "paid") {
            let currency = text(invoice, "/currency").to_uppercase();
            *paid.entry(currency.clone()).or_default() += number(invoice, "/amount_paid");
            refunded.entry(currency).or_default();
        }
        for charge in self
            .at_stripe
            .charges
            .iter()
            .filter(|it| it["status"] == "succeeded")
        {
            let currency = text(charge, "/currency").to_uppercase();
            *refunded.entry(currency).or_default() += number(charge, "/amount_refunded");
        }
        (paid, refunded)
    }
}

/// Payments: one for each paid invoice, as large, and gone back as far.
pub(super) fn payments(books: &Books, differences: &mut Differences) {
    let mut of_invoice = BTreeMap::<&str, Vec<&Value>>::new();
    for payment in &books.payments {
        of_invoice
            .entry(text(payment, "/invoice_id"))
            .or_default()
            .push(payment);
    }
    let at_stripe = books.at_stripe.invoices.iter();
    let at_stripe: BTreeMap<&str, &Value> = at_stripe.map(|it| (text(it, "/id"), it)).collect();
    let charges = books
        .at_stripe
        .charges
        .iter()
        .filter(|it| it["status"] == "succeeded");
    let charges: BTreeMap<&str, &Value> = charges
        .map(|it| (text(it, "/payment_intent"), it))
        .collect();
    for invoice in &books.invoices {
        let id = text(invoice, "/stripe_invoice_id");
        let payments = of_invoice
            .remove(text(invoice, "/invoice_id"))
            .unwrap_or_default();
        let told = at_stripe.get(id).copied().unwrap_or(&Value::Null);
        let paid = told["status"] == "paid";
        if !paid || number(told, "/amount_paid") == 0 {
            if payments.len() > usize::from(paid) {
                differences.add(format!(
                    "{id} is not paid, and has the payments {payments:?}"
                ));
            }
            continue;
        }
        let [payment] = payments[..] else {
            differences.add(format!("{id} is paid, and has {} payments", payments.len()));
            continue;
        };
        let here = format!(
            "{} {}",
            number(payment, "/amount"),
            text(payment, "/currency")
        );
        let there = text(told, "/currency").to_uppercase();
        let there = format!("{} {there}", number(told, "/amount_paid"));
        differences.same(format!("the payment of {id}"), here, there);
        let intent = text(payment, "/stripe_payment_intent_id");
        if intent.is_empty() {
            // Paid outside of Stripe; below they are counted.
            continue;
        }
        let Some(charge) = charges.get(intent) else {
            differences.add(format!(
                "no charge at Stripe belongs to the payment {payment}"
            ));
            continue;
        };
        let refunded = |it: &Value| number(it, "/amount_refunded");
        differences.same(
            format!("refunded of {id}"),
            refunded(payment),
            refunded(charge),
        );
        let disputed = (
            payment.get("disputed_at").is_some(),
            charge["disputed"] == true,
        );
        differences.same(format!("{id} is disputed"), disputed.0, disputed.1);
        let kind = text(charge, "/payment_method_details/type");
        differences.same(format!("{id} was paid by"), text(payment, "/method"), kind);
    }
    let charged = |it: &&Value| !text(it, "/stripe_payment_intent_id").is_empty();
    let charged = books.payments.iter().filter(charged).count();
    differences.same("payments by a charge", charged, charges.len());
    for payment in of_invoice.values().flatten() {
        differences.add(format!("a payment of no invoice: {payment}"));
    }
    let (sums, (paid, refunded)) = (books.sums(), books.taken());
    if sums.paid != paid || sums.refunded != refunded {
        differences.add(format!(
            "the sums differ: here {:?} paid and {:?} refunded, at Stripe {paid:?} and {refunded:?}",
            sums.paid, sums.refunded
        ));
    }
}
