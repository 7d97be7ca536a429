//! Each function may do what the template grants it, and is refused everything else in AWS's own
//! words. (That it is granted nothing else is in `samples/grants.rs`.)

#![expect(clippy::unwrap_used, reason = "a helper of a test may")]

mod support;

use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use bitflow_local::stack::{Settings, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, binaries};

/// What the activity-listener is granted.
const GRANT: &str = "Action: [dynamodb:PutItem]\n              Resource: !GetAtt Activities.Arn";

#[tokio::test]
async fn without_its_grant_a_function_is_refused() {
    let less = GRANT.replace("PutItem", "GetItem");
    let stack = TestStack::start_changed(&[(GRANT, &less)]).await;
    stack.onboard("Uppsala").await;
    stack.settle().await;
    assert!(stack.rows("activities").await.is_empty());
    let log = stack.lambda.logs("activity-listener").join("\n");
    assert!(log.contains("AccessDenied"), "{log}");
    let denials = stack.iam.take_denials();
    assert!(denials.iter().all(|it| it.action == "dynamodb:PutItem"));
    assert!(log.contains(&denials[0].to_string()), "{log}");
    // The others may do what they could before.
    assert_eq!(stack.mails().len(), 1);
    let dead = ["activity-dead-letters"];
    stack.finish_with_dead_letters(&dead).await;

    let stack = TestStack::start().await;
    stack.onboard("Uppsala").await;
    stack.settle().await;
    assert_eq!(stack.rows("activities").await.len(), 1);
    let log = stack.lambda.logs("activity-listener").join("\n");
    assert!(!log.contains("AccessDenied"), "{log}");
    stack.finish().await;
}

#[tokio::test]
async fn who_may_not_tell_its_on_failure_destination_is_not_started() {
    let functions = tokio::task::spawn_blocking(binaries).await.unwrap();
    let mut settings = Settings::passing(functions);
    let template = std::fs::read_to_string(&settings.template).unwrap();
    let grant = "Resource: !GetAtt Undelivered.Arn";
    let (before, after) = template.split_once(grant).unwrap();
    let other = format!("{before}Resource: !GetAtt ReportDeadLetters.Arn{after}");
    let folder = tempfile::tempdir().unwrap();
    settings.template = folder.path().join("template.yaml");
    std::fs::write(&settings.template, other).unwrap();
    let Err(refused) = Stack::start(settings).await else {
        panic!("it is started")
    };
    let refused = refused.to_string();
    let expect = "the role of OutboxRelay may not call SendMessage on bitflow-local-undelivered, its on-failure destination";
    assert!(refused.ends_with(expect), "{refused}");
}

/// A call as a function makes it, the signature left out: only S3 looks at it.
async fn call(
    stack: &TestStack,
    function: &str,
    target: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let key = stack.iam.credentials(function).access_key_id;
    let credential = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/x/aws4_request");
    let answer = reqwest::Client::new()
        .post(&stack.info().aws_url)
        .header("authorization", credential)
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let mut body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    // Whoever reads it takes either.
    if let Some(message) = body.get("Message").cloned() {
        body["message"] = message;
    }
    (status, body)
}

#[tokio::test]
async fn each_service_refuses_in_its_own_form() {
    let stack = TestStack::start().await;
    let table = |name: &str| json!({ "TableName": stack.name(name) });
    let put =
        |name: &str| json!({ "TableName": stack.name(name), "Item": { "alert_id": { "S": "a" } } });
    let queue = |name: &str| stack.sqs.url(&stack.name(name));
    let send = json!({ "QueueUrl": queue("email"), "MessageBody": "x" });
    let batch =
        json!({ "QueueUrl": queue("email"), "Entries": [{ "Id": "1", "MessageBody": "x" }] });
    let items = json!([
        { "Put": { "TableName": stack.name("alerts"), "Item": {} } },
        { "Delete": { "TableName": stack.name("outbox"), "Key": {} } },
    ]);
    let events = json!({ "Entries": [{ "EventBusName": stack.name("events") }] });
    let dynamo = "DynamoDB_20120810";
    for (function, role, target, body, status, action, resource) in [
        (
            "activity-listener",
            "ActivityListener",
            format!("{dynamo}.PutItem"),
            put("alerts"),
            400,
            "dynamodb:PutItem",
            "dynamodb:us-east-1:000000000000:table/bitflow-local-alerts",
        ),
        (
            "alerts-api",
            "AlertsApi",
            format!("{dynamo}.Query"),
            table("alerts"),
            400,
            "dynamodb:Query",
            "dynamodb:us-east-1:000000000000:table/bitflow-local-alerts",
        ),
        (
            "alerts-api",
            "AlertsApi",
            format!("{dynamo}.TransactWriteItems"),
            json!({ "TransactItems": items }),
            400,
            "dynamodb:DeleteItem",
            "dynamodb:us-east-1:000000000000:table/bitflow-local-outbox",
        ),
        (
            "alerts-api",
            "AlertsApi",
            "AmazonSQS.SendMessage".to_owned(),
            send,
            403,
            "sqs:sendmessage",
            "sqs:us-east-1:000000000000:bitflow-local-email",
        ),
        (
            "alerts-api",
            "AlertsApi",
            "AmazonSQS.SendMessageBatch".to_owned(),
            batch,
            403,
            "sqs:sendmessage",
            "sqs:us-east-1:000000000000:bitflow-local-email",
        ),
        (
            "alerts-api",
            "AlertsApi",
            "AWSEvents.PutEvents".to_owned(),
            events,
            400,
            "events:PutEvents",
            "events:us-east-1:000000000000:event-bus/bitflow-local-events",
        ),
    ] {
        let (seen, body) = call(&stack, function, &target, &body).await;
        assert_eq!(seen.as_u16(), status, "{target}: {body}");
        assert_eq!(
            body["__type"],
            "com.amazon.coral.service#AccessDeniedException"
        );
        let name = stack.name(function);
        let expect = format!(
            "User: arn:aws:sts::000000000000:assumed-role/{role}Role/{name} is not authorized to perform: \
             {action} on resource: arn:aws:{resource} because no identity-based policy allows the {action} action"
        );
        assert_eq!(body["message"], expect);
    }
    assert_eq!(stack.sqs.depth(&stack.name("email")).unwrap().visible, 0);
    assert_eq!(stack.iam.take_denials().len(), 6);
    stack.finish().await;
}

