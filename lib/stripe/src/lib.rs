//! Stripe, in Stripe's own words.
//!
//! - [`signature`]: the `Stripe-Signature` header, verified on the raw bytes
//! - [`event`] and [`object`]: webhook payloads, parsed tolerantly into small types of ours
//! - [`retrieve`]: the one read that a webhook needs, without async-stripe
//! - [`api`] (feature `api`): the API client, typed requests of async-stripe over our own transport
//!
//! Architecture invariant: without the feature, nothing here links async-stripe.

#[cfg(feature = "api")]
pub mod api;
pub mod error;
pub mod event;
pub mod object;
pub mod retrieve;
pub mod signature;
