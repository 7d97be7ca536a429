//! Every function at work: what an invocation takes and asks of AWS, cold and warm, and how long an
//! event needs to its first listener. Release builds.
//!
//! `cargo bench --profile dev --workspace --bench work`, or with `-- --packages .aws-sam/build` the
//! packages that `sam build` made there. One thing after the other, each until nothing more follows
//! from it; functions, tables, queues and vendors share the processors of one machine.

use std::collections::BTreeMap;
use std::time::Duration;

use bitflow_bench::Error;
use bitflow_bench::builds::{self, Arguments};
use bitflow_bench::figures::{
    Durations, average, bar, megabytes, microseconds, milliseconds, since,
};
use bitflow_bench::world::{University, World, month};
use bitflow_local::aws::calls::{Asked, Units};
use bitflow_local::lambda::report::Report;
use bitflow_local::stack::Settings;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

/// Runs of each operation whose time is measured.
const RUNS: usize = 200;

/// Runs before them, which start processes; those are the cold ones.
const WARM_UP: usize = 5;

/// Runs after them whose calls are counted: to be told of units is work for the functions, too.
const COUNTED: usize = 20;

/// Characters of the plot for the longest bar.
const WIDTH: usize = 40;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let functions = builds::release(&builds::all()?, arguments.packages.as_deref())?;
    let world = World::start(Settings::passing(functions)).await?;
    let measured = measure(&world).await;
    let (operations, functions) = world.stop(measured).await?;
    print_operations(&operations);
    print_functions(&functions);
    Ok(())
}

/// Something that is asked of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Authorize,
    ReadUniversity,
    Report,
    Alert,
    Announce,
    MonthReport,
    Bill,
    Paid,
    Failed,
    Monthly,
    Remind,
    Warn,
    Measure,
    Sweep,
    Retry,
    Watch,
    Onboard,
}

impl Operation {
    /// Onboarding is last: what jobs do grows with the universities.
    const ALL: [Self; 17] = [
        Self::Authorize,
        Self::ReadUniversity,
        Self::Report,
        Self::Alert,
        Self::Announce,
        Self::MonthReport,
        Self::Bill,
        Self::Paid,
        Self::Failed,
        Self::Monthly,
        Self::Remind,
        Self::Warn,
        Self::Measure,
        Self::Sweep,
        Self::Retry,
        Self::Watch,
        Self::Onboard,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Authorize => "POST broadcasting/auth",
            Self::ReadUniversity => "GET university",
            Self::Report => "POST university-sync",
            Self::Alert => "POST alert",
            Self::Announce => "POST notification",
            Self::MonthReport => "POST report",
            Self::Bill => "POST invoice",
            Self::Paid => "Stripe: paid",
            Self::Failed => "Stripe: payment failed",
            Self::Monthly => "monthly run, one plan",
            Self::Remind => "reminders",
            Self::Warn => "warnings",
            Self::Measure => "storage, one university",
            Self::Sweep => "sweep",
            Self::Retry => "retry deliveries",
            Self::Watch => "watch dead letters",
            Self::Onboard => "POST university",
        }
    }
}

/// What operations are about.
struct Day<'a> {
    world: &'a World,
    university: University,
    /// At Stripe: not paid yet, one for each run that pays.
    open: String,
    /// At Stripe: never paid.
    failing: String,
}

impl Day<'_> {
    /// What a run needs and is not measured.
    async fn prepare(&mut self, operation: Operation) -> Result<(), Error> {
        if operation == Operation::Paid {
            self.open = self.world.invoice(&self.university).await?;
            self.world.settle().await?;
        }
        Ok(())
    }

    /// One run, of which only the first step is waited for.
    async fn run(&self, operation: Operation, number: usize) -> Result<(), Error> {
        let Self {
            world, university, ..
        } = self;
        let id = &university.id;
        let counted = i64::try_from(number)?;
        let done = match operation {
            Operation::Authorize => {
                let asked = json!({ "socket_id": "1.2", "channel_name": "private-bitflow-admin" });
                world.post("/broadcasting/auth", &asked).await
            }
            Operation::ReadUniversity => world.get(&format!("/api/admin/universities/{id}")).await,
            Operation::Report => {
                let report = json!({ "university_id": id, "metric": "students", "value": number });
                let path = "/api/webhooks/university-sync";
                world.post_signed(path, &report, university).await
            }
            Operation::Alert => {
                // Each of another type, so that none is a repeat.
                let alert = json!({
                    "type": format!("run_{number}"),
                    "university_id": id,
                    "message": "Storage quota exceeded",
                });
                let path = "/api/admin/alerts";
                world.post_signed(path, &alert, university).await
            }
            Operation::Announce => {
                let notice = json!({
                    "type": "maintenance",
                    "title": "Scheduled Maintenance",
                    "message": "System will be down for 2 hours",
                    "scheduled_at": "2099-11-15T02:00:00Z",
                });
                world.post("/api/admin/notifications", &notice).await
            }
            Operation::MonthReport => {
                let month = json!({ "month": "2026-01" });
                world.post("/api/admin/reports", &month).await
            }
            Operation::Bill => world.invoice(university).await.map(Into::into),
            Operation::Paid => world.stripe.pay(&self.open).map_err(Into::into),
            Operation::Failed => world.stripe.fail(&self.failing).map_err(Into::into),
            Operation::Onboard => {
                let name = format!("university-{number}");
                return world.onboard(&name).await.map(drop);
            }
            Operation::Monthly => {
                let job = "generate-monthly-invoices-job";
                return world.fire(job, month(counted)?).await;
            }
            Operation::Remind => {
                return world
                    .fire("send-payment-reminders-job", month(counted)?)
                    .await;
            }
            Operation::Warn => {
                return world
                    .fire("warn-expiring-subscriptions-job", month(counted)?)
                    .await;
            }
            Operation::Measure => {
                return world.fire("sync-storage-usage-job", month(counted)?).await;
            }
            Operation::Sweep => return world.fire("sweep-outbox-job", month(0)?).await,
            Operation::Retry => return world.fire("retry-portal-deliveries-job", month(0)?).await,
            Operation::Watch => return world.fire("watch-dead-letters-job", month(0)?).await,
        };
        done.map(drop)
    }
}

