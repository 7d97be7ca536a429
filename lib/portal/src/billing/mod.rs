//! Subscriptions, invoices and payments: what admins ask for, what the jobs find due, and the books
//! that both, and Stripe's events, write into.

#[cfg(feature = "stripe-api")]
pub mod admin;
#[cfg(feature = "stripe-api")]
mod deletion;
pub mod details;
pub mod due;
pub mod expiry;
#[cfg(feature = "stripe-api")]
pub(crate) mod issue;
pub mod ledger;
#[cfg(feature = "reports")]
pub mod month_report;
#[cfg(feature = "stripe-api")]
pub mod monthly;
pub mod reminders;
pub(crate) mod reports;
