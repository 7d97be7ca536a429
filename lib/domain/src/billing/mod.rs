//! Invoices, payments and subscriptions, and how news from Stripe changes them.
//!
//! Stripe promises neither order nor a single delivery. Every rule here therefore compares what is
//! told with what is stored, and ends in the same state whatever the order.

pub mod invoice;
pub mod item;
pub mod month;
pub mod payment;
pub mod reminder;
pub mod subscription;
