//! What is walked: each function's samples, and what people and vendors do in turn.

use std::fmt;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::answers::ALL;
use crate::run::{Answer, Samples};
use crate::seed::World;
use crate::support::{TestStack, real_now, time};

/// How often a caller tries: an HTTP client, a portal, Stripe, a queue, a schedule.
const TRIES: u32 = 12;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    /// The samples of a function, by its place in [`ALL`].
    Samples(usize),
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(at) => write!(f, "samples of {}", ALL[*at].function),
        }
    }
}

pub(crate) fn all() -> Vec<Flow> {
    (0..ALL.len()).map(Flow::Samples).collect()
}

impl Flow {
    /// Whose calls are disturbed.
    pub(crate) fn functions(self) -> Vec<&'static str> {
        match self {
            Self::Samples(at) => vec![ALL[at].function],
        }
    }

    /// The world before.
    pub(crate) async fn prepare(self, stack: TestStack) -> World {
        match self {
            Self::Samples(at) => prepare_samples(ALL[at].function, stack).await,
        }
    }

    /// What happens; whoever asks asks again where it failed.
    pub(crate) async fn act(self, world: &World) {
        match self {
            Self::Samples(at) => act_samples(ALL[at], world).await,
        }
    }
}

/// What comes by the clock afterwards, and finds what was left lying.
pub(crate) async fn recover(world: &World) {
    let later = |hours| (real_now() + SignedDuration::from_hours(hours)).to_string();
    for (job, hours) in [
        ("sweep-outbox-job", 1),
        ("retry-portal-deliveries-job", 26),
        ("sweep-outbox-job", 27),
    ] {
        fire(world, job, &later(hours)).await;
        world.stack.settle().await;
    }
}

/// Runs a job, as often as it fails.
async fn fire(world: &World, job: &str, at: &str) {
    for _ in 0..TRIES {
        let output = world.stack.scheduler.fire(job, time(at)).await;
        if output.expect("fired").function_error.is_none() {
            return;
        }
    }
    panic!("{job} fails for good");
}

async fn prepare_samples(function: &str, stack: TestStack) -> World {
    if function == "stripe-customer-listener" {
        let world = World::before_stripe_on(stack).await;
        world.insert_plan("2025-12-10T00:00:00Z").await;
        return world;
    }
    let mut world = World::start_on(stack).await;
    match function {
        "billing-api" => {
            world.make_price();
            world.insert_plan("2026-01-01T00:00:00Z").await;
            world.make_invoice(None).await;
        }
        "notifications-api" | "maintenance-listener" => world.insert_notification().await,
        "stripe-webhook" => world.pay_untold_invoice(),
        "generate-monthly-invoices-job" => world.insert_plan("2025-12-10T00:00:00Z").await,
        "retry-portal-deliveries-job" | "portal-delivery-listener" => {
            world.insert_notification().await;
            world.insert_delivery().await;
        }
        "send-payment-reminders-job" => world.make_invoice(Some("2026-01-01T00:00:00Z")).await,
        "warn-expiring-subscriptions-job" => {
            world.insert_ending_plan("2026-01-10T00:00:00Z").await;
        }
        "invoice-listener" => world.insert_plan("2025-11-10T00:00:00Z").await,
        "payment-details-listener" => {
            world.pay_untold_invoice();
            world.insert_payment().await;
        }
        _ => {}
    }
    world
}

async fn act_samples(samples: &Samples, world: &World) {
    for (file, expect) in samples.answers {
        act_sample(world, &format!("{}/{file}", samples.function), expect).await;
        world.stack.settle().await;
    }
}

/// Has a function handle a sample, as often as it takes.
async fn act_sample(world: &World, sample: &str, expect: &Answer) {
    let mut event = world.event(sample);
    if event.pointer("/requestContext/http/method") == Some(&json!("POST"))
        && event.pointer("/headers/idempotency-key").is_none()
        && event["headers"].is_object()
    {
        // Who asks again does so under the same key.
        event["headers"]["idempotency-key"] = sample.into();
    }
    let function = sample.split('/').next().unwrap_or_default();
    let mut last = Value::Null;
    for tried in 0..TRIES {
        let invoked = world
            .stack
            .lambda
            .invoke(function, event.to_string().into());
        let output = invoked.await.expect("invoked");
        if output.function_error.is_none() {
            last = serde_json::from_slice(&output.payload).expect("JSON");
            let (seen, expect) = expect.held_against(&last);
            if seen == expect || (tried > 0 && is_told_of_itself(&event, &seen)) {
                return;
            }
        }
        received_again(&mut event, &last);
    }
    panic!("{sample} fails for good: {last}");
}

/// Whether who asks again is told that what was asked is done: what is deleted is not there, and
/// what was changed has another version.
fn is_told_of_itself(event: &Value, status: &Value) -> bool {
    let method = event.pointer("/requestContext/http/method");
    let method = method.and_then(Value::as_str).unwrap_or_default();
    match status.as_u64() {
        Some(404) => method == "DELETE",
        Some(412) => event.pointer("/headers/if-match").is_some(),
        _ => false,
    }
}

/// A queue hands out again what failed, and says so.
fn received_again(event: &mut Value, answer: &Value) {
    let failed: Vec<String> = answer["batchItemFailures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned))
        .collect();
    let Some(records) = event["Records"].as_array_mut() else {
        return;
    };
    if !failed.is_empty() {
        let is_of_queue = |record: &Value| record["messageId"].is_string();
        records.retain(|it| !is_of_queue(it) || failed.iter().any(|id| *id == it["messageId"]));
    }
    for record in records {
        let count = &mut record["attributes"]["ApproximateReceiveCount"];
        if let Some(before) = count.as_str().and_then(|it| it.parse::<u32>().ok()) {
            *count = (before + 1).to_string().into();
        }
    }
}
