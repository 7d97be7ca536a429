//! One trace from a request to all that follows from it, over the outbox, the bus and the queues.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use reqwest::StatusCode;
use serde_json::json;

use crate::log::outcomes;
use crate::support::{TestStack, text};

const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

/// Onboards a university as part of the trace.
async fn onboard(stack: &TestStack) {
    let body = json!({
        "name": "Uppsala",
        "primary_email": "registrar@uu.example",
        "domain": "portal.uu.example",
        "storage_quota": 500_000_000_000_u64,
    });
    let sent = reqwest::Client::new()
        .post(format!("{}/api/admin/universities", stack.info().api_url))
        .bearer_auth(&stack.info().admin_token)
        .header(
            "x-amzn-trace-id",
            format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"),
        )
        .json(&body)
        .send();
    assert_eq!(sent.await.expect("an answer").status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_trace_goes_on_behind_the_outbox() {
    let stack = TestStack::start().await;
    stack.sources.pause("email-listener");
    onboard(&stack).await;
    let queue = stack.name("email");
    let waits = async || stack.sqs.depth(&queue).expect("a queue").visible == 1;
    stack.until(waits).await;
    let header = stack.sqs.peek(&queue).expect("a queue")[0]
        .trace_header
        .clone();
    let header = header.expect("a trace");
    let own = format!("Root={ROOT};Parent=");
    assert!(
        header.starts_with(&own) && header.ends_with(";Sampled=1"),
        "{header}"
    );
    assert!(
        !header.contains("53995c3f42cd8ad8"),
        "the step is the request's own: {header}"
    );

    // SQS tells it to who asks for it, and to nobody else.
    let aws = &stack.info().aws;
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(stack.info().aws.region.clone()))
        .credentials_provider(Credentials::new(
            &aws.access_key_id,
            &aws.secret_access_key,
            None,
            None,
            "test",
        ))
        .endpoint_url(&stack.info().aws_url);
    let sqs = aws_sdk_sqs::Client::from_conf(config.build());
    let url = stack.sqs.url(&queue);
    let receive = || sqs.receive_message().queue_url(&url).visibility_timeout(0);
    let bare = receive().send().await.expect("received");
    assert_eq!(bare.messages()[0].attributes(), None);
    let asked = receive().message_system_attribute_names("AWSTraceHeader".into());
    let asked = asked.send().await.expect("received");
    let attributes = asked.messages()[0].attributes().expect("asked for");
    assert_eq!(attributes[&"AWSTraceHeader".into()], header);

    stack.sources.resume("email-listener");
    stack.settle().await;
    for function in [
        "universities-api",
        "outbox-relay",
        "email-listener",
        "activity-listener",
        "stripe-customer-listener",
        "realtime-listener",
    ] {
        let lines = outcomes(&stack, function);
        assert!(!lines.is_empty(), "{function}");
        for line in lines {
            assert_eq!(line["xray_trace_id"], ROOT, "{function}: {line:?}");
        }
    }
    stack.finish().await;
}

/// What a listener writes is part of what it handles, and so is the work that it asks for.
#[tokio::test]
async fn what_a_listener_writes_is_part_of_the_same_trace() {
    let stack = TestStack::start().await;
    onboard(&stack).await;
    stack.settle().await;
    let notice = json!({
        "type": "maintenance",
        "title": "Scheduled Maintenance",
        "message": "System will be down for 2 hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    });
    let (status, made) = stack.post("/api/admin/notifications", &notice).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    stack.settle().await;
    let root = |function: &str| {
        let lines = outcomes(&stack, function);
        text(&lines.last().expect(function)["xray_trace_id"])
    };
    // The request's own: nobody gave it one. What the listener announced is mailed and delivered in it.
    let began = root("notifications-api");
    assert_ne!(began, ROOT);
    for function in [
        "maintenance-listener",
        "email-listener",
        "portal-delivery-listener",
    ] {
        assert_eq!(root(function), began, "{function}");
    }
    stack.shutdown().await.expect("it stops");
}

/// Rows of before traces were kept have none, and are relayed all the same.
#[tokio::test]
async fn an_event_without_a_trace_is_relayed() {
    let stack = TestStack::start().await;
    stack.sources.pause("outbox-relay");
    onboard(&stack).await;
    let (dynamo, table) = (stack.dynamo(), stack.name("outbox"));
    let rows = stack.rows("outbox").await;
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    let trace = row["trace"].as_s().expect("a text").clone();
    assert!(trace.starts_with(&format!("Root={ROOT};")), "{trace}");
    let mut old = row.clone();
    old.remove("trace");
    // The row as the build before would have written it; the stream has it as it was, and is not read.
    let key = ("event_id".to_owned(), old["event_id"].clone());
    let gone = dynamo
        .delete_item()
        .table_name(&table)
        .key(&key.0, key.1.clone());
    gone.send().await.expect("deleted");
    let put = dynamo.put_item().table_name(&table);
    put.set_item(Some(old)).send().await.expect("put");
    let later = "2099-01-01T00:00:00Z";
    stack.fire("sweep-outbox-job", later).await;
    let handled = async || !outcomes(&stack, "activity-listener").is_empty();
    stack.until(handled).await;
    let lines = outcomes(&stack, "activity-listener");
    assert_ne!(lines[0]["xray_trace_id"], ROOT, "it has a trace of its own");
    let row = &stack.rows("outbox").await[0];
    assert!(!row.contains_key("pending") && matches!(row["relayed_at"], AttributeValue::S(_)));
    stack.shutdown().await.expect("it stops");
}
