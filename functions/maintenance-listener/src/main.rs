//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_maintenance_listener::{Cx, VARIABLES, handle};
use bitflow_runtime::sqs;

fn main() -> ExitCode {
    sqs::run(VARIABLES, Cx::new, handle)
}
