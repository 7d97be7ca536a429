//! Alerts: raised by portals and by what happens, pushed to the owner, seen by admins (contract
//! sections 2.2, 3.1, 5).

mod support;

use bitflow_domain::alert::OurAlert;
use bitflow_domain::id::UniversityId;
use bitflow_local::aws::sqs::queue::NewMessage;
use bitflow_university::sign;
use futures_util::future::join_all;
use jiff::SignedDuration;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use support::socket::Client;
use support::{TestStack, real_now, text, time};

const PATH: &str = "/api/admin/alerts";
const CHANNEL: &str = "private-bitflow-admin";

/// A university's portal.
struct Portal<'a> {
    stack: &'a TestStack,
    id: UniversityId,
    secret: SecretString,
}

impl<'a> Portal<'a> {
    async fn of_new(stack: &'a TestStack, name: &str) -> Self {
        let created = stack.onboard(name).await;
        stack.settle().await;
        Self {
            stack,
            id: text(&created["id"]).parse().expect("an id"),
            secret: text(&created["portal_secret"]).into(),
        }
    }

    /// Raises an alert; each call is signed for another second, so that none is a copy.
    async fn raise(&self, kind: &str, seconds_ago: i64) -> (StatusCode, Value) {
        let message = "Storage quota exceeded";
        let body = json!({ "type": kind, "university_id": self.id, "message": message });
        let body = body.to_string();
        let at = real_now() - SignedDuration::from_secs(seconds_ago);
        let signature = sign(&self.secret, body.as_bytes(), at);
        self.stack.post_signed(PATH, &body, Some(&signature)).await
    }
}

/// The owner's browser, on one of the owner's channels.
async fn owner(stack: &TestStack, channel: &str) -> Client {
    let pusher = &stack.info().pusher;
    let address = format!("{}:{}", pusher.host, pusher.port);
    let mut client = Client::connect(&address, &pusher.key).await;
    let asked = json!({ "socket_id": client.socket_id, "channel_name": channel });
    let (status, auth) = stack.post("/broadcasting/auth", &asked).await;
    assert_eq!(status, StatusCode::OK, "{auth}");
    let subscribed = client.subscribe_as(channel, &auth).await;
    assert_eq!(
        subscribed["event"], "pusher_internal:subscription_succeeded",
        "{subscribed}"
    );
    client
}

/// Tells the alert-listener of an event, the same one each time.
async fn happens(stack: &TestStack, university: UniversityId, kind: &str, data: &Value) {
    let event = json!({
        "event_id": "01KDVDNC00000000000000SMP2",
        "type": kind,
        "version": 1,
        "occurred_at": "2026-01-01T00:00:00Z",
        "aggregate_id": university,
        "university_id": university,
        "aggregate_version": 1,
        "actor": { "kind": "system", "id": "test" },
        "correlation_id": "request-1",
        "data": data,
    });
    let message = NewMessage {
        body: event.to_string(),
        ..Default::default()
    };
    stack.sqs.send(&stack.name("alert"), message).expect("sent");
    stack.settle().await;
}

/// An alert of medium severity.
async fn past_due(stack: &TestStack, university: UniversityId) {
    let change = json!({
        "subscription_id": university,
        "stripe_subscription_id": null,
        "from": "active",
        "to": "past_due",
        "cancel_at_period_end": false,
        "current_period_end": "2026-02-01T00:00:00Z",
    });
    happens(stack, university, "SubscriptionStatusChanged", &change).await;
}

