//! AWS's own SDKs against the endpoint.

#![expect(clippy::unwrap_used, reason = "a helper of a test may")]

mod support;

use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_sqs::operation::start_message_move_task::builders::StartMessageMoveTaskFluentBuilder;
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
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
    let sqs = sqs(&stack);
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

fn sqs(stack: &TestStack) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region(stack))
        .credentials_provider(credentials(stack))
        .endpoint_url(&stack.info().aws_url);
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// A queue that nobody reads but the test, and its dead-letter queue.
struct Moves {
    stack: TestStack,
    sqs: aws_sdk_sqs::Client,
    queue: String,
    dead: String,
}

impl Moves {
    async fn start() -> Self {
        let stack = TestStack::start().await;
        stack.sources.pause("report-listener");
        Self {
            sqs: sqs(&stack),
            queue: stack.name("report"),
            dead: stack.name("report-dead-letters"),
            stack,
        }
    }

    async fn send(&self, queue: &str, body: &str) -> String {
        let url = self.stack.sqs.url(queue);
        let send = self.sqs.send_message().queue_url(url).message_body(body);
        send.send().await.unwrap().message_id.unwrap()
    }

    /// Sends messages, and fails them as often as the queue allows.
    async fn die(&self, bodies: &[&str]) -> Vec<String> {
        let mut ids = Vec::new();
        for body in bodies {
            ids.push(self.send(&self.queue, body).await);
        }
        for _ in 0..6 {
            let url = self.stack.sqs.url(&self.queue);
            let receive = self.sqs.receive_message().queue_url(url);
            let receive = receive.max_number_of_messages(10).visibility_timeout(0);
            receive.send().await.unwrap();
        }
        ids
    }

    /// A message's id, receive count and source.
    async fn receive(&self, queue: &str) -> (String, String, Option<String>) {
        let receive = self
            .sqs
            .receive_message()
            .queue_url(self.stack.sqs.url(queue))
            .visibility_timeout(0)
            .message_system_attribute_names("All".into());
        let received = receive.send().await.unwrap();
        let message = received.messages()[0].clone();
        let attributes = message.attributes.clone().unwrap();
        let attribute = |name: &str| attributes.get(&name.into()).cloned();
        let count = attribute("ApproximateReceiveCount");
        let source = attribute("DeadLetterQueueSourceArn");
        (message.message_id.unwrap(), count.unwrap(), source)
    }

    fn begin(&self) -> StartMessageMoveTaskFluentBuilder {
        let start = self.sqs.start_message_move_task();
        start.source_arn(self.stack.sqs.arn(&self.dead))
    }

    /// What was moved from the dead-letter queue, newest first.
    async fn tasks(&self) -> Vec<ListMessageMoveTasksResultEntry> {
        let list = self.sqs.list_message_move_tasks().max_results(10);
        let list = list.source_arn(self.stack.sqs.arn(&self.dead));
        list.send().await.unwrap().results().to_vec()
    }

    async fn finish(self) {
        for queue in [&self.queue, &self.dead] {
            self.stack.sqs.purge(queue).unwrap();
        }
        self.stack.finish().await;
    }
}

/// As recorded of AWS, where its documentation leaves it open.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>
#[tokio::test]
async fn dead_letters_go_back_to_where_they_were_given_up() {
    let moves = Moves::start().await;
    let id = moves.die(&["one"]).await.remove(0);
    // The same message, and where it comes from.
    let arn = moves.stack.sqs.arn(&moves.queue);
    let seen = moves.receive(&moves.dead).await;
    assert_eq!(seen, (id.clone(), "6".to_owned(), Some(arn)));
    let started = moves.begin().send().await.unwrap();
    assert!(started.task_handle().is_some());
    let task = moves.tasks().await.remove(0);
    assert_eq!(task.status(), Some("COMPLETED"));
    assert_eq!(task.approximate_number_of_messages_moved(), 1);
    assert_eq!(task.approximate_number_of_messages_to_move(), Some(1));
    assert_eq!(task.source_arn(), Some(&*moves.stack.sqs.arn(&moves.dead)));
    assert_eq!((task.destination_arn(), task.task_handle()), (None, None));
    // A new message.
    let (new_id, count, source) = moves.receive(&moves.queue).await;
    assert_ne!(new_id, id);
    assert_eq!((&*count, source), ("1", None));

    // What was sent there came from nowhere.
    moves.send(&moves.dead, "x").await;
    moves.begin().send().await.unwrap();
    let task = moves.tasks().await.remove(0);
    let failed = (task.status(), task.failure_reason());
    let reason = "CouldNotDetermineMessageSource";
    assert_eq!(failed, (Some("FAILED"), Some(reason)));
    assert_eq!(moves.stack.sqs.depth(&moves.dead).unwrap().visible, 1);
    moves.finish().await;
}

