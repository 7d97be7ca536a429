//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_runtime::sqs;
use bitflow_storage_usage_listener::{Cx, VARIABLES, handle};

fn main() -> ExitCode {
    sqs::run(VARIABLES, Cx::new, handle)
}
