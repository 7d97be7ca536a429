//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_outbox_relay::{Cx, VARIABLES, handle};
use bitflow_runtime::stream;

fn main() -> ExitCode {
    stream::run(VARIABLES, Cx::new, handle)
}
