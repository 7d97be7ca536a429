//! How every function starts.

use std::process::ExitCode;

use bitflow_trace::Trace;
use lambda_runtime::Context;

use crate::config::{Config, STACK_NAME, Variable};
use crate::{log, metrics};

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
        let variables = [variables, &[STACK_NAME]].concat();
        let config = match Config::load(&variables).await {
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
        let function = lambda_runtime::Config::from_env().function_name;
        metrics::init(config.text(STACK_NAME), &function);
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

/// One invocation: part of the trace that Lambda says it is part of, and with all that it counted
/// written when it is answered.
pub(crate) async fn invocation<T>(context: &Context, work: impl Future<Output = T>) -> T {
    let trace = context.xray_trace_id.as_deref().and_then(Trace::parse);
    let answer = bitflow_trace::within(trace, work).await;
    metrics::flush();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_counted_is_written_when_an_invocation_is_answered() {
        let counted = || metrics::portal_delivery("delivered");
        metrics::init("stack", "stack-some-listener");
        counted();
        assert!(metrics::unwritten().contains("PortalDeliveries"));
        let mut context = Context::default();
        let root = "1-5759e988-bd862e3fe1be46a994272793";
        context.xray_trace_id = Some(format!("Root={root};Sampled=1"));
        let trace = invocation(&context, async {
            counted();
            bitflow_trace::current()
        });
        let trace = trace.await.expect("a trace");
        assert_eq!(trace.root(), root);
        assert!(!metrics::unwritten().contains("PortalDeliveries"));
    }
}
