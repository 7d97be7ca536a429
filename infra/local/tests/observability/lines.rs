//! One line for each outcome.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::log::{lines, outcomes};
use crate::scenes;
use crate::support::{TestStack, text};

/// The last line of a function that tells what came of something, and has these.
fn check(stack: &TestStack, function: &str, expect: &Value) -> Map<String, Value> {
    let outcomes = outcomes(stack, function);
    let line = outcomes.last().expect(function);
    for (field, value) in expect.as_object().expect("fields") {
        assert_eq!(
            line.get(field),
            Some(value),
            "{function}: {field} in {line:?}"
        );
    }
    assert!(line["duration_ms"].is_u64(), "{function}: {line:?}");
    line.clone()
}

#[tokio::test]
async fn each_kind_of_function_tells_what_came_of_it_once() {
    let stack = TestStack::start().await;
    let created = stack.onboard("Uppsala").await;
    stack.settle().await;
    let id = text(&created["id"]);

    // A request.
    let (status, _) = stack.get(&format!("/api/admin/universities/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    let line = check(
        &stack,
        "universities-api",
        &json!({
            "level": "INFO",
            "message": "request answered",
            "method": "GET",
            "route": "/api/admin/universities/{university_id}",
            "status": 200,
            "class": "done",
            "university_id": id,
        }),
    );
    assert!(line["correlation_id"].is_string());
    assert_eq!(outcomes(&stack, "universities-api").len(), 2);
    let (status, problem) = stack.get("/api/admin/universities/a@b.example").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let line = check(
        &stack,
        "universities-api",
        &json!({ "status": 404, "class": "refused" }),
    );
    assert_eq!(line["correlation_id"], problem["correlation_id"]);
    assert_eq!(line.get("university_id"), None, "it is no id: {line:?}");

    // A record, and the messages that follow from it.
    let event = json!({ "event_type": "UniversityCreated", "class": "done", "level": "INFO" });
    let relayed = check(&stack, "outbox-relay", &event);
    assert_eq!(relayed["message"], "event relayed");
    let of = |field: &str| relayed[field].clone();
    let same = json!({
        "event_id": of("event_id"),
        "correlation_id": of("correlation_id"),
        "xray_trace_id": of("xray_trace_id"),
        "class": "done",
        "level": "INFO",
    });
    let mailed = check(&stack, "email-listener", &same);
    assert_eq!(mailed["message"], "mail sent");
    assert!(mailed["age_ms"].is_u64() && mailed["message_id"].is_string());
    check(&stack, "activity-listener", &same);
    check(&stack, "stripe-customer-listener", &same);
    for function in ["outbox-relay", "email-listener", "activity-listener"] {
        assert_eq!(
            lines(&stack, function)
                .iter()
                .filter(|it| !it.contains_key("_aws"))
                .count(),
            1
        );
    }

    // A run of a job.
    stack.fire("sweep-outbox-job", "2026-01-01T00:00:00Z").await;
    check(
        &stack,
        "sweep-outbox-job",
        &json!({
            "message": "outbox swept",
            "scheduled_at": "2026-01-01T00:00:00Z",
            "events": 0,
            "class": "done",
            "level": "INFO",
        }),
    );

    // What it raises goes by the same id, or by one that begins with it.
    for (job, id) in [
        (
            "send-payment-reminders-job",
            "reminders-2026-01-01T00:00:00Z",
        ),
        (
            "warn-expiring-subscriptions-job",
            "expiring-2026-01-01T00:00:00Z",
        ),
        ("sync-storage-usage-job", "storage-2026-01-01"),
        ("generate-monthly-invoices-job", "invoices-2026-01"),
    ] {
        stack.fire(job, "2026-01-01T00:00:00Z").await;
        check(
            &stack,
            job,
            &json!({ "correlation_id": id, "class": "done" }),
        );
    }
    stack.settle().await;
    let measured = outcomes(&stack, "storage-usage-listener");
    let measured = measured.last().expect("a measurement");
    let expect = format!("storage-2026-01-01-{id}");
    assert_eq!(measured["correlation_id"], expect.as_str());
    stack.finish().await;
}

/// What fails tells so on its one line, at its own level.
#[tokio::test]
async fn a_failure_is_told_on_the_same_line() {
    let stack = scenes::a_bad_day().await;
    let line = outcomes(&stack, "stripe-webhook");
    let failed = line.iter().find(|it| it["status"] == 503).expect("one");
    assert_eq!(failed["level"], "WARN");
    assert!(
        text(&failed["error"]).contains("AccessDenied"),
        "{failed:?}"
    );
    assert!(failed["class"].is_string() && failed["correlation_id"].is_string());
    let line = outcomes(&stack, "university-sync");
    let failed = line.last().expect("one");
    assert!(
        failed["error"].is_string() && failed["level"] != "INFO",
        "{failed:?}"
    );
    stack.shutdown().await.expect("it stops");
}

/// Whatever was invoked, as often as it was.
#[tokio::test]
async fn every_function_writes_such_lines() {
    let stack = scenes::a_day().await;
    let silent: BTreeSet<String> = stack
        .lambda
        .functions()
        .into_iter()
        .filter(|function| outcomes(&stack, function).is_empty())
        .collect();
    assert_eq!(silent, BTreeSet::new());
    for function in stack.lambda.functions() {
        for line in outcomes(&stack, &function) {
            let of_whom = ["correlation_id", "request_id"];
            let told = of_whom.iter().any(|field| line.contains_key(*field));
            assert!(told, "{function}: whose? {line:?}");
            let told = line.contains_key("class");
            assert!(told, "{function}: what came of it? {line:?}");
        }
    }
    stack.shutdown().await.expect("it stops");
}
