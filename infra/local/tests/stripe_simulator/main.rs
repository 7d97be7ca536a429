//! Stripe's simulator behaves as Stripe's documentation says.

mod deliveries;
mod harness;
mod invoices;
mod lists;
mod payments;
mod requests;
mod stack;
mod subscriptions;
