//! Dead letters: told to the owner once, left where they are, and handled when their cause is
//! removed and they are redriven.

mod support;

use bitflow_domain::id::UniversityId;
use bitflow_local::aws::sqs::queue::NewMessage;
use bitflow_local::redrive;
use bitflow_local::simulators::stripe::Failure;
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, text};

const JOB: &str = "watch-dead-letters-job";

impl TestStack {
    /// Runs the job so many minutes from now, and whatever follows.
    async fn watch(&self, minutes: i64) {
        let at = self.clock().now() + SignedDuration::from_mins(minutes);
        self.fire(JOB, &at.to_string()).await;
        self.settle().await;
    }

    async fn alerts(&self) -> Vec<Value> {
        let (status, page) = self.get("/api/admin/alerts").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["data"].as_array().expect("a list").clone()
    }

    async fn rename(&self, university: UniversityId, name: &str) {
        let path = format!("/api/admin/universities/{university}");
        let body = json!({ "name": name });
        let (status, changed) = self.call(Method::PATCH, &path, Some(&body)).await;
        assert_eq!(status, StatusCode::OK, "{changed}");
    }

    /// What Stripe calls its customers.
    fn customers(&self) -> Vec<String> {
        let customers = self.stripe.objects("customer");
        let mut names: Vec<_> = customers.iter().map(|it| text(&it["name"])).collect();
        names.sort();
        names
    }

    /// Returns once a queue holds so many messages.
    async fn holds(&self, queue: &str, messages: usize) {
        let mut changes = self.changes();
        while self.sqs.depth(queue).expect("a queue").visible < messages {
            changes.changed().await.expect("the stack runs");
        }
    }

    fn send(&self, queue: &str, body: &Value) {
        let message = NewMessage {
            body: body.to_string(),
            ..NewMessage::default()
        };
        self.sqs.send(&self.name(queue), message).expect("sent");
    }
}

#[tokio::test]
async fn a_dead_letter_is_told_once_and_redriven() {
    // Not for a day: that is longer than an admin's token is good for.
    let stack = TestStack::start_changed(&[("maxReceiveCount: 120", "maxReceiveCount: 5")]).await;
    let (uppsala, customer) = stack.onboarded("Uppsala").await;
    let (lund, _) = stack.onboarded("Lund").await;
    stack.watch(0).await;
    assert!(stack.alerts().await.is_empty(), "nothing is dead");

    // Stripe refuses one of two changes that come in one batch.
    let path = format!("/v1/customers/{customer}");
    stack.stripe.fail_next(Failure {
        status: 400,
        path: path.clone(),
        count: u32::MAX,
        ..Failure::default()
    });
    stack.sources.pause("stripe-customer-listener");
    stack.rename(uppsala, "Uppsala universitet").await;
    stack.rename(lund, "Lunds universitet").await;
    stack.holds(&stack.name("stripe-customer"), 2).await;
    stack.sources.resume("stripe-customer-listener");
    stack.settle().await;
    assert_eq!(stack.customers(), ["Lunds universitet", "Uppsala"]);
    let refused = stack.stripe.requests();
    let refused = refused
        .iter()
        .filter(|it| it.path == path && it.status == 400);
    assert_eq!(refused.count(), 5, "as often as its queue allows");
    let dead = stack.name("stripe-customer-dead-letters");
    let before = stack.sqs.peek(&dead).expect("a queue");
    assert_eq!(before.len(), 1);

    stack.watch(0).await;
    stack.watch(5).await;
    // When repeats are not folded any more, and the row that folds is gone.
    stack.watch(60).await;
    let alerts = stack.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    for (key, value) in [
        ("type", json!("dead_letter")),
        ("severity", json!("critical")),
        ("university_id", json!(uppsala)),
        ("count", json!(1)),
    ] {
        assert_eq!(alert[key], value, "{key}");
    }
    let event: Value = serde_json::from_str(&before[0].body).expect("an event");
    let expect = format!(
        "UniversityUpdated event {} lies in {dead} (message {}). The listener of {} gave it up after \
         about 5 receives; its log tells the cause under correlation_id {}. When the cause is removed: \
         aws sqs start-message-move-task --source-arn {}",
        text(&event["event_id"]),
        before[0].message_id,
        stack.name("stripe-customer"),
        text(&event["correlation_id"]),
        stack.sqs.arn(&dead),
    );
    assert_eq!(text(&alert["message"]), expect);
    let log = stack.lambda.logs("stripe-customer-listener").join("\n");
    assert!(log.contains(&text(&event["correlation_id"])), "{log}");
    let after = stack.sqs.peek(&dead).expect("a queue");
    assert_eq!(
        after[0].message_id, before[0].message_id,
        "it is left there"
    );

    stack.stripe.fail_no_more();
    let moved = redrive::run(stack.info(), stack.model(), "StripeCustomerQueue").await;
    let moved = moved.expect("redriven").to_string();
    let expect = format!(
        "Moved 1 message from {dead} back to {}.",
        stack.name("stripe-customer")
    );
    assert_eq!(moved, expect);
    stack.settle().await;
    let whole = ["Lunds universitet", "Uppsala universitet"];
    assert_eq!(stack.customers(), whole);
    stack.watch(65).await;
    assert_eq!(stack.alerts().await.len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn several_that_die_in_one_queue_are_one_alert_with_a_count() {
    let stack = TestStack::start().await;
    for at in 0..23 {
        stack.send("report", &json!({ "no": "report", "at": at }));
    }
    stack.send("activity", &json!("poison"));
    stack.settle().await;
    stack.watch(0).await;
    stack.watch(5).await;
    let alerts = stack.alerts().await;
    // One for each queue, which says how that one is redriven.
    let mut counts: Vec<_> = alerts.iter().map(|it| it["count"].as_u64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(1), Some(23)], "{alerts:?}");
    for alert in &alerts {
        assert_eq!(alert["university_id"], Value::Null);
    }
    for queue in ["report-dead-letters", "activity-dead-letters"] {
        stack.sqs.purge(&stack.name(queue)).expect("purged");
    }
    stack.finish().await;
}

#[tokio::test]
async fn what_lambda_gave_up_is_told_too() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let stack = TestStack::start().await;
    let job = "send-payment-reminders-job";
    let event = json!({ "time": "nonsense" }).to_string();
    stack.lambda.invoke_later(job, event.into()).expect("begun");
    stack.settle().await;
    stack.watch(0).await;
    let bad = stack.dynamo().put_item().table_name(stack.name("outbox"));
    let bad = bad.item("event_id", AttributeValue::S("not an event".into()));
    let bad = bad.item("pending", AttributeValue::S("0".into()));
    bad.send().await.expect("put");
    stack.settle().await;
    stack.watch(15).await;
    let alerts = stack.alerts().await;
    let told: Vec<_> = alerts.iter().map(|it| text(&it["message"])).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let of_the_stream = format!(
        "{} did not handle a record of its stream (message in {}). Lambda gave up after 6 \
         invocations (RetryAttemptsExhausted)",
        stack.name("outbox-relay"),
        stack.name("undelivered")
    );
    assert!(told[0].starts_with(&of_the_stream), "{}", told[0]);
    let of_the_job = format!(
        "The run of {} failed (message in {}). Lambda gave up after 3 invocations \
         (RetriesExhausted, ",
        stack.name(job),
        stack.name("undelivered")
    );
    assert!(told[1].starts_with(&of_the_job), "{}", told[1]);
    stack.sqs.purge(&stack.name("undelivered")).expect("purged");
    stack.finish_with_a_bad_row().await;
}

