//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_alerts_api::{Cx, VARIABLES, routes};
use bitflow_runtime::http;

fn main() -> ExitCode {
    http::run(VARIABLES, Cx::new, routes)
}
