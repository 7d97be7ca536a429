//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_retry_portal_deliveries_job::{Cx, VARIABLES, handle};
use bitflow_runtime::job;

fn main() -> ExitCode {
    job::run(VARIABLES, Cx::new, handle)
}
