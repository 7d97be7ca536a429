//! How long each function takes from the start of its process to its first `/next`, what it then has
//! resident, and how large its package is. Release builds.
//!
//! `cargo bench --profile dev --workspace --bench functions`, or with `-- NAME…` for some, and with
//! `--packages .aws-sam/build` the packages that `sam build` made there. The Runtime API is a socket
//! of this process, so a start is what the function itself takes, and no request goes to AWS or a
//! vendor before the first event: that is part of what is measured.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use bitflow_bench::Error;
use bitflow_bench::builds::{self, Arguments};
use bitflow_bench::figures::{Durations, bar, megabytes, milliseconds};
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

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let all = builds::all()?;
    let wanted = if arguments.names.is_empty() {
        &all
    } else {
        &arguments.names
    };
    let binaries = builds::release(wanted, arguments.packages.as_deref())?;
    let declared = declared(&all).await?;
    let runtime_api = RuntimeApi::start().await?;
    let mut rows = Vec::new();
    for name in wanted {
        let function = declared.iter().find(|it| it.binary == *name);
        let function = function.ok_or_else(|| format!("template.yaml has no {name}"))?;
        rows.push(measure(function, &binaries[name], &runtime_api).await?);
    }
    print(&rows);
    Ok(())
}
/// The functions as `template.yaml` has them. Of a stack that invokes none, so that it needs no
/// binaries.
async fn declared(names: &[String]) -> Result<Vec<Function>, Error> {
    let none = names.iter().map(|name| (name.clone(), PathBuf::new()));
    let stack = Stack::start(Settings::passing(none.collect())).await?;
    let declared = stack.model().functions.clone();
    stack.shutdown().await?;
    Ok(declared)
}

/// What was measured of one function.
struct Row {
    name: String,
    starts: Durations,
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
    resident.sort_unstable();
    let bytes = std::fs::read(binary)?;
    let mut package = DeflateEncoder::new(Vec::new(), Compression::best());
    package.write_all(&bytes)?;
    Ok(Row {
        name: function.binary.clone(),
        starts: starts.into_iter().collect(),
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

/// A table in Markdown, and a plot of the starts below it.
fn print(rows: &[Row]) {
    println!(
        "| function | start ms, median of {STARTS} | slowest | resident MB | binary MB | package MB |"
    );
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            row.name,
            milliseconds(row.starts.median()),
            milliseconds(row.starts.longest()),
            megabytes(row.resident_kib * 1024),
            megabytes(row.binary_bytes),
            megabytes(row.package_bytes),
        );
    }
    let starts = || {
        rows.iter()
            .filter_map(|row| Some((&row.name, row.starts.median()?)))
    };
    let Some(longest) = starts().map(|(_, start)| start).max() else {
        return;
    };
    println!("\n```\nstart, ms");
    for (name, start) in starts() {
        let bar = bar(start, longest, WIDTH);
        println!("{name:>34} {bar:<WIDTH$} {}", milliseconds(Some(start)));
    }
    println!("```");
}
