//! Scheduled jobs. A job knows only the time it was scheduled for, never the clock, so that any
//! day can be run again.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use bitflow_fault::Fault;
use futures_util::FutureExt;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::Value;
use tracing::{Instrument, Level};

use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::outcome::{gather, level_of, line, ms};
use crate::start::{invocation, start};

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
            let request_id = event.context.request_id.as_str();
            let correlation_id = tracing::field::Empty;
            let span = tracing::info_span!(target: "bitflow", "job", request_id, correlation_id);
            let run = gather(answer(cx, event.payload, handle)).instrument(span);
            invocation(&event.context, run).await
        }))
        .await
    })
}

/// Adds the id that what this run raises goes by to every log line of it: theirs, or what theirs
/// begin with.
pub fn correlate(correlation_id: &(impl Display + ?Sized)) {
    tracing::Span::current().record("correlation_id", tracing::field::display(correlation_id));
}

/// One run.
async fn answer<C, E: Fault>(
    cx: &C,
    payload: Value,
    handle: &impl AsyncFn(&C, Timestamp) -> Result<(), E>,
) -> Result<(), lambda_runtime::Error> {
    let started = Instant::now();
    let scheduled_at = read::<Event>(payload)?.time;
    let run = AssertUnwindSafe(Box::pin(handle(cx, scheduled_at))).catch_unwind();
    let outcome = run.await;
    let duration_ms = ms(started.elapsed());
    match outcome {
        Ok(Ok(())) => {
            line!(Level::INFO, %scheduled_at, class = "done", duration_ms, "job done");
            Ok(())
        }
        Ok(Err(error)) => {
            let (class, error) = (error.class(), chain(&error));
            line!(level_of(class), %scheduled_at, %class, duration_ms, error, "the job failed");
            Err(format!("the job failed: {class}").into())
        }
        Err(_) => {
            let (class, error) = ("broken", "the handler panicked");
            line!(Level::ERROR, %scheduled_at, class, duration_ms, error, "the job failed");
            Err("the job panicked".into())
        }
    }
}