#[tokio::test]
async fn no_function_invokes_another() {
    let stack = TestStack::start().await;
    let key = stack.iam.credentials("alerts-api").access_key_id;
    let url = format!(
        "{}/2015-03-31/functions/{}/invocations",
        stack.info().aws_url,
        stack.name("sweep-outbox-job")
    );
    let credential =
        format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/lambda/aws4_request");
    let invoke = reqwest::Client::new()
        .post(url)
        .header("authorization", credential);
    let refused = invoke.body("{}").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let refused = refused.text().await.unwrap();
    assert!(refused.contains("lambda:InvokeFunction"), "{refused}");
    assert_eq!(stack.iam.take_denials().len(), 1);
    stack.finish().await;
}

fn s3_of(stack: &TestStack, function: &str) -> aws_sdk_s3::Client {
    let theirs = stack.iam.credentials(function);
    let (id, secret) = (theirs.access_key_id, theirs.secret_access_key);
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(stack.info().aws.region.clone()))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .endpoint_url(&stack.info().aws_url)
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

#[tokio::test]
async fn files_are_guarded_by_their_keys() {
    let stack = TestStack::start().await;
    let bucket = stack.bucket();
    for key in ["universities/u/logos/l.png", "reports/r.csv", "backups/b"] {
        let put = stack.s3().put_object().bucket(&bucket).key(key);
        put.body(b"x".to_vec().into()).send().await.unwrap();
    }
    // An object that there is, and the code of what is said to who asks for one.
    for (function, key, expect) in [
        ("universities-api", "universities/u/logos/l.png", None),
        (
            "universities-api",
            "universities/u/logos/no.png",
            Some("NoSuchKey"),
        ),
        ("universities-api", "reports/r.csv", Some("AccessDenied")),
        ("universities-api", "backups/b", Some("AccessDenied")),
        ("billing-api", "reports/r.csv", None),
        (
            "billing-api",
            "universities/u/logos/l.png",
            Some("AccessDenied"),
        ),
        // It may write reports, and not even learn that there is none.
        ("report-listener", "reports/no.csv", Some("AccessDenied")),
        ("alerts-api", "reports/r.csv", Some("AccessDenied")),
    ] {
        let s3 = s3_of(&stack, function);
        let got = s3.get_object().bucket(&bucket).key(key).send().await;
        let code = got.err().map(|error| error.code().unwrap().to_owned());
        assert_eq!(code.as_deref(), expect, "{function}: {key}");
        // Whoever has a URL that a function signed may do what the function may.
        let lasts = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
        let get = s3.get_object().bucket(&bucket).key(key);
        let url = get.presigned(lasts).await.unwrap();
        let answer = reqwest::get(url.uri()).await.unwrap();
        let status = match expect {
            None => 200,
            Some("NoSuchKey") => 404,
            Some(_) => 403,
        };
        assert_eq!(answer.status().as_u16(), status, "{function}: {key}");
    }
    let said = s3_of(&stack, "alerts-api").get_object().bucket(&bucket);
    let said = said.key("backups/b").send().await.unwrap_err();
    let expect = format!(
        "User: arn:aws:sts::000000000000:assumed-role/AlertsApiRole/bitflow-local-alerts-api is not authorized \
         to perform: s3:GetObject on resource: \"arn:aws:s3:::{bucket}/backups/b\" because no identity-based \
         policy allows the s3:GetObject action"
    );
    assert_eq!(said.message(), Some(&*expect));

    let s3 = s3_of(&stack, "storage-usage-listener");
    for (prefix, may) in [
        (Some("universities/u/"), true),
        (Some("reports/"), false),
        (None, false),
    ] {
        let list = s3.list_objects_v2().bucket(&bucket);
        let listed = list.set_prefix(prefix.map(str::to_owned)).send().await;
        assert_eq!(listed.is_ok(), may, "{prefix:?}");
    }
    let gone = s3.delete_object().bucket(&bucket).key("backups/b").send();
    assert!(gone.await.is_err());
    assert!(!stack.iam.take_denials().is_empty());
    stack.finish().await;
}
