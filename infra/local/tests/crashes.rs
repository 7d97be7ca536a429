//! Processes that die, vendors that fail: after redelivery it is as if nothing had happened.

#![expect(clippy::unwrap_used, reason = "a helper of a test may")]

mod support;

use bitflow_local::simulators::{sendgrid, stripe};
use support::TestStack;

/// One university, whatever happened on the way: one customer, one mail, one line.
async fn check_whole(stack: TestStack) {
    stack.settle().await;
    let universities = stack.rows("universities").await;
    assert_eq!(universities.len(), 1);
    assert!(universities[0].contains_key("stripe_customer_id"));
    assert_eq!(stack.stripe.objects("customer").len(), 1, "one customer");
    assert_eq!(stack.mails().len(), 1, "one mail");
    let id = universities[0]["university_id"]
        .as_s()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(stack.activity(id).await, ["university_created"]);
    stack.finish().await;
}

#[tokio::test]
async fn a_listener_killed_after_stripe_made_the_customer() {
    let stack = TestStack::start().await;
    let held = stack.stripe.hold_answer("/v1/customers");
    stack.onboard("Uppsala").await;
    held.taken_effect().await;
    assert_eq!(stack.stripe.objects("customer").len(), 1, "it took effect");
    stack.lambda.kill("stripe-customer-listener").await.unwrap();
    held.release();
    check_whole(stack).await;
}

#[tokio::test]
async fn a_listener_killed_in_the_middle_of_a_batch() {
    let stack = TestStack::start().await;
    let held = stack.stripe.hold_answer("/v1/customers");
    let names = [
        "Aachen",
        "Bologna",
        "Cambridge",
        "Delft",
        "Evora",
        "Freiburg",
    ];
    for name in names {
        stack.onboard(name).await;
    }
    held.taken_effect().await;
    stack.lambda.kill("stripe-customer-listener").await.unwrap();
    held.release();
    stack.settle().await;
    let universities = stack.rows("universities").await;
    assert!(
        universities
            .iter()
            .all(|row| row.contains_key("stripe_customer_id"))
    );
    assert_eq!(stack.stripe.objects("customer").len(), names.len());
    stack.finish().await;
}

#[tokio::test]
async fn a_mailer_killed_before_the_mail_was_sent() {
    let stack = TestStack::start().await;
    // No answer and no effect: the process dies while it waits.
    let held = stack.sendgrid.hold_next();
    stack.onboard("Uppsala").await;
    held.arrived().await;
    stack.lambda.kill("email-listener").await.unwrap();
    held.release();
    check_whole(stack).await;
}

#[tokio::test]
async fn an_activity_writer_and_a_relay_killed_at_any_time() {
    let stack = TestStack::start().await;
    stack.onboard("Uppsala").await;
    for function in [
        "outbox-relay",
        "activity-listener",
        "stripe-customer-listener",
    ] {
        stack.lambda.kill(function).await.unwrap();
    }
    // The mailer is spared: it alone may repeat itself.
    check_whole(stack).await;
}

#[tokio::test]
async fn vendors_that_fail_are_tried_again() {
    let stack = TestStack::start().await;
    let stripe = |status, after_effect| stripe::Failure {
        status,
        path: "/v1/customers".into(),
        after_effect,
        ..stripe::Failure::default()
    };
    for failure in [
        stripe(500, false),
        stripe(429, false),
        stripe(503, true),
        stripe(0, true),
    ] {
        stack.stripe.fail_next(failure);
    }
    for status in [500, 429, 503] {
        stack.sendgrid.fail_next(sendgrid::Failure {
            status,
            after_effect: false,
        });
    }
    stack.onboard("Uppsala").await;
    check_whole(stack).await;
}