impl TestStack {
    /// A row that is no event stays in the outbox.
    async fn finish_with_a_bad_row(self) {
        self.settle().await;
        assert!(self.sqs.dead_letters().is_empty());
        self.shutdown().await.expect("the stack stops");
    }
}

/// While no news comes through, each alert of a dead letter would die and be told in its turn.
#[tokio::test]
async fn the_news_of_a_dead_letter_begets_no_other() {
    let stack = TestStack::start().await;
    let news = |of: &str| {
        json!({
            "event_id": "01KDVDNC00000000000000SMP2",
            "type": "AlertCreated",
            "correlation_id": "request-1",
            "data": { "type": of, "severity": "critical", "message": "m" },
        })
    };
    stack.send("realtime-dead-letters", &news("dead_letter"));
    stack.watch(0).await;
    assert!(stack.alerts().await.is_empty());
    stack.send("realtime-dead-letters", &news("storage_quota"));
    stack.watch(5).await;
    assert_eq!(stack.alerts().await.len(), 1);
    let dead = stack.name("realtime-dead-letters");
    stack.sqs.purge(&dead).expect("purged");
    stack.finish().await;
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_keeps_no_other_from_being_looked_into() {
    let first = "- - !Ref StripeCustomerDeadLetters";
    let nobody = "- - http://localhost/000000000000/nobody";
    let stack = TestStack::start_changed(&[(first, nobody)]).await;
    stack.send("activity", &json!("poison"));
    stack.settle().await;
    let now = stack.clock().now();
    let output = stack.scheduler.fire(JOB, now).await.expect("fired");
    assert!(output.function_error.is_some(), "it is seen");
    stack.settle().await;
    assert_eq!(stack.alerts().await.len(), 1);
    let denied = stack.iam.take_denials();
    assert!(denied.iter().all(|it| it.resource.ends_with(":nobody")));
    stack
        .finish_with_dead_letters(&["activity-dead-letters"])
        .await;
}

#[tokio::test]
async fn queues_are_known_by_their_names() {
    let stack = TestStack::start().await;
    for name in [
        "EmailQueue",
        "EmailDeadLetters",
        "bitflow-local-email",
        "bitflow-local-email-dead-letters",
        "email",
    ] {
        let moved = redrive::run(stack.info(), stack.model(), name).await;
        let moved = moved.expect("redriven");
        assert_eq!(moved.messages, 0, "{name}");
        assert_eq!(moved.from, "bitflow-local-email-dead-letters");
    }
    for (name, expect) in [
        ("nobody", "there is no queue nobody; known are "),
        (
            "Undelivered",
            "no queue gives its messages up to Undelivered; known are ",
        ),
    ] {
        let refused = redrive::run(stack.info(), stack.model(), name).await;
        let refused = refused.expect_err("refused");
        assert!(refused.starts_with(expect), "{refused}");
        assert!(
            refused.contains("StripeCustomerQueue, EmailQueue"),
            "{refused}"
        );
    }
    stack.finish().await;
}
