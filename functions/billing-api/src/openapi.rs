//! What the API is described by, besides the handlers and the answers themselves. Nothing here runs
//! in the function: `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use bitflow_domain::billing::{invoice, payment, subscription};
use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, OpenApi as Document, RefOr, Schema, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use crate::answer::{InvoiceView, PaymentView, SubscriptionView};
use crate::{invoices, payments, reports, subscriptions};

/// A price of Stripe's, or a plan that the monthly run bills.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum NewSubscription {
    Price(PricedSubscription),
    Plan(PlannedSubscription),
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "stripe_price_id": "price_1MowQVLkdIwHu7ix" }))]
pub(crate) struct PricedSubscription {
    #[schema(pattern = "^price_[0-9A-Za-z]{1,250}$")]
    stripe_price_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "amount": 99_000, "description": "Campus, monthly", "days_until_due": 30 }))]
pub(crate) struct PlannedSubscription {
    /// Minor units, each month.
    #[schema(minimum = 1, maximum = 99_999_999)]
    amount: i64,
    #[schema(pattern = "^[A-Za-z]{3}$", example = "usd")]
    currency: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    description: String,
    #[schema(minimum = 1, maximum = 365)]
    days_until_due: Option<u16>,
}

/// What an invoice is made of.
#[derive(ToSchema)]
#[schema(example = json!({ "days_until_due": 14, "items": [{ "description": "Setup", "amount": 129_900 }] }))]
pub(crate) struct NewInvoice {
    #[schema(pattern = "^[A-Za-z]{3}$", example = "usd")]
    currency: Option<String>,
    #[schema(minimum = 1, maximum = 365)]
    days_until_due: Option<u16>,
    #[schema(min_items = 1, max_items = 50)]
    items: Vec<NewItem>,
}

#[derive(ToSchema)]
#[schema(example = json!({ "description": "Setup", "amount": 129_900 }))]
struct NewItem {
    #[schema(min_length = 1, max_length = 500)]
    description: String,
    /// Minor units.
    #[schema(minimum = 1, maximum = 99_999_999)]
    amount: i64,
}

#[derive(ToSchema)]
pub(crate) struct NewReport {
    /// One that has begun.
    #[schema(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-01")]
    month: String,
}

/// Describes the words of a status.
macro_rules! words {
    ($(#[$doc:meta] $name:ident: $all:expr;)+) => {$(
        #[$doc]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some($all));
                RefOr::T(Schema::Object(words.build()))
            }
        }

        impl ToSchema for $name {}
    )+};
}

words! {
    /// Where a subscription is in its life.
    SubscriptionStatus: subscription::SubscriptionStatus::ALL.map(subscription::SubscriptionStatus::as_str);
    /// Where an invoice is in its life.
    InvoiceStatus: invoice::InvoiceStatus::ALL.map(invoice::InvoiceStatus::as_str);
    /// What became of a payment.
    PaymentStatus: payment::PaymentStatus::ALL.map(payment::PaymentStatus::as_str);
}

#[derive(ToSchema)]
pub(crate) struct SubscriptionPage {
    data: Vec<SubscriptionView>,
    next_cursor: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct InvoicePage {
    data: Vec<InvoiceView>,
    next_cursor: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct PaymentPage {
    data: Vec<PaymentView>,
    next_cursor: Option<String>,
}

#[derive(OpenApi)]
#[openapi(paths(
    subscriptions::create,
    subscriptions::list,
    subscriptions::read,
    subscriptions::cancel,
    invoices::create,
    invoices::list,
    invoices::by_status,
    invoices::read,
    invoices::void,
    invoices::remind,
    payments::list,
    reports::create,
    reports::read,
))]
struct Described;

/// The function's routes.
pub fn openapi() -> Document {
    Described::openapi()
}