async fn listed(stack: &TestStack, query: &str) -> Vec<Value> {
    let (status, page) = stack.get(&format!("{PATH}?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_a_portal_raises_is_pushed_to_the_owner() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let mut owner = owner(&stack, CHANNEL).await;
    let (status, alert) = portal.raise("storage_exceeded", 0).await;
    assert_eq!(status, StatusCode::CREATED, "{alert}");
    for (key, value) in [
        ("type", json!("storage_exceeded")),
        ("university_id", json!(portal.id)),
        ("severity", json!("high")),
        ("message", json!("Storage quota exceeded")),
        ("is_acknowledged", json!(false)),
        ("count", json!(1)),
    ] {
        assert_eq!(alert[key], value, "{key}");
    }
    let pushed = owner.next().await;
    assert_eq!(pushed["event"], "alert.created");
    assert_eq!(pushed["channel"], CHANNEL);
    let data: Value = serde_json::from_str(&text(&pushed["data"])).expect("JSON");
    for key in ["id", "type", "message", "severity", "is_acknowledged"] {
        assert_eq!(data[key], alert[key], "{key}");
    }

    let acknowledge = format!("{PATH}/{}/acknowledge", text(&alert["id"]));
    let (status, seen) = stack.post(&acknowledge, &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{seen}");
    assert_eq!(seen["is_acknowledged"], true);
    assert_eq!(seen["acknowledged_by"], "local-admin");
    let again = stack.post(&acknowledge, &json!({})).await;
    assert_eq!(again, (StatusCode::OK, seen));
    let pushed = owner.next().await;
    assert_eq!(pushed["event"], "alert.acknowledged");
    stack.settle().await;
    assert_eq!(
        stack.activity(portal.id).await,
        ["alert_acknowledged", "alert_created", "university_created"]
    );
    stack.finish().await;
}

#[tokio::test]
async fn what_we_raise_no_portal_does() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    for ours in OurAlert::ALL {
        let (status, problem) = portal.raise(ours.as_str(), 0).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        let errors = problem["errors"].as_array().expect("errors");
        assert_eq!(errors.len(), 1, "{problem}");
        assert_eq!(errors[0]["field"], "type");
    }
    assert_eq!(listed(&stack, "").await, Vec::<Value>::new());
    stack.finish().await;
}

#[tokio::test]
async fn repeats_are_one_alert_with_a_count() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let (_, first) = portal.raise("storage_exceeded", 9).await;
    // Repeats are found for as long as they fold, and an hour more.
    let folds = stack.rows("alert-folds").await;
    let created_at = time(&text(&first["created_at"])).as_second();
    let kept_until = folds[0]["expires_at"].as_n().expect("a number");
    assert_eq!(*kept_until, (created_at + 70 * 60).to_string());
    // At the same moment: whoever loses tries again, here or at the portal.
    let raised = join_all((0..3).map(|ago| portal.raise("storage_exceeded", ago))).await;
    for (status, alert) in &raised {
        assert_eq!(*status, StatusCode::CREATED, "{alert}");
        assert_eq!(alert["id"], first["id"]);
    }
    let (_, other) = portal.raise("disk_broken", 0).await;
    assert_ne!(other["id"], first["id"]);
    let open = listed(&stack, "state=open").await;
    let counts: Vec<_> = open.iter().map(|alert| alert["count"].clone()).collect();
    assert_eq!(counts, [json!(1), json!(4)], "newest first");
    // Once it was seen, it is news.
    let acknowledge = format!("{PATH}/{}/acknowledge", text(&first["id"]));
    stack.post(&acknowledge, &json!({})).await;
    let (_, again) = portal.raise("storage_exceeded", 5).await;
    assert_ne!(again["id"], first["id"]);
    assert_eq!(again["count"], 1);
    let created = stack.events(portal.id).await;
    let created = created.iter().filter(|kind| *kind == "AlertCreated");
    assert_eq!(created.count(), 3);
    stack.finish().await;
}

#[tokio::test]
async fn a_copy_of_a_call_raises_nothing() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let body = json!({ "type": "a", "university_id": portal.id, "message": "m" }).to_string();
    let signature = sign(&portal.secret, body.as_bytes(), real_now());
    let first = stack.post_signed(PATH, &body, Some(&signature)).await;
    let copies = (0..5).map(|_| stack.post_signed(PATH, &body, Some(&signature)));
    for copy in join_all(copies).await {
        assert_eq!(copy, first);
    }
    let refused = stack.post_signed(PATH, &body, Some("t=1,v1=00")).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    stack.finish().await;
}

/// One path, two kinds of callers.
#[tokio::test]
async fn who_is_not_known_is_told_how_to_say_so() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", stack.info().api_url);
    let challenge = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let told = answer.headers()["www-authenticate"].to_str();
        told.expect("text").to_owned()
    };
    let alert = json!({ "type": "a", "university_id": portal.id, "message": "m" });
    let report = json!({ "university_id": portal.id, "metric": "students", "value": 1 });
    for (path, body) in [(PATH, alert), ("/api/webhooks/university-sync", report)] {
        assert_eq!(
            challenge(http.post(url(path)).json(&body)).await,
            "X-Signature"
        );
    }
    assert!(challenge(http.get(url(PATH))).await.starts_with("Bearer"));
    stack.finish().await;
}

