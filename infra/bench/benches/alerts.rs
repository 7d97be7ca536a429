//! From a portal's alert to the owner's browser: how long it takes through the table, the stream, the
//! bus, the queue and Pusher.
//!
//! `cargo bench --profile dev --workspace --bench alerts`. The functions are debug builds and
//! everything runs on one machine. The target is below 150 ms at the median.

#[path = "../../local/tests/support/socket.rs"]
#[expect(dead_code, reason = "the tests subscribe in more ways")]
mod socket;

use std::time::{Duration, Instant};

use bitflow_local::functions;
use bitflow_local::stack::{Settings, Stack};
use jiff::Timestamp;
use reqwest::Client as Http;
use serde_json::{Value, json};
use socket::Client;

const RUNS: usize = 200;

/// Runs before them, which are not counted: the first ones start processes.
const WARM_UP: usize = 10;

const CHANNEL: &str = "private-bitflow-admin";

#[tokio::main]
async fn main() -> Result<(), String> {
    let functions = functions::build().map_err(|error| error.to_string())?;
    let stack = Stack::start(Settings::passing(functions).without_limits());
    let stack = stack.await.map_err(|error| error.to_string())?;
    let measured = measure(&stack).await;
    let stopped = stack.shutdown().await.map_err(|error| error.to_string());
    measured.and(stopped)
}

async fn measure(stack: &Stack) -> Result<(), String> {
    let http = Http::new();
    let university = json!({
        "name": "University",
        "primary_email": "registrar@university.example",
        "domain": "portal.university.example",
        "storage_quota": 500_000_000_000_u64,
    });
    let made = admin(stack, &http, "/api/admin/universities", &university).await?;
    let secret = made["portal_secret"].as_str().unwrap_or_default();
    let secret = secret.to_owned().into();
    let settled = stack.settle().await;
    settled.map_err(|pending| format!("{pending:?}"))?;

    let pusher = &stack.info().pusher;
    let address = format!("{}:{}", pusher.host, pusher.port);
    let mut browser = Client::connect(&address, &pusher.key).await;
    let asked = json!({ "socket_id": browser.socket_id, "channel_name": CHANNEL });
    let auth = admin(stack, &http, "/broadcasting/auth", &asked).await?;
    browser.subscribe_as(CHANNEL, &auth).await;

    let mut took = Vec::with_capacity(RUNS);
    for run in 0..WARM_UP + RUNS {
        // Each of another type, so that none is a repeat.
        let alert = json!({
            "type": format!("run_{run}"),
            "university_id": made["id"],
            "message": "Storage quota exceeded",
        });
        let body = alert.to_string();
        let signature = bitflow_university::sign(&secret, body.as_bytes(), now());
        let request = http
            .post(format!("{}/api/admin/alerts", stack.info().api_url))
            .header("content-type", "application/json")
            .header("x-signature", signature)
            .body(body);
        let started = Instant::now();
        let (answer, heard) = tokio::join!(request.send(), browser.next());
        let status = answer.map_err(|error| error.to_string())?.status();
        if status.as_u16() != 201 || heard["event"] != "alert.created" {
            return Err(format!("{status}, {heard}"));
        }
        if run >= WARM_UP {
            took.push(started.elapsed());
        }
    }
    took.sort_unstable();
    let at = |percent: usize| milliseconds(took[(RUNS * percent / 100).min(RUNS - 1)]);
    println!(
        "alert to browser, {RUNS} runs: median {} ms, p99 {} ms",
        at(50),
        at(99)
    );
    Ok(())
}

async fn admin(stack: &Stack, http: &Http, path: &str, body: &Value) -> Result<Value, String> {
    let request = http
        .post(format!("{}{path}", stack.info().api_url))
        .bearer_auth(&stack.info().admin_token)
        .json(body);
    let answer = request.send().await.map_err(|error| error.to_string())?;
    answer.json().await.map_err(|error| error.to_string())
}

fn milliseconds(took: Duration) -> String {
    let micros = took.as_micros();
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

#[expect(clippy::disallowed_methods, reason = "signatures are of the real time")]
fn now() -> Timestamp {
    Timestamp::now()
}
