//! Maintenance: asked for once, told to every active university by mail and at its portal (contract
//! section 3.2).

mod support;

use bitflow_local::simulators::portal::{Failure, Received};
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

const PATH: &str = "/api/admin/notifications";

/// What is told.
fn notice() -> Value {
    json!({
        "type": "maintenance",
        "title": "Scheduled Maintenance",
        "message": "System will be down for 2 hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    })
}

/// A university whose portal knows its secret; its id and domain.
async fn onboard(stack: &TestStack, name: &str) -> (String, String) {
    let created = stack.onboard(name).await;
    let domain = text(&created["domain"]);
    let secret = text(&created["portal_secret"]).into();
    stack.portal.set_secret_of(&domain, secret);
    stack.settle().await;
    (text(&created["id"]), domain)
}

async fn schedule(stack: &TestStack) -> String {
    let (status, made) = stack.post(PATH, &notice()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    text(&made["id"])
}

async fn report(stack: &TestStack, id: &str) -> Value {
    let (status, report) = stack.get(&format!("{PATH}/{id}")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    let counts = report["deliveries"].as_object().expect("counts");
    let sum: u64 = counts.values().filter_map(Value::as_u64).sum();
    assert_eq!(report["universities"], sum, "it adds up: {report}");
    report
}

async fn deliveries(stack: &TestStack, id: &str, query: &str) -> Vec<Value> {
    let (status, page) = stack.get(&format!("{PATH}/{id}/deliveries{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["data"].as_array().expect("a list").clone()
}

/// Asks for what is due in that many hours.
async fn retry_in(stack: &TestStack, hours: i64) {
    let at: Timestamp = real_now() + SignedDuration::from_hours(hours);
    stack
        .fire("retry-portal-deliveries-job", &at.to_string())
        .await;
    stack.settle().await;
}

/// What a portal was sent.
fn calls(stack: &TestStack, domain: &str) -> Vec<Received> {
    let requests = stack.portal.requests().into_iter();
    requests.filter(|it| it.domain == domain).collect()
}

/// What a portal answered.
fn statuses(stack: &TestStack, domain: &str) -> Vec<u16> {
    calls(stack, domain).iter().map(|it| it.status).collect()
}

fn downtime_mails(stack: &TestStack) -> Vec<String> {
    let mails = stack.mails();
    let downtime = |mail: &&_| matches!(mail, bitflow_local::simulators::sendgrid::Mail { categories, .. } if categories.contains(&"system_downtime".to_owned()));
    mails
        .iter()
        .filter(downtime)
        .map(|it| it.to.clone())
        .collect()
}

#[tokio::test]
async fn every_active_university_is_told_once_by_mail_and_at_its_portal() {
    let stack = TestStack::start().await;
    let (uppsala, uppsala_domain) = onboard(&stack, "Uppsala").await;
    let (_, lund_domain) = onboard(&stack, "Lund").await;
    let (gone, gone_domain) = onboard(&stack, "Visby").await;
    let (status, _) = stack
        .call(
            reqwest::Method::DELETE,
            &format!("/api/admin/universities/{gone}"),
            None,
        )
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    stack.settle().await;

    let (status, headers, made) = stack.post_with_key("k-1", PATH, &notice()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let id = text(&made["id"]);
    assert_eq!(headers["location"], format!("{PATH}/{id}"));
    for (key, value) in [
        ("state", json!("scheduled")),
        ("universities", json!(0)),
        ("created_by", json!("local-admin")),
        ("scheduled_at", json!("2099-11-15T02:00:00Z")),
    ] {
        assert_eq!(made[key], value, "{key}");
    }
    stack.settle().await;
    // The same request again is answered the same, and tells nobody.
    let (status, _, again) = stack.post_with_key("k-1", PATH, &notice()).await;
    assert_eq!((status, &again), (StatusCode::CREATED, &made));
    stack.settle().await;

    for domain in [&uppsala_domain, &lund_domain] {
        let calls = calls(&stack, domain);
        assert_eq!(calls.len(), 1, "{domain}");
        let request = &calls[0];
        assert_eq!(request.status, 201);
        assert_eq!(request.path, "/api/notifications");
        assert_eq!(request.verified, Some(true), "{domain}");
        // The contract's body, word by word.
        let body = json!({
            "type": "maintenance",
            "title": "Scheduled Maintenance",
            "message": "System will be down for 2 hours",
            "scheduled_at": "2099-11-15 02:00:00",
        });
        assert_eq!(request.body, body);
        assert!(request.headers["idempotency-key"].starts_with(&id));
    }
    assert!(calls(&stack, &gone_domain).is_empty());
    let mut mails = downtime_mails(&stack);
    mails.sort();
    let expected = ["registrar@lund.example", "registrar@uppsala.example"];
    assert_eq!(mails, expected);

    let report = report(&stack, &id).await;
    assert_eq!(report["universities"], 2);
    let (_, listed) = stack.get(PATH).await;
    assert_eq!(listed["data"][0]["id"], id);
    assert_eq!(listed["data"][0]["universities"], 2, "as it was counted");
    assert_eq!(report["deliveries"]["delivered"], 2);
    assert!(report["announced_at"].is_string(), "{report}");
    let delivered = deliveries(&stack, &id, "?state=delivered&limit=1").await;
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0]["attempts"], 1);
    assert_eq!(delivered[0]["last_status"], 201);
    assert!(deliveries(&stack, &id, "?state=pending").await.is_empty());
    let uppsala = uppsala.parse().expect("an id");
    assert_eq!(
        stack.activity(uppsala).await,
        ["maintenance_announced", "university_created"]
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_that_is_down_is_tried_for_about_a_day_and_then_alerts() {
    let stack = TestStack::start().await;
    let (university, domain) = onboard(&stack, "Uppsala").await;
    stack.portal.set_down(&domain, true);
    let id = schedule(&stack).await;
    // 5 s, 1 min, 10 min.
    stack.settle().await;
    let waiting = &deliveries(&stack, &id, "").await[0];
    assert_eq!(waiting["state"], "pending");
    assert_eq!(waiting["attempts"], 4);
    assert_eq!(waiting["last_status"], Value::Null);
    assert_eq!(waiting["last_error"], "the portal gave no answer");
    assert!(waiting["next_try_at"].is_string(), "{waiting}");
    // Nothing is due yet.
    retry_in(&stack, 0).await;
    assert_eq!(deliveries(&stack, &id, "").await[0]["attempts"], 4);
    for (hours, attempts, state) in [(2, 5, "pending"), (8, 6, "pending"), (15, 7, "failed")] {
        retry_in(&stack, hours).await;
        let delivery = &deliveries(&stack, &id, "").await[0];
        assert_eq!(delivery["attempts"], attempts);
        assert_eq!(delivery["state"], state);
    }
    retry_in(&stack, 100).await;
    assert_eq!(stack.portal.requests().len(), 7, "and no more");
    let report = report(&stack, &id).await;
    assert_eq!(report["deliveries"]["failed"], 1);
    let (_, alerts) = stack.get("/api/admin/alerts").await;
    let alert = &alerts["data"][0];
    assert_eq!(alert["type"], "portal_unreachable");
    assert_eq!(alert["university_id"], university);
    assert_eq!(
        alert["message"],
        "The portal was not told of \"Scheduled Maintenance\" after 7 tries: the portal gave no answer"
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_that_fails_for_a_while_is_told_once() {
    let stack = TestStack::start().await;
    let (_, domain) = onboard(&stack, "Uppsala").await;
    for (status, retry_after) in [(500, None), (429, Some(120))] {
        stack.portal.fail_next(Failure {
            status,
            count: 1,
            domain: Some(domain.clone()),
            retry_after,
        });
    }
    let id = schedule(&stack).await;
    stack.settle().await;
    assert_eq!(statuses(&stack, &domain), [500, 429, 201]);
    let delivery = &deliveries(&stack, &id, "").await[0];
    assert_eq!(delivery["state"], "delivered");
    assert_eq!(delivery["attempts"], 3);
    assert_eq!(delivery["last_error"], Value::Null);
    let keys = stack.portal.requests().into_iter();
    let mut keys: Vec<_> = keys
        .map(|it| it.headers["idempotency-key"].clone())
        .collect();
    keys.dedup();
    assert_eq!(keys.len(), 1, "by it, a portal knows what it took");
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_that_wants_to_be_left_alone_is_left_alone() {
    let stack = TestStack::start().await;
    let (_, domain) = onboard(&stack, "Uppsala").await;
    stack.portal.fail_next(Failure {
        status: 503,
        count: 1,
        domain: Some(domain.clone()),
        retry_after: Some(3 * 3600),
    });
    let id = schedule(&stack).await;
    stack.settle().await;
    // Longer than a message waits.
    retry_in(&stack, 2).await;
    assert_eq!(statuses(&stack, &domain), [503]);
    retry_in(&stack, 4).await;
    assert_eq!(statuses(&stack, &domain), [503, 201]);
    assert_eq!(report(&stack, &id).await["deliveries"]["delivered"], 1);
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_that_does_not_know_its_new_secret_yet_is_told_once_it_does() {
    let stack = TestStack::start().await;
    let (university, domain) = onboard(&stack, "Uppsala").await;
    let rotate = format!("/api/admin/universities/{university}/portal-secret");
    let (_, rotated) = stack.post(&rotate, &json!({})).await;
    stack.settle().await;
    let id = schedule(&stack).await;
    stack.settle().await;
    assert_eq!(statuses(&stack, &domain), [401; 4]);
    let secret = text(&rotated["portal_secret"]).into();
    stack.portal.set_secret_of(&domain, secret);
    retry_in(&stack, 2).await;
    assert_eq!(statuses(&stack, &domain)[4..], [201]);
    assert_eq!(report(&stack, &id).await["deliveries"]["delivered"], 1);
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_that_refuses_is_not_asked_again() {
    let stack = TestStack::start().await;
    let (_, domain) = onboard(&stack, "Uppsala").await;
    stack.portal.fail_next(Failure {
        status: 422,
        count: 1,
        domain: Some(domain),
        retry_after: None,
    });
    let id = schedule(&stack).await;
    stack.settle().await;
    let delivery = &deliveries(&stack, &id, "?state=failed").await[0];
    assert_eq!(delivery["attempts"], 1);
    assert_eq!(delivery["last_status"], 422);
    let (_, alerts) = stack.get("/api/admin/alerts").await;
    assert_eq!(alerts["data"][0]["type"], "portal_unreachable");
    stack.finish().await;
}

#[tokio::test]
async fn what_was_not_told_when_it_is_cancelled_is_not_told() {
    let stack = TestStack::start().await;
    let (_, up) = onboard(&stack, "Uppsala").await;
    let (_, down) = onboard(&stack, "Lund").await;
    stack.portal.set_down(&down, true);
    let id = schedule(&stack).await;
    stack.settle().await;
    let cancel = format!("{PATH}/{id}/cancel");
    let (status, cancelled) = stack.post(&cancel, &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["cancelled_by"], "local-admin");
    let again = stack.post(&cancel, &json!({})).await;
    assert_eq!(again, (StatusCode::OK, cancelled));
    stack.settle().await;
    stack.portal.set_down(&down, false);
    retry_in(&stack, 24).await;
    assert_eq!(statuses(&stack, &up), [201]);
    assert_eq!(statuses(&stack, &down), [0; 4], "and not since");
    let report = report(&stack, &id).await;
    assert_eq!(report["deliveries"]["delivered"], 1);
    assert_eq!(report["deliveries"]["cancelled"], 1);
    let dropped = &deliveries(&stack, &id, "?state=cancelled").await[0];
    assert_eq!(dropped["last_error"], "the notification was cancelled");
    stack.finish().await;
}

#[tokio::test]
async fn a_notification_that_is_cancelled_at_once_is_neither_mailed_nor_delivered() {
    let stack = TestStack::start().await;
    onboard(&stack, "Uppsala").await;
    let listeners = [
        "maintenance-listener",
        "email-listener",
        "portal-delivery-listener",
    ];
    for first in 0..2 {
        // Once before it is announced, once after.
        let paused = &listeners[first..];
        for function in paused {
            stack.sources.pause(function);
        }
        let id = schedule(&stack).await;
        if first == 1 {
            stack
                .until(async || report(&stack, &id).await["announced_at"].is_string())
                .await;
        }
        let (status, _) = stack.post(&format!("{PATH}/{id}/cancel"), &json!({})).await;
        assert_eq!(status, StatusCode::OK);
        for function in paused {
            stack.sources.resume(function);
        }
        stack.settle().await;
        let told = u64::try_from(first).expect("small");
        assert_eq!(report(&stack, &id).await["deliveries"]["cancelled"], told);
    }
    assert_eq!(stack.portal.requests().len(), 0);
    assert_eq!(downtime_mails(&stack).len(), 0);
    stack.finish().await;
}

#[tokio::test]
async fn a_courier_that_dies_is_made_up_for() {
    let stack = TestStack::start().await;
    let (_, domain) = onboard(&stack, "Uppsala").await;
    let held = stack.portal.hold([domain.clone()]);
    let id = schedule(&stack).await;
    held.arrived().await;
    let killed = stack.lambda.kill("portal-delivery-listener").await;
    killed.expect("killed");
    held.release_all();
    stack.settle().await;
    assert!(calls(&stack, &domain).is_empty(), "whoever asked is gone");
    let delivery = &deliveries(&stack, &id, "").await[0];
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("pending"), &json!(1))
    );
    retry_in(&stack, 1).await;
    assert_eq!(statuses(&stack, &domain), [201]);
    assert_eq!(report(&stack, &id).await["deliveries"]["delivered"], 1);
    stack.finish().await;
}

#[tokio::test]
async fn couriers_that_all_die_come_to_an_end() {
    let stack = TestStack::start().await;
    let (_, domain) = onboard(&stack, "Uppsala").await;
    let held = stack.portal.hold([domain.clone()]);
    let id = schedule(&stack).await;
    for hours in 1..=7 {
        held.arrived().await;
        let killed = stack.lambda.kill("portal-delivery-listener").await;
        killed.expect("killed");
        stack.settle().await;
        let at: Timestamp = real_now() + SignedDuration::from_hours(hours);
        stack
            .fire("retry-portal-deliveries-job", &at.to_string())
            .await;
    }
    stack.settle().await;
    let delivery = &deliveries(&stack, &id, "?state=failed").await[0];
    assert_eq!(delivery["attempts"], 7);
    assert_eq!(delivery["last_error"], "no try came to its end");
    held.release_all();
    stack.finish().await;
}

#[tokio::test]
async fn a_portal_at_a_special_address_is_never_called() {
    let stack = TestStack::start_with_parameter("PortalAllowedNetworks", "none").await;
    onboard(&stack, "Uppsala").await;
    let id = schedule(&stack).await;
    stack.settle().await;
    let delivery = &deliveries(&stack, &id, "?state=failed").await[0];
    assert_eq!(
        delivery["last_error"],
        "the portal may not be called: its address is loopback"
    );
    assert_eq!(stack.portal.requests().len(), 0);
    stack.finish().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once() {
    let stack = TestStack::start().await;
    let wrong = json!({
        "type": "party",
        "title": "",
        "message": 7,
        "scheduled_at": "tomorrow",
        "colour": "red",
    });
    let (status, problem) = stack.post(PATH, &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let errors = problem["errors"].as_array().expect("errors").iter();
    let mut fields: Vec<_> = errors
        .map(|it| format!("{} {}", text(&it["field"]), text(&it["message"])))
        .collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "colour is not a field of this request",
            "message must be a string",
            "scheduled_at must be a time, e.g. 2026-01-31T02:00:00Z",
            "title must have 1 to 200 characters and no control characters",
            "type must be maintenance",
        ]
    );
    let mut past = notice();
    past["scheduled_at"] = "2020-01-01T00:00:00Z".into();
    let (status, problem) = stack.post(PATH, &past).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let error = json!({ "field": "scheduled_at", "message": "must not be in the past" });
    assert_eq!(problem["errors"], json!([error]));
    let nobody = "019a0000-0000-7000-8000-000000000009";
    for path in [format!("{PATH}/{nobody}"), format!("{PATH}/x")] {
        assert_eq!(stack.get(&path).await.0, StatusCode::NOT_FOUND, "{path}");
        let deliveries = stack.get(&format!("{path}/deliveries")).await;
        assert_eq!(deliveries.0, StatusCode::NOT_FOUND, "{path}");
        let cancelled = stack.post(&format!("{path}/cancel"), &json!({})).await;
        assert_eq!(cancelled.0, StatusCode::NOT_FOUND, "{path}");
    }
    let token = stack.token(&["alerts:read"]);
    let (status, _) = stack
        .call_with(&token, reqwest::Method::POST, PATH, Some(&notice()))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    stack.finish().await;
}
