//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_runtime::http;
use bitflow_universities_api::{Cx, VARIABLES, limiter, routes};

fn main() -> ExitCode {
    http::run_limited(VARIABLES, Cx::new, routes, limiter)
}
