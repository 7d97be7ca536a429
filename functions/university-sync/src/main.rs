//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_runtime::http;
use bitflow_university_sync::{Cx, VARIABLES, routes};

fn main() -> ExitCode {
    http::run(VARIABLES, Cx::new, routes)
}
