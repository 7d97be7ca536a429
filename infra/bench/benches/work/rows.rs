//! What was measured, and the tables of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bitflow_bench::Error;
use bitflow_bench::figures::{
    Durations, average, bar, megabytes, microseconds, milliseconds, since,
};
use bitflow_local::aws::calls::{Asked, Units};
use bitflow_local::lambda::report::Report;

use crate::COUNTED;
use crate::operations::Operation;

/// Characters of the plot for the longest bar.
const WIDTH: usize = 40;

/// What was measured of an operation.
pub(crate) struct OperationRow {
    pub(crate) operation: Operation,
    /// The function that is invoked first.
    pub(crate) first: String,
    pub(crate) took: Vec<Duration>,
    /// From its answer until a listener is given the event; of those that are one request.
    pub(crate) to_listener: Vec<Duration>,
    /// Of all that follows, too.
    pub(crate) invocations: usize,
    /// By the first function.
    pub(crate) asked: Sum,
    /// Units of all that follows, too.
    pub(crate) units: Units,
}

/// What was measured of a function.
#[derive(Default)]
pub(crate) struct FunctionRow {
    pub(crate) cold: Vec<Duration>,
    pub(crate) warm: Vec<Duration>,
    pub(crate) cpu: Vec<Duration>,
    pub(crate) peak_memory_kib: u64,
    pub(crate) asked: Sum,
}

/// What a function asked in so many invocations.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) invocations: usize,
    pub(crate) asked: Asked,
}

pub(crate) type Functions = BTreeMap<String, FunctionRow>;

impl OperationRow {
    /// Nothing was measured yet.
    pub(crate) fn of(operation: Operation) -> Self {
        Self {
            operation,
            first: String::new(),
            took: Vec::new(),
            to_listener: Vec::new(),
            invocations: 0,
            asked: Sum::default(),
            units: Units::default(),
        }
    }

    /// Adds a run, whose reports are in the order in which they began.
    pub(crate) fn add(&mut self, reports: &[Report]) -> Result<(), Error> {
        let first = reports.first().ok_or("nothing was invoked")?;
        self.first.clone_from(&first.function);
        self.took.push(first.took);
        self.invocations += reports.len();
        let again = |it: &&Report| it.function == first.function;
        if reports.iter().filter(again).count() > 1 {
            return Ok(());
        }
        // What a queue of our own brings is no event.
        let mut rest = reports
            .iter()
            .skip_while(|it| it.function != "outbox-relay");
        if let Some(listener) = rest.find(|it| it.function.ends_with("-listener")) {
            let committed = first.began + first.took;
            self.to_listener
                .push(listener.began.saturating_duration_since(committed));
        }
        Ok(())
    }
}

impl FunctionRow {
    /// Adds an invocation; a warm one only where it is to be counted.
    pub(crate) fn add(&mut self, report: &Report, is_counted: bool) {
        self.peak_memory_kib = self
            .peak_memory_kib
            .max(report.peak_memory_kib.unwrap_or_default());
        if report.is_cold {
            self.cold.push(report.took);
        } else if is_counted {
            self.warm.push(report.took);
            self.cpu.extend(report.cpu);
        }
    }
}

impl Sum {
    /// Adds what was asked between two looks, in so many invocations.
    pub(crate) fn add(&mut self, invocations: usize, before: &Asked, after: &Asked) {
        self.invocations += invocations;
        for (operation, count) in since(&before.counts, after.counts.clone()) {
            *self.asked.counts.entry(operation).or_default() += count;
        }
        self.asked.units += after.units - before.units;
    }

    /// Calls for each invocation, e.g. `GetItem 1, TransactWriteItems 1`.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn calls(&self) -> String {
        let each = self.asked.counts.iter().map(|(name, count)| {
            let name = name.trim_start_matches("DynamoDB.");
            format!("{name} {}", average(*count as f64, self.invocations))
        });
        let each: Vec<_> = each.collect();
        if each.is_empty() {
            return "none".to_owned();
        }
        each.join(", ")
    }
}

pub(crate) fn print_operations(rows: &[OperationRow]) {
    println!(
        "| operation | invokes | p50 ms | p99 ms | which asks AWS | invocations in all | read units | write units | event to listener, p50 ms | p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let [took, to_listener] =
            [&row.took, &row.to_listener].map(|all| all.iter().copied().collect::<Durations>());
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let invocations = average(row.invocations as f64, took.count());
        println!(
            "| {} | {} | {} | {} | {} | {invocations} | {} | {} | {} | {} |",
            row.operation.name(),
            row.first,
            milliseconds(took.median()),
            milliseconds(took.percentile(99)),
            row.asked.calls(),
            average(row.units.read, COUNTED),
            average(row.units.write, COUNTED),
            milliseconds(to_listener.median()),
            milliseconds(to_listener.percentile(99)),
        );
    }
}

pub(crate) fn print_functions(functions: &Functions) {
    println!(
        "\n| function | cold ms | warm p50 ms | p99 ms | CPU µs | peak MB | calls | read units | write units |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut used = Vec::new();
    for (name, row) in functions {
        let [cold, warm, cpu] =
            [&row.cold, &row.warm, &row.cpu].map(|all| all.iter().copied().collect::<Durations>());
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            milliseconds(cold.median()),
            milliseconds(warm.median()),
            milliseconds(warm.percentile(99)),
            microseconds(cpu.mean()),
            megabytes(row.peak_memory_kib * 1024),
            row.asked.calls(),
            average(row.asked.asked.units.read, row.asked.invocations),
            average(row.asked.asked.units.write, row.asked.invocations),
        );
        used.extend(cpu.mean().map(|cpu| (name, cpu)));
    }
    let Some(longest) = used.iter().map(|(_, cpu)| *cpu).max() else {
        return;
    };
    println!("\n```\nCPU of a warm invocation, µs");
    for (name, cpu) in used {
        println!(
            "{name:>34} {:<WIDTH$} {}",
            bar(cpu, longest, WIDTH),
            cpu.as_micros()
        );
    }
    println!("```");
}
