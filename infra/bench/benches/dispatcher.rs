//! The monthly run at size: how long the dispatcher takes for so many subscriptions, what it holds
//! in memory, and what it and the listener ask of AWS and Stripe.
//!
//! `cargo bench --profile dev --workspace --bench dispatcher`. The functions are debug builds
//! and everything runs on one machine: the calls and the memory are the product's, and of the times
//! only how they grow.

use std::collections::HashMap;
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use bitflow_bench::Error;
use bitflow_bench::figures::since;
use bitflow_bench::world::{World, month};
use bitflow_local::functions;
use bitflow_local::stack::Settings;
use serde_json::{Map, Value, json};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Invoices that the listener makes.
const INVOICES: usize = 200;

const JOB: &str = "generate-monthly-invoices-job";
const LISTENER: &str = "invoice-listener";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let world = World::start(Settings::passing(functions::build()?)).await?;
    let measured = measure(&world).await;
    world.stop(measured).await
}

async fn measure(stack: &World) -> Result<(), Error> {
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
    for (number, size) in (1..).zip(SIZES) {
        let rows = (there..size).map(|_| another(&row));
        let import = stack
            .dynamodb
            .import(&stack.name("subscriptions"), rows.collect());
        import?;
        there = size;
        // A process of its own for each size, so that its peak is of this size.
        stack.lambda.kill(JOB).await?;
        let before = stack.calls.so_far();
        let started = Instant::now();
        stack.fire(JOB, month(number)?).await?;
        let took = started.elapsed();
        let sent = stack.sqs.depth(&queue)?;
        if sent.visible != size {
            return Err(format!("{size} subscriptions, and {} messages", sent.visible).into());
        }
        let calls = since(&before, stack.calls.so_far());
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
        stack.sqs.purge(&queue)?;
    }
    listen(stack, &queue).await
}

/// Runs the listener for some of the subscriptions.
async fn listen(stack: &World, queue: &str) -> Result<(), Error> {
    let last = 1 + i64::try_from(SIZES.len())?;
    stack.fire(JOB, month(last)?).await?;
    let messages = stack.sqs.peek(queue)?;
    stack.sqs.purge(queue)?;
    stack.stripe.hold_deliveries();
    let (before, asked) = (stack.calls.so_far(), stack.stripe.requests_total());
    // Each of them also owes the months of the runs before, whose messages were thrown away.
    for message in messages.into_iter().take(INVOICES) {
        let mut due: Value = serde_json::from_str(&message.body)?;
        due["month"] = month(1)?.to_string()[..7].into();
        let new = bitflow_local::aws::sqs::queue::NewMessage {
            body: due.to_string(),
            ..Default::default()
        };
        stack.sqs.send(queue, new)?;
    }
    let started = Instant::now();
    stack.sources.resume(LISTENER);
    stack.settle().await?;
    let took = started.elapsed();
    let invoices = stack.stripe.count("invoice");
    println!(
        "\n{LISTENER}, {invoices} invoices in {:.1} s; calls for each:",
        took.as_secs_f64()
    );
    let mut calls = since(&before, stack.calls.so_far());
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

/// A manual plan, made through the API; as its row is.
async fn subscription(stack: &World) -> Result<HashMap<String, AttributeValue>, Error> {
    let university = stack.onboard("university").await?;
    stack.settle().await?;
    stack.manual_plan(&university).await?;
    stack.settle().await?;
    let scanned = stack
        .dynamo()
        .scan()
        .table_name(stack.name("subscriptions"));
    let row = scanned.send().await?.items.unwrap_or_default().pop();
    Ok(row.ok_or("the plan is not stored")?)
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
