//! HTTP functions: an axum router behind API Gateway's HTTP API, payload format 2.0.

pub mod admin;
pub mod etag;
pub mod fields;
pub mod form;
pub mod limit;
pub mod list;
pub mod problem;
pub mod query;
pub mod repeat;
mod serve;
pub mod signed;

pub use serve::{Requested, read_event, run, run_limited, with_conventions};
