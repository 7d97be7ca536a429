//! Load on a stack of its own: what portals, Stripe and admins send, mixed, for a given time; how
//! long each was answered in; and whether all that was accepted is there afterwards.
//!
//! Every client has universities of its own, whose metrics only rise, so that what was accepted can
//! be told from what is stored. [`client`] sends, [`kept`] looks afterwards, [`report`] shows.

mod client;
mod kept;
mod report;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::functions;
use crate::stack::{self, ALL_SCOPES, Stack};
use client::{Client, Kind, Sent};
pub use report::Report;

/// How much load, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many clients send at a time; each waits for its answer.
    pub clients: u32,
    /// How many universities each has.
    pub universities: u32,
    /// For how long they send.
    pub lasts: Duration,
}

/// A university of a client's.
#[derive(Debug, Clone)]
struct University {
    id: String,
    /// What its portal signs with.
    secret: String,
    /// Its customer at Stripe.
    customer: String,
}

/// Loads a stack and looks at what it kept. An error is a stack that could not be driven to the end;
/// what is missing is in the report.
pub async fn run(settings: &Settings) -> Result<Report, String> {
    let built = tokio::task::spawn_blocking(functions::build).await;
    let functions = built.map_err(|error| error.to_string())?;
    let functions = functions.map_err(|error| error.to_string())?;
    let stack = Stack::start(stack::Settings::passing(functions).without_limits());
    let stack = stack.await.map_err(|error| error.to_string())?;
    let report = load(settings, &stack).await;
    let stopped = stack.shutdown().await.map_err(|error| error.to_string());
    let report = report?;
    stopped.map(|()| report)
}

async fn load(settings: &Settings, stack: &Stack) -> Result<Report, String> {
    let mut clients = Vec::new();
    for number in 0..settings.clients {
        let universities = onboard(stack, number, settings.universities).await?;
        clients.push((number, universities));
    }
    settled(stack).await?;
    let customers = kept::customers(stack).await?;
    let until = Instant::now() + settings.lasts;
    let started = Instant::now();
    let sending = clients.into_iter().map(|(number, mut universities)| {
        for university in &mut universities {
            let customer = customers.get(&university.id).cloned();
            university.customer = customer.unwrap_or_default();
        }
        Client::new(stack, number, universities).send_until(until)
    });
    let sent: Vec<Sent> = join_all(sending).await.into_iter().flatten().collect();
    let lasted = started.elapsed();
    settled(stack).await?;
    let settled_after = started.elapsed().saturating_sub(lasted);
    let missing = kept::missing(stack, &sent).await?;
    Ok(Report::new(&sent, lasted, settled_after, missing))
}

async fn settled(stack: &Stack) -> Result<(), String> {
    let settled = stack.settle().await;
    settled.map_err(|pending| format!("the stack did not settle: {pending:?}"))
}

async fn onboard(stack: &Stack, client: u32, count: u32) -> Result<Vec<University>, String> {
    let http = reqwest::Client::new();
    let mut universities = Vec::new();
    for number in 0..count {
        let slug = format!("load-{client}-{number}");
        let body = json!({
            "name": format!("Load {client} {number}"),
            "primary_email": format!("registrar@{slug}.example"),
            "domain": format!("portal.{slug}.example"),
            "storage_quota": 1_u64 << 50,
        });
        let answer = http
            .post(format!("{}/api/admin/universities", stack.info().api_url))
            .bearer_auth(stack.token(&ALL_SCOPES))
            .json(&body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let made: serde_json::Value = answer.json().await.map_err(|error| error.to_string())?;
        let text = |field: &str| {
            let found = made[field].as_str().map(str::to_owned);
            found.ok_or_else(|| format!("{slug} was not onboarded: {made}"))
        };
        universities.push(University {
            id: text("id")?,
            secret: text("portal_secret")?,
            customer: String::new(),
        });
    }
    Ok(universities)
}