/// What was measured of an operation.
struct OperationRow {
    operation: Operation,
    /// The function that is invoked first.
    first: String,
    took: Vec<Duration>,
    /// From its answer until a listener is given the event; of those that are one request.
    to_listener: Vec<Duration>,
    /// Of all that follows, too.
    invocations: usize,
    /// By the first function.
    asked: Sum,
    /// Units of all that follows, too.
    units: Units,
}

/// What was measured of a function.
#[derive(Default)]
struct FunctionRow {
    cold: Vec<Duration>,
    warm: Vec<Duration>,
    cpu: Vec<Duration>,
    peak_memory_kib: u64,
    asked: Sum,
}

/// What a function asked in so many invocations.
#[derive(Default)]
struct Sum {
    invocations: usize,
    asked: Asked,
}

type Functions = BTreeMap<String, FunctionRow>;

async fn measure(world: &World) -> Result<(Vec<OperationRow>, Functions), Error> {
    let mut reports = world.lambda.reports();
    // As `infra/DEPLOY.md` registers the endpoint.
    let followed: Vec<_> = bitflow_portal::stripe_events::followed().collect();
    world.stripe.enable_events(&followed);
    let university = world.onboard("sample").await?;
    world.settle().await?;
    world.manual_plan(&university).await?;
    let failing = world.invoice(&university).await?;
    world.settle().await?;
    let mut day = Day {
        world,
        university,
        open: String::new(),
        failing,
    };
    let mut functions = Functions::new();
    let mut operations = Vec::new();
    for operation in Operation::ALL {
        eprintln!("{}", operation.name());
        let mut row = time(&mut day, operation, &mut reports, &mut functions).await?;
        count(&mut day, &mut row, &mut reports, &mut functions).await?;
        operations.push(row);
    }
    Ok((operations, functions))
}

/// Runs an operation for how long it takes.
async fn time(
    day: &mut Day<'_>,
    operation: Operation,
    reports: &mut UnboundedReceiver<Report>,
    functions: &mut Functions,
) -> Result<OperationRow, Error> {
    let mut row = OperationRow {
        operation,
        first: String::new(),
        took: Vec::new(),
        to_listener: Vec::new(),
        invocations: 0,
        asked: Sum::default(),
        units: Units::default(),
    };
    for number in 0..WARM_UP + RUNS {
        day.prepare(operation).await?;
        // Of what was prepared, only the starts count.
        for report in drain(reports) {
            functions
                .entry(report.function.clone())
                .or_default()
                .add(&report, false);
        }
        day.run(operation, number).await?;
        day.world.settle().await?;
        let of_run = drain(reports);
        let is_counted = number >= WARM_UP;
        for report in &of_run {
            functions
                .entry(report.function.clone())
                .or_default()
                .add(report, is_counted);
        }
        if is_counted {
            row.add(&of_run)?;
        }
    }
    Ok(row)
}

/// Runs an operation for what it asks.
async fn count(
    day: &mut Day<'_>,
    row: &mut OperationRow,
    reports: &mut UnboundedReceiver<Report>,
    functions: &mut Functions,
) -> Result<(), Error> {
    let names = day.world.lambda.functions();
    let calls = &day.world.calls;
    for number in 0..COUNTED {
        day.prepare(row.operation).await?;
        drain(reports);
        let before: Vec<_> = names.iter().map(|it| (it, calls.of(it))).collect();
        calls.ask_for_units(true);
        day.run(row.operation, WARM_UP + RUNS + number).await?;
        day.world.settle().await?;
        calls.ask_for_units(false);
        let reports = drain(reports);
        for (name, before) in before {
            let invoked = reports.iter().filter(|it| it.function == *name).count();
            let after = calls.of(name);
            row.units += after.units - before.units;
            let of_first = (*name == row.first).then_some(&mut row.asked);
            let of_function = &mut functions.entry(name.clone()).or_default().asked;
            for sum in of_first.into_iter().chain([of_function]) {
                sum.add(invoked, &before, &after);
            }
        }
    }
    Ok(())
}

fn drain(reports: &mut UnboundedReceiver<Report>) -> Vec<Report> {
    let mut drained: Vec<_> = std::iter::from_fn(|| reports.try_recv().ok()).collect();
    drained.sort_by_key(|report| report.began);
    drained
}

impl OperationRow {
    /// Adds a run, whose reports are in the order in which they began.
    fn add(&mut self, reports: &[Report]) -> Result<(), Error> {
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
    fn add(&mut self, report: &Report, is_counted: bool) {
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
    fn add(&mut self, invocations: usize, before: &Asked, after: &Asked) {
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

fn print_operations(rows: &[OperationRow]) {
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

fn print_functions(functions: &Functions) {
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
