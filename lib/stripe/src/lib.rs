//! Stripe, in Stripe's own words.
//!
//! - [`signature`]: the `Stripe-Signature` header, verified on the raw bytes
//! - [`event`] and [`object`]: webhook payloads, parsed tolerantly into small types of ours
//! - [`retrieve`]: reads, which need no async-stripe
//! - [`api`] (feature `api`): what changes something, as typed requests of async-stripe
//!
//! Both go over one transport of our own: async-stripe's keeps no connection alive, has no timeout,
//! and draws a random idempotency key.
//!
//! Architecture invariant: without the feature, nothing here links async-stripe.

#[cfg(feature = "api")]
pub mod api;
pub mod error;
pub mod event;
pub mod object;
pub mod retrieve;
pub mod signature;
mod transport;

/// The API version that every request asks for, whatever the account's default.
pub const API_VERSION: &str = "2025-03-31.basil";
