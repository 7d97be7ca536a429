//! What an operator sees: one line for each outcome, metrics that CloudWatch can read, traces that go on
//! behind the outbox, and alarms that watch what is really there and say what to do.

mod alarms;
mod lines;
mod log;
mod metrics;
mod scenes;
#[path = "../support/mod.rs"]
mod support;
mod traces;