#[tokio::test]
async fn what_the_stream_missed_the_sweep_relays() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    // As if the relay had died between the bus and its note: the row waits again.
    let row = stack.rows("outbox").await.remove(0);
    let waiting = stack
        .dynamo()
        .update_item()
        .table_name(stack.name("outbox"));
    waiting
        .key("event_id", row["event_id"].clone())
        .update_expression("SET pending = :shard")
        .expression_attribute_values(
            ":shard",
            aws_sdk_dynamodb::types::AttributeValue::S("0".into()),
        )
        .send()
        .await
        .unwrap();
    let later = stack.clock().now() + jiff::SignedDuration::from_mins(5);
    let output = stack
        .scheduler
        .fire("sweep-outbox-job", later)
        .await
        .unwrap();
    assert_eq!(output.function_error, None, "{}", output.log_tail);
    stack.settle().await;
    assert_eq!(stack.activity(university).await, ["university_created"]);
    assert_eq!(stack.mails().len(), 1, "relayed twice, mailed once");
    stack.finish().await;
}

#[tokio::test]
async fn what_the_bus_refuses_holds_up_nobody_in_the_sweep() {
    use aws_sdk_dynamodb::types::AttributeValue::S;
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let row = stack.rows("outbox").await.remove(0);
    let refused = stack
        .dynamo()
        .put_item()
        .table_name(stack.name("outbox"))
        .item("event_id", S("01KDVDNC00000000000000SMP1".into()))
        .item("occurred_at", row["occurred_at"].clone())
        .item("detail_type", S("Nonsense".into()))
        .item("detail", S("not JSON".into()))
        .item("pending", S("0".into()));
    refused.send().await.unwrap();
    stack.settle().await;
    // One that the stream passed over, in the last shard.
    let waiting = stack
        .dynamo()
        .update_item()
        .table_name(stack.name("outbox"))
        .key("event_id", row["event_id"].clone())
        .update_expression("SET pending = :shard")
        .expression_attribute_values(":shard", S("3".into()));
    waiting.send().await.unwrap();

    let later = stack.clock().now() + jiff::SignedDuration::from_mins(5);
    let swept = stack.scheduler.fire("sweep-outbox-job", later).await;
    let output = swept.unwrap();
    assert!(
        output.function_error.is_some(),
        "the refused one is told of"
    );
    let waiting = stack.rows("outbox").await.into_iter();
    let waiting = waiting.filter(|it| it.contains_key("pending"));
    let waiting: Vec<_> = waiting.map(|it| it["detail_type"].clone()).collect();
    assert_eq!(waiting, [S("Nonsense".into())]);
    stack.settle().await;
    assert_eq!(stack.activity(university).await, ["university_created"]);
    let gone = stack
        .dynamo()
        .delete_item()
        .table_name(stack.name("outbox"))
        .key("event_id", S("01KDVDNC00000000000000SMP1".into()));
    gone.send().await.unwrap();
    stack.finish_with_dead_letters(&["undelivered"]).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_handled_ends_in_its_dead_letter_queue() {
    let stack = TestStack::start().await;
    let poison = bitflow_local::aws::sqs::queue::NewMessage {
        body: "poison".into(),
        ..Default::default()
    };
    stack.sqs.send(&stack.name("activity"), poison).unwrap();
    let (university, _) = stack.onboarded("Uppsala").await;
    assert_eq!(
        stack.activity(university).await,
        ["university_created"],
        "the others go on"
    );
    stack
        .finish_with_dead_letters(&["activity-dead-letters"])
        .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_relayed_is_passed_over_and_told() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let stack = TestStack::start().await;
    let bad = stack.dynamo().put_item().table_name(stack.name("outbox"));
    bad.item("event_id", AttributeValue::S("not an event".into()))
        .item("pending", AttributeValue::S("0".into()))
        .send()
        .await
        .unwrap();
    let (university, _) = stack.onboarded("Uppsala").await;
    assert_eq!(
        stack.activity(university).await,
        ["university_created"],
        "the others go on"
    );
    let told = stack.sqs.dead_letters();
    let told: serde_json::Value = serde_json::from_str(&told[0].1[0]).unwrap();
    assert_eq!(
        told["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    assert_eq!(told["requestContext"]["approximateInvokeCount"], 6);
    assert_eq!(told["DDBStreamBatchInfo"]["batchSize"], 1);
    stack.finish_with_dead_letters(&["undelivered"]).await;
}
