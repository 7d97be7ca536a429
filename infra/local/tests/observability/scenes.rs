//! Scenes in which everything that is counted happens, good and bad.

use bitflow_local::simulators::{sendgrid, stripe};
use bitflow_local::stack::Stack;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{TestStack, real_now, text};

/// A portal's report of its storage.
pub(crate) async fn report(stack: &TestStack, created: &Value) -> StatusCode {
    let id = &created["id"];
    let body = json!({ "university_id": id, "metric": "storage", "value": 1 }).to_string();
    let secret = SecretString::from(text(&created["portal_secret"]));
    let signed = bitflow_university::sign(&secret, body.as_bytes(), real_now());
    let path = "/api/webhooks/university-sync";
    stack.post_signed(path, &body, Some(&signed)).await.0
}

/// A portal's alert, sent so many times with one signature; the last answer.
pub(crate) async fn raise(stack: &TestStack, created: &Value, times: usize) -> StatusCode {
    let (id, kind) = (&created["id"], "storage_exceeded");
    let body = json!({ "university_id": id, "type": kind, "message": "It is full" }).to_string();
    let secret = SecretString::from(text(&created["portal_secret"]));
    let signed = bitflow_university::sign(&secret, body.as_bytes(), real_now());
    let mut answered = StatusCode::NOT_FOUND;
    for _ in 0..times {
        let sent = stack.post_signed("/api/admin/alerts", &body, Some(&signed));
        answered = sent.await.0;
    }
    answered
}

/// A day at work: every function is, and each vendor fails in each way.
pub(crate) async fn a_day() -> TestStack {
    let stack = TestStack::start().await;
    let created = stack.onboard("Uppsala").await;
    let domain = text(&created["domain"]);
    let secret = text(&created["portal_secret"]).into();
    stack.portal.set_secret_of(&domain, secret);
    stack.settle().await;
    let id = text(&created["id"]).parse().expect("an id");

    assert_eq!(report(&stack, &created).await, StatusCode::OK);
    assert_eq!(raise(&stack, &created, 1).await, StatusCode::CREATED);
    let forged = stack.webhook_signed(b"{}", Some("t=1,v1=00")).await;
    assert_eq!(forged.0, StatusCode::BAD_REQUEST);
    let channel = json!({ "socket_id": "1.2", "channel_name": "private-bitflow-admin" });
    stack.post("/broadcasting/auth", &channel).await;
    stack.get("/api/admin/alerts").await;
    stack.manual_plan(id, 99_000).await;
    let (_, paid) = stack.invoice(id, 129_900).await;
    stack.stripe.pay(&paid).expect("paid");
    let (_, failed) = stack.invoice(id, 129_900).await;
    stack.stripe.fail(&failed).expect("failed");
    stack.settle().await;

    let bill = json!({ "items": [{ "description": "Setup", "amount": 129_900 }] });
    let invoices = format!("/api/admin/universities/{id}/invoices");
    for status in [0, 400, 401, 429, 500] {
        stack.stripe.fail_next(stripe::Failure {
            status,
            path: "/v1/invoice".to_owned(),
            ..stripe::Failure::default()
        });
        stack.post(&invoices, &bill).await;
        stack.stripe.fail_no_more();
    }
    for status in [0, 400, 429, 500] {
        stack.sendgrid.fail_next(sendgrid::Failure {
            status,
            after_effect: false,
        });
    }
    let notice = json!({
        "type": "maintenance",
        "title": "Scheduled Maintenance",
        "message": "System will be down for 2 hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    });
    stack.post("/api/admin/notifications", &notice).await;
    stack.settle().await;
    for job in stack.scheduler.jobs() {
        stack.fire(&job.function, "2099-02-01T00:00:00Z").await;
    }
    let month = json!({ "month": "2026-01" });
    stack.post("/api/admin/reports", &month).await;
    stack.settle().await;
    let path = format!("/api/admin/universities/{id}");
    stack.call(Method::DELETE, &path, None).await;
    stack.settle().await;
    stack
}

/// A day on which what webhooks report cannot be written down.
pub(crate) async fn a_bad_day() -> TestStack {
    const MAY: &str = "Action: [dynamodb:PutItem]\n              Resource:\n                - !GetAtt Outbox.Arn\n                - !GetAtt Inbox.Arn";
    let may_not = MAY.replace("PutItem", "GetItem");
    let stack = TestStack::start_changed(&[(MAY, &may_not)]).await;
    let created = stack.onboard("Uppsala").await;
    stack.settle().await;
    assert!(report(&stack, &created).await.is_server_error());
    assert!(raise(&stack, &created, 1).await.is_server_error());
    let id = text(&created["id"]).parse().expect("an id");
    let (_, invoice) = stack.invoice(id, 129_900).await;
    stack.stripe.pay(&invoice).expect("paid");
    let failed = |stack: &Stack| {
        let lines = crate::log::outcomes(stack, "stripe-webhook").into_iter();
        lines.filter(|it| it["status"] == 503).count() > 0
    };
    stack.until(async || failed(&stack)).await;
    stack
}
