//! How every function starts.

use std::process::ExitCode;

use crate::config::{Config, Variable};
use crate::log;

/// Reads the configuration, makes the function's context, and serves until the process ends.
///
/// Where the configuration is wrong the function does not start; one log line says all of it.
pub(crate) fn start<C>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    serve: impl AsyncFnOnce(C) -> Result<(), lambda_runtime::Error>,
) -> ExitCode {
    log::init();
    // One request at a time: a thread pool would only cost (a third of the start, half the CPU).
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(target: "bitflow", error = %error, "the async runtime did not start");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let config = match Config::load(variables).await {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(
                    target: "bitflow",
                    missing = ?error.missing,
                    error = %error,
                    "the function does not start: its configuration is wrong",
                );
                return ExitCode::FAILURE;
            }
        };
        // Boxed: a function's whole future, nested, would be too deep a type to compile.
        match Box::pin(serve(new(&config))).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(target: "bitflow", error = %error, "the function stopped");
                ExitCode::FAILURE
            }
        }
    })
}
