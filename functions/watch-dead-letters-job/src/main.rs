//! The function's process; what it does is in the library.

use std::process::ExitCode;

use bitflow_runtime::job;
use bitflow_watch_dead_letters_job::{Cx, VARIABLES, handle};

fn main() -> ExitCode {
    job::run(VARIABLES, Cx::new, handle)
}
