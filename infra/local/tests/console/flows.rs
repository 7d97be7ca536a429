//! What the recorder makes of what went through.

use std::collections::{BTreeMap, BTreeSet};

use bitflow_local::simulators::sendgrid;
use bitflow_local::simulators::stripe::Failure;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::TestStack;
use crate::{above, chain, fact, spans};

const CREATE: &str = "POST /api/admin/universities";

#[tokio::test]
async fn a_creation_is_followed_from_the_request_to_each_vendor() {
    let stack = TestStack::start().await;
    let body = json!({
        "name": "Uppsala", "primary_email": "registrar@uu.example",
        "domain": "portal.uu.example", "storage_quota": 1000,
    });
    let created = stack.post_with_key("k", "/api/admin/universities", &body);
    let (status, headers, _) = created.await;
    assert_eq!(status, StatusCode::CREATED);
    stack.settle().await;
    let flow = stack.flow(CREATE).await;
    assert_eq!(flow["id"], headers["x-correlation-id"].to_str().unwrap());
    assert_eq!(
        (&flow["outcome"], &flow["status"]),
        (&json!("done"), &json!(201))
    );
    assert_eq!(flow["events"], json!(["UniversityCreated"]));
    let [stripe] = *spans(&flow, "vendor", "Stripe") else {
        panic!("{flow:#}");
    };
    assert_eq!(stripe["about"], "POST /v1/customers");
    assert_eq!(fact(stripe, "status"), "200");
    let expect = [
        "vendor Stripe",
        "function stripe-customer-listener",
        "queue stripe-customer",
        "event UniversityCreated",
        "transaction DynamoDB.TransactWriteItems",
        "function universities-api",
        "request POST /api/admin/universities",
    ];
    assert_eq!(chain(&flow, stripe), expect);
    let [relay] = *spans(&flow, "function", "outbox-relay") else {
        panic!("{flow:#}");
    };
    assert_eq!(chain(&flow, relay)[1], "event UniversityCreated");
    for (vendor, listener) in [
        ("SendGrid", "email-listener"),
        ("Pusher", "realtime-listener"),
    ] {
        let [call] = *spans(&flow, "vendor", vendor) else {
            panic!("{vendor}: {flow:#}");
        };
        assert_eq!(chain(&flow, call)[1], format!("function {listener}"));
    }
    // Nothing is left open, and nothing is there before what it follows from.
    for span in flow["spans"].as_array().unwrap() {
        assert_eq!(span["outcome"], "done", "{span:#}");
        assert!(
            span["took_ms"].as_f64().is_some_and(|it| it > 0.0),
            "{span:#}"
        );
        let Some(parent) = above(&flow, span) else {
            continue;
        };
        assert!(begin(span) >= begin(parent), "{span:#} before {parent:#}");
        // What a function does, it does while it runs.
        if ["function", "request"].contains(&parent["kind"].as_str().unwrap()) {
            assert!(end(span) <= end(parent), "{span:#} after {parent:#}");
        }
    }
    let log = format!("flows/{}/log/email-listener", flow["id"].as_str().unwrap());
    let log = stack.shown(&log).await;
    assert!(log["lines"].to_string().contains("mail sent"), "{log}");
    stack.finish().await;
}

fn begin(span: &Value) -> f64 {
    span["at_ms"].as_f64().expect("a number")
}

fn end(span: &Value) -> f64 {
    begin(span) + span["took_ms"].as_f64().expect("a number")
}

#[tokio::test]
async fn what_is_tried_again_shows_each_try() {
    let stack = TestStack::start().await;
    stack.stripe.fail_next(Failure {
        status: 500,
        path: "/v1/customers".to_owned(),
        ..Failure::default()
    });
    stack.sendgrid.fail_next(sendgrid::Failure {
        status: 0,
        after_effect: false,
    });
    stack.onboard("Uppsala").await;
    stack.settle().await;
    let flow = stack.flow(CREATE).await;
    assert_eq!(flow["outcome"], "recovered");
    let tries = |kind: &str, name: &str| -> Vec<(u64, String)> {
        let tries = spans(&flow, kind, name).into_iter();
        let tries = tries.map(|it| {
            let outcome = it["outcome"].as_str().unwrap().to_owned();
            (it["attempt"].as_u64().unwrap(), outcome)
        });
        tries.collect()
    };
    let expect = [(1, "failed".to_owned()), (2, "done".to_owned())];
    // Within one invocation, under one key; and from one invocation to the next.
    assert_eq!(tries("vendor", "Stripe"), expect);
    let keys = spans(&flow, "vendor", "Stripe").into_iter();
    let keys: Vec<Value> = keys.map(|it| fact(it, "idempotency key")).collect();
    assert!(keys[0].is_string() && keys[0] == keys[1], "{keys:?}");
    assert_eq!(tries("function", "email-listener"), expect);
    let sent = spans(&flow, "vendor", "SendGrid");
    assert_eq!(fact(sent[0], "error"), "no answer");
    assert_eq!(sent.last().unwrap()["outcome"], "done");
    let email = spans(&flow, "queue", "email");
    assert_eq!((email.len(), &email[0]["outcome"]), (1, &json!("done")));
    stack.finish().await;
}

