//! All Lambda glue. Functions hold what is theirs; this crate holds what is every function's.
//!
//! - [`http`]: routers behind the HTTP API, with the conventions of `infra/ARCHITECTURE.md` §6
//! - [`sqs`], [`stream`], [`job`]: batches, stream records and schedules
//! - [`config`]: the one documented table of environment variables, and the only reader of them
//! - [`metrics`]: what is counted
//! - [`clock`]: the only reader of the clock in a function
//!
//! A function's `main` is one call of `run`, which reads the configuration, says everything that
//! is missing at once, and does nothing else that a request does not need.

mod aws;
pub mod clock;
pub mod config;
pub mod http;
pub mod job;
mod log;
pub mod metrics;
mod outcome;
pub mod sqs;
mod start;
pub mod stream;
