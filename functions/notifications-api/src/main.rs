//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_notifications_api::{Cx, VARIABLES, limiter, routes};
use bitflow_runtime::http;

fn main() -> ExitCode {
    http::run_limited(VARIABLES, Cx::new, routes, limiter)
}