#[tokio::test]
async fn admins_find_alerts() {
    let stack = TestStack::start().await;
    let (a, b) = (
        Portal::of_new(&stack, "Uppsala").await,
        Portal::of_new(&stack, "Lund").await,
    );
    for kind in ["one", "two"] {
        a.raise(kind, 0).await;
    }
    past_due(&stack, a.id).await;
    b.raise("one", 0).await;
    let kinds = async |query: &str| {
        let alerts = listed(&stack, query).await;
        let kinds: Vec<_> = alerts.iter().map(|alert| text(&alert["type"])).collect();
        kinds.join(" ")
    };
    assert_eq!(kinds("").await, "one subscription_past_due two one");
    let of_a = format!("university_id={}", a.id);
    assert_eq!(kinds(&of_a).await, "subscription_past_due two one");
    assert_eq!(kinds("severity=medium").await, "subscription_past_due");
    assert_eq!(kinds(&format!("{of_a}&severity=high")).await, "two one");
    assert_eq!(kinds("state=acknowledged").await, "");
    // Pages hold what is wanted, however much is between.
    let (_, page) = stack.get(&format!("{PATH}?severity=medium&limit=1")).await;
    assert_eq!(page["data"][0]["type"], "subscription_past_due");
    let mut cursor = Value::Null;
    let mut seen = Vec::new();
    loop {
        let at = cursor
            .as_str()
            .map_or_else(String::new, |at| format!("&cursor={at}"));
        let (_, page) = stack.get(&format!("{PATH}?limit=2{at}")).await;
        seen.extend(page["data"].as_array().expect("a list").clone());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 4);
    for wrong in ["state=closed", "severity=7", "university_id=7"] {
        let (status, _) = stack.get(&format!("{PATH}?{wrong}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    stack.finish().await;
}

#[tokio::test]
async fn storage_and_failed_payments_raise_alerts() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (_, invoice) = stack.invoice(university, 5000).await;
    stack.settle().await;
    stack.stripe.fail(&invoice).expect("failed");
    stack.settle().await;
    let alerts = listed(&stack, "").await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["type"], "payment_failed");
    assert_eq!(alerts[0]["university_id"], json!(university));
    stack.finish().await;
}

/// The row that folds repeats expires in little more than an hour; an event may come again for longer.
#[tokio::test]
async fn an_event_that_comes_late_again_raises_nothing() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let data = json!({ "usage_percentage": 91.5, "storage_used": 915, "storage_quota": 1000 });
    for _ in 0..2 {
        happens(&stack, university, "StorageQuotaExceeded", &data).await;
        for row in stack.rows("alert-folds").await {
            let delete = stack.dynamo().delete_item();
            let delete = delete.table_name(stack.name("alert-folds"));
            let delete = delete.key("fold", row["fold"].clone());
            delete.send().await.expect("deleted");
        }
    }
    assert_eq!(listed(&stack, "").await.len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn the_owners_channels_are_the_owners() {
    let stack = TestStack::start().await;
    let mut present = owner(&stack, "presence-bitflow-admin").await;
    let _second = owner(&stack, "presence-bitflow-admin").await;
    let asked = json!({ "socket_id": "1.2", "channel_name": "private-other" });
    let (status, _) = stack.post("/broadcasting/auth", &asked).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let asked = json!({ "socket_id": "1.2:private-other", "channel_name": CHANNEL });
    let (status, _) = stack.post("/broadcasting/auth", &asked).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let token = stack.token(&["alerts:read"]);
    let asked = json!({ "socket_id": "1.2", "channel_name": CHANNEL });
    let path = "/broadcasting/auth";
    let (status, _) = stack
        .call_with(&token, reqwest::Method::POST, path, Some(&asked))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // A name for those who are there; the same person twice is there once.
    present
        .send(json!({ "event": "pusher:ping", "data": {} }))
        .await;
    assert_eq!(present.next().await["event"], "pusher:pong");
    stack.finish().await;
}
