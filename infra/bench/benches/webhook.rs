//! The Stripe webhook beside the same function in Node (`node/webhook.mjs`, bundled with esbuild):
//! `invoice.payment_failed` of an invoice that is stored, cold and warm. The Rust one as release.
//!
//! `cargo bench --profile dev --workspace --bench webhook`, or with `-- --packages .aws-sam/build` the
//! package that `sam build` made there. Needs Node 20 or later, and npm, which fetches the libraries.
//!
//! Each runs in a stack of its own, in turns, and nothing follows from its events while it is measured.
//! Afterwards they are let go on: listeners must take what either wrote, and the invoice must have
//! been told of every failure.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitflow_bench::Error;
use bitflow_bench::builds::{self, Arguments};
use bitflow_bench::figures::{Durations, megabytes, microseconds, milliseconds};
use bitflow_bench::world::World;
use bitflow_local::functions;
use bitflow_local::lambda::report::Report;
use bitflow_local::stack::Settings;
use tokio::sync::mpsc::UnboundedReceiver;

const FUNCTION: &str = "stripe-webhook";

/// Cold starts of each; the median is told.
const STARTS: usize = 15;

/// Failures that are measured in each.
const RUNS: usize = 500;

/// In so many turns.
const TURNS: usize = 10;

/// Failures before them: Node compiles what it has run often.
const WARM_UP: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let others = functions::build()?;
    let rust = builds::release(&[FUNCTION.to_owned()], arguments.packages.as_deref())?;
    let rust = Run::start(&others, rust[FUNCTION].clone()).await?;
    let node = Run::start(&others, node()?).await?;
    let mut both = [rust, node];
    let measured = measure(&mut both).await;
    for run in both {
        run.world.stop(Ok(())).await?;
    }
    print(measured?);
    Ok(())
}

/// One of them, in its stack.
struct Run {
    world: World,
    /// What is never paid.
    invoice: String,
    reports: UnboundedReceiver<Report>,
    cold: Vec<Report>,
    warm: Vec<Report>,
}

/// What was measured of one of them.
struct Row {
    cold: Durations,
    warm: Durations,
    cpu: Durations,
    peak_memory_kib: u64,
}

/// Cold ones first, then warm ones, a few of each in turn: what else the machine does at a time, it
/// does to both.
async fn measure(both: &mut [Run; 2]) -> Result<[Row; 2], Error> {
    for run in &mut *both {
        for _ in 0..STARTS {
            run.world.lambda.kill(FUNCTION).await?;
            let cold = run.fail().await?;
            run.cold.push(cold);
        }
        for _ in 0..WARM_UP {
            run.fail().await?;
        }
    }
    for _ in 0..TURNS {
        for run in &mut *both {
            for _ in 0..RUNS / TURNS {
                let warm = run.fail().await?;
                run.warm.push(warm);
            }
        }
    }
    for run in &*both {
        run.hold_against().await?;
    }
    let [rust, node] = both;
    Ok([rust.row(), node.row()])
}

fn print(rows: [Row; 2]) {
    println!("| in | cold ms | warm p50 ms | p99 ms | CPU µs | peak MB |");
    println!("|---|---|---|---|---|---|");
    for (name, row) in ["Rust", "Node"].into_iter().zip(&rows) {
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            milliseconds(row.cold.median()),
            milliseconds(row.warm.median()),
            milliseconds(row.warm.percentile(99)),
            microseconds(row.cpu.mean()),
            megabytes(row.peak_memory_kib * 1024),
        );
    }
    if let [Some(rust), Some(node)] = rows.map(|row| row.cpu.mean()) {
        let share = rust.as_secs_f64() / node.as_secs_f64();
        println!("\nCPU of an invocation: {:.0} % of Node's", share * 100.0);
    }
}

impl Run {
    /// A stack with an invoice, whose events lead nowhere yet.
    async fn start(others: &BTreeMap<String, PathBuf>, webhook: PathBuf) -> Result<Self, Error> {
        let mut functions = others.clone();
        functions.insert(FUNCTION.to_owned(), webhook);
        let world = World::start(Settings::passing(functions)).await?;
        // Node's knows no other event.
        world.stripe.enable_events(&["invoice.payment_failed"]);
        let university = world.onboard("sample").await?;
        world.settle().await?;
        let invoice = world.invoice(&university).await?;
        world.settle().await?;
        world.sources.pause("outbox-relay");
        Ok(Self {
            reports: world.lambda.reports(),
            world,
            invoice,
            cold: Vec::new(),
            warm: Vec::new(),
        })
    }

    /// A payment that fails, and what the webhook took to hear of it.
    async fn fail(&mut self) -> Result<Report, Error> {
        self.world.stripe.fail(&self.invoice)?;
        let report = self.reports.recv().await.ok_or("the stack stopped")?;
        if report.function_error.is_some() {
            let log = self.world.lambda.logs(FUNCTION).join("\n");
            return Err(format!("an invocation failed:\n{log}").into());
        }
        Ok(report)
    }

    /// Every failure is in the books, and no listener refuses what tells of it.
    async fn hold_against(&self) -> Result<(), Error> {
        let world = &self.world;
        world.sources.resume("outbox-relay");
        world.settle().await?;
        let scanned = world.dynamo().scan().table_name(world.name("invoices"));
        let rows = scanned.send().await?.items.unwrap_or_default();
        let attempts = rows.first().and_then(|row| row.get("attempt_count"));
        let attempts = attempts.and_then(|count| count.as_n().ok());
        let failures = STARTS + WARM_UP + RUNS;
        if attempts != Some(&failures.to_string()) {
            return Err(format!("{failures} failures, and the invoice has {attempts:?}").into());
        }
        let dead = world.sqs.dead_letters();
        if dead.is_empty() {
            Ok(())
        } else {
            Err(format!("dead letters: {dead:?}").into())
        }
    }

    fn row(&self) -> Row {
        let peak = self.warm.iter().filter_map(|it| it.peak_memory_kib).max();
        Row {
            cold: self.cold.iter().map(|it| it.took).collect(),
            warm: self.warm.iter().map(|it| it.took).collect(),
            cpu: self.warm.iter().filter_map(|it| it.cpu).collect(),
            peak_memory_kib: peak.unwrap_or_default(),
        }
    }
}

/// The function in Node, as a program: installed and bundled anew.
fn node() -> Result<PathBuf, Error> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhook-in-node");
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "webhook.mjs"] {
        fs::copy(source.join(file), folder.join(file))?;
    }
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(install).current_dir(&folder))?;
    run(Command::new("npm")
        .args(["run", "build"])
        .current_dir(&folder))?;
    // A function's process has no PATH.
    let node = run(Command::new("node").args(["-p", "process.execPath"]))?;
    let bundle = folder.join("webhook.cjs");
    let program = folder.join("bootstrap");
    let script = format!("#!/bin/sh\nexec '{}' '{}'\n", node.trim(), bundle.display());
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// What a command prints; it must end well.
fn run(command: &mut Command) -> Result<String, Error> {
    let ran = command.output();
    let ran = ran.map_err(|error| format!("{command:?}: {error}"))?;
    if ran.status.success() {
        Ok(String::from_utf8(ran.stdout)?)
    } else {
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(format!("{command:?}: {}: {said}", ran.status).into())
    }
}
