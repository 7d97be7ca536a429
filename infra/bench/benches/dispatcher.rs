//! The monthly run at size: how long the dispatcher takes for so many subscriptions, what it holds
//! in memory, and what it and the listener ask of AWS and Stripe.
//!
//! `cargo bench --profile dev --workspace --bench dispatcher`. The functions are debug builds
//! and everything runs on one machine: the calls and the memory are the product's, and of the times
//! only how they grow.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use bitflow_local::functions;
use bitflow_local::stack::{Settings, Stack};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Invoices that the listener makes.
const INVOICES: usize = 200;

const JOB: &str = "generate-monthly-invoices-job";
const LISTENER: &str = "invoice-listener";

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
    let queue = stack.name("invoice");
    let row = subscription(stack).await?;
    stack.sources.pause(LISTENER);
    println!(
        "{:>13} {:>9} {:>9} {:>9} {:>8} {:>11} {:>17}",
        "subscriptions",
        "seconds",
        "µs each",
        "peak MiB",
        "Query",
        "UpdateItem",
        "SendMessageBatch"
    );
    let mut there = 1;
    for (month, size) in (1..).zip(SIZES) {
        let rows = (there..size).map(|_| another(&row));
        let import = stack
            .dynamodb
            .import(&stack.name("subscriptions"), rows.collect());
        import.map_err(|error| error.to_string())?;
        there = size;
        // A process of its own for each size, so that its peak is of this size.
        stack
            .lambda
            .kill(JOB)
            .await
            .map_err(|error| error.to_string())?;
        let before = stack.calls.so_far();
        let started = Instant::now();
        fire(stack, month).await?;
        let took = started.elapsed();
        let sent = stack.sqs.depth(&queue).map_err(|error| error.to_string())?;
        if sent.visible != size {
            return Err(format!(
                "{size} subscriptions, and {} messages",
                sent.visible
            ));
        }
        let calls = since(&before, stack);
        let count = |name: &str| calls.get(name).copied().unwrap_or_default();
        let peak = stack.lambda.peak_memory_kib(JOB).unwrap_or_default();
        println!(
            "{size:>13} {:>9.2} {:>9} {:>9} {:>8} {:>11} {:>17}",
            took.as_secs_f64(),
            took.as_micros() / size as u128,
            peak / 1024,
            count("DynamoDB.Query"),
            count("DynamoDB.UpdateItem"),
            count("AmazonSQS.SendMessageBatch"),
        );
        stack.sqs.purge(&queue).map_err(|error| error.to_string())?;
    }
    listen(stack, &queue).await
}

/// Runs the listener for some of the subscriptions.
async fn listen(stack: &Stack, queue: &str) -> Result<(), String> {
    fire(stack, 1 + i64::try_from(SIZES.len()).unwrap_or_default()).await?;
    let messages = stack.sqs.peek(queue).map_err(|error| error.to_string())?;
    stack.sqs.purge(queue).map_err(|error| error.to_string())?;
    stack.stripe.hold_deliveries();
    let (before, asked) = (stack.calls.so_far(), stack.stripe.requests_total());
    // Each of them also owes the months of the runs before, whose messages were thrown away.
    for message in messages.into_iter().take(INVOICES) {
        let mut due: Value =
            serde_json::from_str(&message.body).map_err(|error| error.to_string())?;
        due["month"] = month(1)?.to_string()[..7].into();
        let new = bitflow_local::aws::sqs::queue::NewMessage {
            body: due.to_string(),
            ..Default::default()
        };
        stack
            .sqs
            .send(queue, new)
            .map_err(|error| error.to_string())?;
    }
    let started = Instant::now();
    stack.sources.resume(LISTENER);
    stack
        .settle()
        .await
        .map_err(|pending| format!("{pending:?}"))?;
    let took = started.elapsed();
    let invoices = stack.stripe.count("invoice");
    println!(
        "\n{LISTENER}, {invoices} invoices in {:.1} s; calls for each:",
        took.as_secs_f64()
    );
    let mut calls = since(&before, stack);
    calls.insert("Stripe".to_owned(), stack.stripe.requests_total() - asked);
    for (name, count) in calls {
        let hundredths = count * 100 / (invoices as u64);
        println!(
            "  {name:<28} {:>3}.{:02}",
            hundredths / 100,
            hundredths % 100
        );
    }
    println!("(with what follows from the events: the relay, the mail, the audit line)");
    Ok(())
}

/// The run of a month, counted from the next.
async fn fire(stack: &Stack, number: i64) -> Result<(), String> {
    let output = stack.scheduler.fire(JOB, month(number)?).await;
    let output = output.map_err(|error| error.to_string())?;
    match output.function_error {
        None => Ok(()),
        Some(_) => Err(output.log_tail),
    }
}

#[expect(clippy::disallowed_methods, reason = "plans begin in the real month")]
fn month(number: i64) -> Result<Timestamp, String> {
    let first = Offset::UTC
        .to_datetime(Timestamp::now())
        .date()
        .first_of_month();
    let month = first.checked_add(Span::new().months(number));
    let month = month.and_then(|month| Offset::UTC.to_timestamp(month.at(0, 0, 0, 0)));
    month.map_err(|error| error.to_string())
}

/// A manual plan, made through the API; as its row is.
async fn subscription(stack: &Stack) -> Result<HashMap<String, AttributeValue>, String> {
    let university = json!({
        "name": "University",
        "primary_email": "registrar@university.example",
        "domain": "portal.university.example",
        "storage_quota": 500_000_000_000_u64,
    });
    let made = post(stack, "/api/admin/universities", &university).await?;
    stack
        .settle()
        .await
        .map_err(|pending| format!("{pending:?}"))?;
    let id = made["id"].as_str().unwrap_or_default();
    let plan = json!({ "amount": 9900, "description": "Campus", "days_until_due": 30 });
    post(
        stack,
        &format!("/api/admin/universities/{id}/subscriptions"),
        &plan,
    )
    .await?;
    stack
        .settle()
        .await
        .map_err(|pending| format!("{pending:?}"))?;
    let scanned = stack
        .dynamo()
        .scan()
        .table_name(stack.name("subscriptions"));
    let scanned = scanned.send().await.map_err(|error| error.to_string())?;
    let row = scanned.items.unwrap_or_default().pop();
    row.ok_or_else(|| "the plan is not stored".to_owned())
}

async fn post(stack: &Stack, path: &str, body: &Value) -> Result<Value, String> {
    let request = reqwest::Client::new()
        .post(format!("{}{path}", stack.info().api_url))
        .bearer_auth(&stack.info().admin_token)
        .json(body);
    let answer = request.send().await.map_err(|error| error.to_string())?;
    answer.json().await.map_err(|error| error.to_string())
}

/// The same plan once more, in DynamoDB's JSON.
fn another(row: &HashMap<String, AttributeValue>) -> Value {
    let attribute = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(yes) => json!({ "BOOL": yes }),
        other => unreachable!("a subscription has no {other:?}"),
    };
    let mut another: Map<String, Value> = row
        .iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect();
    let id = uuid::Uuid::now_v7().to_string();
    another.insert("subscription_id".to_owned(), json!({ "S": id }));
    another.into()
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
