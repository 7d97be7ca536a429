//! What one request asks of AWS, and how long it takes: `university-sync` and `GET` of a university.
//!
//! `cargo bench --profile dev --workspace --bench requests`. The functions are debug builds and
//! everything runs on one machine: the calls are the product's, and of the times only how the two
//! compare.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bitflow_local::functions;
use bitflow_local::stack::{Settings, Stack};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

/// Requests of each kind, one after the other.
const REQUESTS: usize = 500;

/// Requests before them, which are not counted: the first one starts a process.
const WARM_UP: usize = 20;

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
    let client = Client::new();
    let api = &stack.info().api_url;
    let admin = |request: RequestBuilder| request.bearer_auth(&stack.info().admin_token);
    let new = json!({
        "name": "University",
        "primary_email": "registrar@university.example",
        "domain": "portal.university.example",
        "storage_quota": 500_000_000_000_u64,
    });
    let made = admin(client.post(format!("{api}/api/admin/universities"))).json(&new);
    let made = made.send().await.map_err(|error| error.to_string())?;
    let made: Value = made.json().await.map_err(|error| error.to_string())?;
    settle(stack).await?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let secret = made["portal_secret"].as_str().unwrap_or_default();
    let secret = secret.to_owned().into();

    println!(
        "{:<22} {:>8} {:>9} {:>9}   AWS calls",
        "", "requests", "p50 ms", "p99 ms"
    );
    let read = |_| admin(client.get(format!("{api}/api/admin/universities/{id}")));
    row(stack, "GET university", read).await?;

    // What follows from the events is not the request's.
    stack.sources.pause("outbox-relay");
    let sync = |number: usize| {
        let report = json!({ "university_id": id, "metric": "students", "value": number });
        let body = report.to_string();
        let signature = bitflow_university::sign(&secret, body.as_bytes(), now());
        client
            .post(format!("{api}/api/webhooks/university-sync"))
            .header("content-type", "application/json")
            .header("x-signature", signature)
            .body(body)
    };
    row(stack, "POST university-sync", sync).await?;
    stack.sources.resume("outbox-relay");
    settle(stack).await
}

/// Sends requests of one kind, and prints what they took.
async fn row(
    stack: &Stack,
    name: &str,
    request: impl Fn(usize) -> RequestBuilder,
) -> Result<(), String> {
    for number in 0..WARM_UP {
        send(request(number)).await?;
    }
    let before = stack.calls.so_far();
    let mut took = Vec::with_capacity(REQUESTS);
    for number in WARM_UP..WARM_UP + REQUESTS {
        let request = request(number);
        let started = Instant::now();
        send(request).await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| milliseconds(took[(REQUESTS * percent / 100).min(REQUESTS - 1)]);
    let calls: Vec<_> = since(&before, stack)
        .into_iter()
        .map(|(name, count)| {
            let hundredths = count * 100 / (REQUESTS as u64);
            format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
        })
        .collect();
    println!(
        "{name:<22} {REQUESTS:>8} {:>9} {:>9}   {}",
        at(50),
        at(99),
        calls.join(", ")
    );
    Ok(())
}

async fn send(request: RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("{status}: {body}"))
    }
}

fn milliseconds(took: Duration) -> String {
    let micros = took.as_micros();
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

async fn settle(stack: &Stack) -> Result<(), String> {
    let settled = stack.settle().await;
    settled.map_err(|pending| format!("{pending:?}"))
}

#[expect(clippy::disallowed_methods, reason = "signatures are of the real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn since(before: &BTreeMap<String, u64>, stack: &Stack) -> BTreeMap<String, u64> {
    let mut calls = stack.calls.so_far();
    for (name, count) in before {
        if let Some(now) = calls.get_mut(name) {
            *now -= count;
        }
    }
    calls.retain(|_, count| *count > 0);
    calls
}
