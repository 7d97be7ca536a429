//! Scheduled jobs. A job knows only the time it was scheduled for, never the clock, so that any
//! day can be run again.

use std::process::ExitCode;

use bitflow_fault::Fault;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::start::start;

/// What a schedule sends: the `Input` of `template.yaml`, with the scheduled time filled in.
#[derive(Deserialize)]
struct Event {
    time: Timestamp,
}

/// Runs a job: `handle` with the scheduled time. An error fails the invocation, and the schedule's
/// retry policy sees to the rest.
pub fn run<C, E: Fault>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    handle: impl AsyncFn(&C, Timestamp) -> Result<(), E>,
) -> ExitCode {
    start(variables, new, async |cx| {
        let (cx, handle) = (&cx, &handle);
        lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
            let scheduled_at = read::<Event>(event.payload)?.time;
            match Box::pin(handle(cx, scheduled_at)).await {
                Ok(()) => {
                    tracing::info!(target: "bitflow", %scheduled_at, "job done");
                    Ok(())
                }
                Err(error) => {
                    let (class, error) = (error.class(), chain(&error));
                    tracing::error!(target: "bitflow", %scheduled_at, %class, error, "the job failed");
                    Err(lambda_runtime::Error::from(format!("the job failed: {class}")))
                }
            }
        }))
        .await
    })
}
