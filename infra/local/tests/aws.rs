//! AWS's own SDKs against the endpoint.

mod support;

use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use support::TestStack;

fn credentials(stack: &TestStack) -> Credentials {
    let aws = &stack.info().aws;
    Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        None,
        None,
        "test",
    )
}

fn region(stack: &TestStack) -> Region {
    Region::new(stack.info().aws.region.clone())
}

#[tokio::test]
async fn queues_answer_the_sdk() {
    let stack = TestStack::start().await;
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region(&stack))
        .credentials_provider(credentials(&stack))
        .endpoint_url(&stack.info().aws_url);
    let sqs = aws_sdk_sqs::Client::from_conf(config.build());
    let missing = sqs
        .get_queue_url()
        .queue_name("nobody")
        .send()
        .await
        .unwrap_err();
    assert!(missing.into_service_error().is_queue_does_not_exist());

    let url = sqs
        .get_queue_url()
        .queue_name(stack.name("undelivered"))
        .send()
        .await
        .unwrap();
    let url = url.queue_url().unwrap();
    // A receive that waits is woken by the send.
    let waiting = sqs
        .receive_message()
        .queue_url(url)
        .wait_time_seconds(20)
        .send();
    let sending = sqs
        .send_message()
        .queue_url(url)
        .message_body("hello")
        .send();
    let (received, sent) = tokio::join!(waiting, sending);
    let received = received.unwrap();
    let message = &received.messages()[0];
    assert_eq!(message.body(), Some("hello"));
    assert_eq!(message.message_id(), sent.unwrap().message_id());
    let handle = message.receipt_handle().unwrap();
    sqs.delete_message()
        .queue_url(url)
        .receipt_handle(handle)
        .send()
        .await
        .unwrap();
    let late = sqs
        .send_message()
        .queue_url(url)
        .message_body("x")
        .delay_seconds(901)
        .send()
        .await;
    assert!(late.is_err(), "a delay over 900 s");
    stack.finish().await;
}

#[tokio::test]
async fn the_bus_takes_what_is_well_formed() {
    let stack = TestStack::start().await;
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region(&stack))
        .credentials_provider(credentials(&stack))
        .endpoint_url(&stack.info().aws_url);
    let bus = aws_sdk_eventbridge::Client::from_conf(config.build());
    let entry = |detail: &str| {
        PutEventsRequestEntry::builder()
            .event_bus_name(stack.name("events"))
            .source("somebody.else")
            .detail_type("Something")
            .detail(detail)
            .build()
    };
    let answer = bus
        .put_events()
        .entries(entry("{}"))
        .entries(entry("{"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.failed_entry_count(), 1);
    assert!(answer.entries()[0].event_id().is_some());
    assert_eq!(answer.entries()[1].error_code(), Some("MalformedDetail"));
    stack.finish().await;
}

#[tokio::test]
async fn files_are_put_and_fetched_by_presigned_urls() {
    let stack = TestStack::start().await;
    let s3 = stack.s3();
    let (bucket, key) = (stack.bucket(), "universities/u/logo.png");
    s3.put_object()
        .bucket(&bucket)
        .key(key)
        .body(b"logo".to_vec().into())
        .send()
        .await
        .unwrap();
    let lifetime = PresigningConfig::expires_in(Duration::from_mins(30)).unwrap();
    let url = s3
        .get_object()
        .bucket(&bucket)
        .key(key)
        .presigned(lifetime)
        .await
        .unwrap();
    let fetched = reqwest::get(url.uri()).await.unwrap();
    assert_eq!(fetched.bytes().await.unwrap().as_ref(), b"logo");
    let other = reqwest::get(url.uri().replace("logo.png", "other.png"))
        .await
        .unwrap();
    assert_eq!(other.status(), 403, "a signature is for one object");
    stack.finish().await;
}
