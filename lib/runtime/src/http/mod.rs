//! HTTP functions: an axum router behind API Gateway's HTTP API, payload format 2.0.

pub mod admin;
pub mod fields;
pub mod problem;
pub mod query;
mod serve;

pub use serve::{Requested, run};
