//! Every function at work: what an invocation takes and asks of AWS, cold and warm, and how long an
//! event needs to its first listener. Release builds.
//!
//! `cargo bench --profile dev --workspace --bench work`, or with `-- --packages .aws-sam/build` the
//! packages that `sam build` made there. One thing after the other, each until nothing more follows
//! from it; functions, tables, queues and vendors share the processors of one machine.

mod operations;
mod rows;

use bitflow_bench::Error;
use bitflow_bench::builds::{self, Arguments};
use bitflow_bench::world::World;
use bitflow_local::lambda::report::Report;
use bitflow_local::stack::Settings;
use operations::{Day, Operation};
use rows::{Functions, OperationRow, print_functions, print_operations};
use tokio::sync::mpsc::UnboundedReceiver;

/// Runs of each operation in which every process is a new one.
const COLD: usize = 15;

/// Runs of each operation whose time is measured.
const RUNS: usize = 200;

/// Runs before them, after the cold ones.
const WARM_UP: usize = 5;

/// Runs after them whose calls are counted: to be told of units is work for the functions, too.
const COUNTED: usize = 20;

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

/// Runs an operation for how long it takes, first cold and then warm.
async fn time(
    day: &mut Day<'_>,
    operation: Operation,
    reports: &mut UnboundedReceiver<Report>,
    functions: &mut Functions,
) -> Result<OperationRow, Error> {
    let mut row = OperationRow::of(operation);
    for number in 0..COLD + WARM_UP + RUNS {
        day.prepare(operation).await?;
        drain(reports);
        if number < COLD {
            for function in day.world.lambda.functions() {
                day.world.lambda.kill(&function).await?;
            }
        }
        day.run(operation, number).await?;
        day.world.settle().await?;
        let of_run = drain(reports);
        let is_warm = number >= COLD + WARM_UP;
        for report in &of_run {
            let function = functions.entry(report.function.clone()).or_default();
            function.add(report, is_warm);
        }
        if is_warm {
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
        day.run(row.operation, COLD + WARM_UP + RUNS + number)
            .await?;
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
