//! Use cases. Each loads, lets `bitflow_domain` decide, and commits what was decided in one
//! transaction with the events it raises; carrying out makes no choices of its own.
//!
//! Architecture invariant: nothing is mailed, pushed or called before the commit. What follows
//! from an event happens in listeners.

pub mod alerts;
pub mod audit;
pub mod billing;
mod contention;
#[cfg(feature = "stripe-api")]
pub mod customers;
pub mod dead_letters;
pub mod enqueue;
pub mod error;
mod fresh;
pub mod listen;
pub mod mail;
pub mod maintenance;
#[cfg(feature = "logos")]
pub mod picture;
pub mod portals;
pub mod pushes;
pub mod registry;
pub mod relay;
pub mod repeats;
pub mod stripe_events;
pub mod usage;