#[tokio::test]
async fn a_move_takes_its_time_and_can_be_cancelled() {
    let moves = Moves::start().await;
    moves.die(&["a", "b", "c"]).await;
    let to = moves.stack.sqs.arn(&moves.queue);
    let slowly = moves.begin().max_number_of_messages_per_second(1);
    let slowly = slowly.destination_arn(to);
    let started = slowly.clone().send().await.unwrap();
    let second = slowly.clone().send().await.unwrap_err();
    let second = second.into_service_error();
    let said = second.meta().message().unwrap_or_default();
    assert!(
        said.starts_with("There is already a task running."),
        "{said}"
    );
    let task = moves.tasks().await.remove(0);
    assert_eq!(task.status(), Some("RUNNING"));
    assert_eq!(task.task_handle(), started.task_handle());
    let cancel = moves.sqs.cancel_message_move_task();
    let cancel = cancel.task_handle(started.task_handle().unwrap());
    let moved = cancel.clone().send().await.unwrap();
    let moved = moved.approximate_number_of_messages_moved();
    assert!((1..3).contains(&moved), "{moved}");
    assert!(cancel.send().await.is_err(), "it is not running any more");
    let left = moves.stack.sqs.peek(&moves.dead).unwrap().len();
    assert_eq!(i64::try_from(left).unwrap(), 3 - moved);

    // And to its end; the stack is not at rest before.
    slowly.send().await.unwrap();
    moves.stack.sources.resume("report-listener");
    moves.stack.settle().await;
    let task = moves.tasks().await.remove(0);
    assert_eq!(task.status(), Some("COMPLETED"));
    assert_eq!(task.approximate_number_of_messages_moved(), 3 - moved);
    moves.finish().await;
}

#[tokio::test]
async fn what_is_no_move_is_refused() {
    let stack = TestStack::start().await;
    let sqs = sqs(&stack);
    let arn = |name: &str| stack.sqs.arn(&stack.name(name));
    let start = async |source: &str, destination: Option<&str>, rate: Option<i32>| {
        let start = sqs.start_message_move_task().source_arn(source);
        let start = start.set_destination_arn(destination.map(str::to_owned));
        let start = start.set_max_number_of_messages_per_second(rate);
        let error = start.send().await.unwrap_err().into_service_error();
        let (code, said) = (error.meta().code(), error.meta().message());
        format!("{}: {}", code.unwrap_or_default(), said.unwrap_or_default())
    };
    let dead = arn("email-dead-letters");
    for (said, expect) in [
        (
            start(&arn("nobody"), None, None).await,
            "ResourceNotFoundException: The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
        (
            start(&dead, Some(&arn("nobody")), None).await,
            "ResourceNotFoundException: The resource that you specified for the DestinationArn parameter doesn't exist.",
        ),
        (
            start(&arn("undelivered"), None, None).await,
            "InvalidParameterValue: Source queue must be configured as a Dead Letter Queue.",
        ),
        (
            start(&dead, Some(&dead), None).await,
            "InvalidParameterValue: Source queue arn and destination queue arn cannot be the same.",
        ),
        (
            start(&dead, None, Some(501)).await,
            "InvalidParameterValue: Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.",
        ),
    ] {
        assert_eq!(said, expect);
    }
    let cancel = sqs.cancel_message_move_task().task_handle("foobared");
    let error = cancel.send().await.unwrap_err().into_service_error();
    let said = error.meta().message();
    assert_eq!(said, Some("Value for parameter TaskHandle is invalid."));
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
