//! A year of billing on a stack of its own, with failures mixed in, and the books at its end.
//!
//! [`plan`] and [`fate`] are what the seed decides, [`life`] lives it, [`expected`] is what must come
//! of it by the simulation's own reckoning, and [`books`] holds the product's tables, the mailbox and
//! Stripe against that and against each other.

mod admin;
mod books;
mod expected;
mod fate;
mod life;
mod plan;
mod report;
mod trouble;

use std::time::Instant;

use crate::functions;
use crate::stack::{self, Stack};
use expected::Expected;
use plan::Plan;
pub use report::Report;
use trouble::Tampered;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many universities are onboarded.
    pub universities: u32,
    /// How many months they are billed.
    pub months: u32,
    /// Decides everything that is random: not the threads' order, but all that is done to the
    /// stack.
    pub seed: u64,
}

/// Lives the year and checks the books. An error is a stack that could not be driven to the end;
/// books that differ are in the report.
pub async fn run(settings: &Settings) -> Result<Report, String> {
    let built = tokio::task::spawn_blocking(functions::build).await;
    let functions = built.map_err(|error| error.to_string())?;
    let functions = functions.map_err(|error| error.to_string())?;
    let stack = Stack::start(stack::Settings::passing(functions).without_limits());
    let stack = stack.await.map_err(|error| error.to_string())?;
    let report = simulate(settings, &stack).await;
    let stopped = stack.shutdown().await.map_err(|error| error.to_string());
    let report = report?;
    stopped.map(|()| report)
}

async fn simulate(settings: &Settings, stack: &Stack) -> Result<Report, String> {
    let plan = Plan::new(settings.seed, settings.universities, settings.months);
    let tampered = Tampered::new(stack);
    let started = Instant::now();
    let mut expected = Expected::default();
    let lived = life::live(&plan, settings.months, &tampered, &mut expected).await;
    let lived_for = started.elapsed();
    // The books are read even where life broke off: they may tell why.
    let books = books::read(stack).await?;
    let tampering = tampered.counts();
    let mut differences = books::check(&books, &expected, &tampering);
    if let Err(broken_off) = lived {
        differences.insert(0, broken_off);
    }
    Ok(Report::new(
        *settings,
        &books,
        tampering,
        lived_for,
        differences,
    ))
}
