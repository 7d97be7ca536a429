//! How long each function takes from the start of its process to its first `/next`, what it then has
//! resident, and how large its package is. Release builds.
//!
//! `cargo bench --profile dev --workspace --bench functions`, or with `-- NAME…` for some. The
//! Runtime API is a socket of this process, so a start is what the function itself takes, and no
//! request goes to AWS or a vendor before the first event: that is part of what is measured.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use bitflow_local::functions;
use bitflow_local::stack::{Settings, Stack};
use bitflow_local::template::model::Function;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Starts of each function; the median is told.
const STARTS: usize = 15;

/// Characters of the plot for the slowest function.
const WIDTH: usize = 40;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let wanted: BTreeSet<_> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let debug = functions::build()?;
    let stack = Stack::start(Settings::passing(debug.clone())).await?;
    let declared = stack.model().functions.clone();
    stack.shutdown().await?;
    let named = |it: &Function| wanted.is_empty() || wanted.contains(&it.binary);
    let declared: Vec<_> = declared.into_iter().filter(named).collect();
    let names: Vec<_> = declared.iter().map(|it| it.binary.as_str()).collect();
    let binaries = functions::build_release(&names)?;

    let runtime_api = RuntimeApi::start().await?;
    let mut rows = Vec::new();
    for function in &declared {
        let row = measure(function, &binaries[&function.binary], &runtime_api).await?;
        eprintln!("{}: {:.1} ms", row.name, milliseconds(row.start));
        rows.push(row);
    }
    print(&rows);
    Ok(())
}

/// What was measured of one function.
struct Row {
    name: String,
    start: Duration,
    slowest: Duration,
    resident_kib: u64,
    binary_bytes: u64,
    package_bytes: u64,
}

async fn measure(function: &Function, binary: &Path, api: &RuntimeApi) -> Result<Row, Error> {
    // Once before, so that the file is in memory, as it is not on Lambda: what the platform takes to
    // load a package is not the function's.
    start(function, binary, api).await?.0.kill().await?;
    let mut starts = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..STARTS {
        let (mut process, took) = start(function, binary, api).await?;
        resident.push(resident_kib(&process)?);
        process.kill().await?;
        starts.push(took);
    }
    starts.sort_unstable();
    resident.sort_unstable();
    let bytes = std::fs::read(binary)?;
    let mut package = DeflateEncoder::new(Vec::new(), Compression::best());
    package.write_all(&bytes)?;
    Ok(Row {
        name: function.binary.clone(),
        start: starts[STARTS / 2],
        slowest: starts[STARTS - 1],
        resident_kib: resident[STARTS / 2],
        binary_bytes: bytes.len() as u64,
        package_bytes: package.finish()?.len() as u64,
    })
}

/// Starts the function; how long it took until it asked for its first event.
async fn start(
    function: &Function,
    binary: &Path,
    api: &RuntimeApi,
) -> Result<(Child, Duration), Error> {
    let mut asked = api.asked.lock().await;
    while asked.try_recv().is_ok() {}
    let started = Instant::now();
    let mut process = Command::new(binary)
        .env_clear()
        .envs(&function.environment)
        .env("AWS_LAMBDA_RUNTIME_API", &api.address)
        .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env(
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            function.memory_mb.to_string(),
        )
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "benchmark")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "AKIABENCHMARK")
        .env("AWS_SECRET_ACCESS_KEY", "benchmark")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        at = asked.recv() => {
            let at = at.ok_or("the Runtime API ended")?;
            Ok((process, at - started))
        }
        ended = process.wait() => Err(format!("{} ended: {}", function.binary, ended?).into()),
    }
}

fn resident_kib(process: &Child) -> Result<u64, Error> {
    let id = process.id().ok_or("the process ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

/// A Runtime API that never has an event.
struct RuntimeApi {
    address: String,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Instant>>,
}

impl RuntimeApi {
    async fn start() -> Result<Self, Error> {
        let (asks, asked) = mpsc::unbounded_channel();
        let asks = Arc::new(asks);
        let next = move || {
            let _ = asks.send(Instant::now());
            std::future::pending::<()>()
        };
        let routes = Router::new().route("/2018-06-01/runtime/invocation/next", get(next));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            asked: tokio::sync::Mutex::new(asked),
        })
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// A table in Markdown, and a plot of the starts below it.
fn print(rows: &[Row]) {
    println!(
        "| function | start ms, median of {STARTS} | slowest | resident MB | binary MB | package MB |"
    );
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            row.name,
            milliseconds(row.start),
            milliseconds(row.slowest),
            megabytes(row.resident_kib * 1024),
            megabytes(row.binary_bytes),
            megabytes(row.package_bytes),
        );
    }
    let Some(longest) = rows.iter().map(|row| row.start).max() else {
        return;
    };
    println!("\n```\nstart, ms");
    for row in rows {
        let share = row.start.as_secs_f64() / longest.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of the width"
        )]
        let bar = (share * WIDTH as f64).round() as usize;
        println!(
            "{:>34} {:<WIDTH$} {:.1}",
            row.name,
            "#".repeat(bar),
            milliseconds(row.start)
        );
    }
    println!("```");
}