#[tokio::test]
async fn messages_of_one_invocation_are_told_apart() {
    let stack = TestStack::start().await;
    stack.sources.pause("email-listener");
    for name in ["Uppsala", "Lund"] {
        stack.onboard(name).await;
    }
    let email = stack.name("email");
    stack
        .until(async || stack.sqs.depth(&email).unwrap().visible == 2)
        .await;
    stack.sources.resume("email-listener");
    stack.settle().await;
    let shown = stack.shown("flows").await;
    let flows = shown["flows"].as_array().unwrap().iter();
    let flows: Vec<&Value> = flows.filter(|flow| flow["title"] == CREATE).collect();
    assert_eq!(flows.len(), 2);
    for flow in flows {
        let flow = stack
            .shown(&format!("flows/{}", flow["id"].as_str().unwrap()))
            .await;
        let [listener] = *spans(&flow, "function", "email-listener") else {
            panic!("{flow:#}");
        };
        assert_eq!(fact(listener, "messages in this invocation"), "2");
        assert_eq!(spans(&flow, "vendor", "SendGrid").len(), 1, "{flow:#}");
    }
    stack.finish().await;
}

#[tokio::test]
async fn messages_of_one_flow_are_told_apart_too() {
    let stack = TestStack::start().await;
    for name in ["Uppsala", "Lund"] {
        let (university, _) = stack.onboarded(name).await;
        stack.manual_plan(university, 99_000).await;
    }
    stack.settle().await;
    stack.sources.pause("invoice-listener");
    let today = TimeZone::UTC.to_datetime(stack.clock().now()).date();
    let next = today.first_of_month().checked_add(1.month()).unwrap();
    let due = format!("{next}T00:00:00Z");
    stack.fire("generate-monthly-invoices-job", &due).await;
    let invoice = stack.name("invoice");
    stack
        .until(async || stack.sqs.depth(&invoice).unwrap().visible == 2)
        .await;
    stack.sources.resume("invoice-listener");
    stack.settle().await;
    let title = format!("generate-monthly-invoices-job for {due}");
    let flow = stack.flow(&title).await;
    let listeners = spans(&flow, "function", "invoice-listener");
    assert_eq!(fact(listeners[0], "messages in this invocation"), "2");
    // Both invoices are made in it; each call is there once, below its own message.
    let calls = spans(&flow, "vendor", "Stripe").into_iter();
    let changes = calls.filter(|it| !fact(it, "idempotency key").is_null());
    let mut of: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for call in changes {
        assert_eq!(call["attempt"], 1, "{call:#}");
        of.entry(call["parent"].to_string()).or_default().push(call);
    }
    let calls: Vec<usize> = of.values().map(Vec::len).collect();
    assert_eq!(
        (calls, &flow["retries"]),
        (vec![3, 3], &json!(0)),
        "{of:#?}"
    );
    for calls in of.values() {
        let keys = calls.iter().map(|it| fact(it, "idempotency key"));
        let invoices: BTreeSet<String> = keys
            .map(|it| it.as_str().unwrap().split(':').nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(invoices.len(), 1, "{calls:#?}");
    }
    stack.finish().await;
}

#[tokio::test]
async fn what_was_refused_came_to_nothing() {
    let stack = TestStack::start().await;
    stack.onboard("Uppsala").await;
    let body = json!({
        "name": "Another", "primary_email": "a@a.example",
        "domain": "portal.uppsala.example", "storage_quota": 1000,
    });
    let (status, _) = stack.post("/api/admin/universities", &body).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let flow = stack.flow(CREATE).await;
    assert_eq!(
        (&flow["outcome"], &flow["status"]),
        (&json!("refused"), &json!(409))
    );
    assert_eq!(flow["events"], json!([]));
    let [transaction] = *spans(&flow, "transaction", "DynamoDB.TransactWriteItems") else {
        panic!("{flow:#}");
    };
    assert_eq!(fact(transaction, "error"), "TransactionCanceledException");
    let (status, _) = stack
        .call_with("no token", reqwest::Method::GET, "/api/admin/alerts", None)
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let flow = stack.flow("GET /api/admin/alerts").await;
    assert_eq!(
        (&flow["outcome"], &flow["functions"]),
        (&json!("refused"), &json!(0))
    );
    let (status, why) = stack.get("/_console/api/flows/unknown").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        why["error"],
        "Nothing with the correlation id unknown is remembered."
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_run_that_is_killed_has_failed_and_its_message_goes_on() {
    let stack = TestStack::start().await;
    let held = stack.sendgrid.hold_next();
    stack.onboard("Uppsala").await;
    held.arrived().await;
    stack.lambda.kill("email-listener").await.unwrap();
    held.release();
    stack.settle().await;
    let flow = stack.flow(CREATE).await;
    let runs = spans(&flow, "function", "email-listener");
    assert_eq!(runs[0]["outcome"], "failed", "{flow:#}");
    assert_eq!(
        fact(runs[0], "error"),
        "Runtime exited without providing a reason"
    );
    assert_eq!(runs.last().unwrap()["outcome"], "done");
    assert_eq!(flow["outcome"], "recovered");
    stack.finish().await;
}
