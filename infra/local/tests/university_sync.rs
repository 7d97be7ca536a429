//! Portals report their numbers (contract section 4.1), and what uses too much storage is warned.

mod support;

use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_university::sign;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

const PATH: &str = "/api/webhooks/university-sync";

/// A university's portal.
struct Portal<'a> {
    stack: &'a TestStack,
    id: UniversityId,
    secret: SecretString,
}

impl<'a> Portal<'a> {
    /// Of a university with a quota of 500 GB.
    async fn of_new(stack: &'a TestStack, name: &str) -> Self {
        let created = stack.onboard(name).await;
        stack.settle().await;
        Self {
            stack,
            id: text(&created["id"]).parse().expect("an id"),
            secret: text(&created["portal_secret"]).into(),
        }
    }

    fn report_of(&self, metric: &str, value: impl Into<Value>) -> Value {
        json!({ "university_id": self.id.to_string(), "metric": metric, "value": value.into() })
    }

    async fn report(&self, metric: &str, value: impl Into<Value>) -> (StatusCode, Value) {
        self.post(&self.report_of(metric, value), real_now()).await
    }

    /// Posts what was signed at a time.
    async fn post(&self, body: &Value, signed_at: Timestamp) -> (StatusCode, Value) {
        let body = body.to_string();
        let signature = sign(&self.secret, body.as_bytes(), signed_at);
        self.stack.post_signed(PATH, &body, Some(&signature)).await
    }

    async fn university(&self) -> Value {
        let path = format!("/api/admin/universities/{}", self.id);
        self.stack.get(&path).await.1
    }
}

fn ok() -> (StatusCode, Value) {
    (StatusCode::OK, json!({ "status": "success" }))
}

#[tokio::test]
async fn a_report_is_in_effect_and_in_the_history() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let expected = [("students", 15_000), ("faculty", 0), ("storage", 42)];
    for (metric, value) in expected {
        assert_eq!(portal.report(metric, value).await, ok());
    }
    assert_eq!(portal.report("students", 16_000).await, ok());
    assert_eq!(portal.report("students", 16_000).await, ok());
    stack.settle().await;
    let university = portal.university().await;
    assert_eq!(university["students"], 16_000);
    assert_eq!(university["faculty"], 0);
    assert_eq!(university["storage"], 42);
    let path = format!("/api/admin/universities/{}/activity", portal.id);
    let (_, page) = stack.get(&path).await;
    let lines = page["data"].as_array().expect("a list").clone();
    let students = lines
        .iter()
        .filter(|line| line["metadata"]["metric"] == "students");
    let told: Vec<_> = students
        .map(|line| {
            assert_eq!(line["type"], "metric_update");
            assert_eq!(line["actor"]["kind"], "portal");
            assert_eq!(line["actor"]["id"], portal.id.to_string());
            (text(&line["description"]), line["metadata"].clone())
        })
        .collect();
    let metadata =
        |old: u64, new: u64| json!({ "metric": "students", "old_value": old, "new_value": new });
    let said = |value: u64| format!("students updated to {value}");
    let mut expected = vec![
        (said(15_000), metadata(0, 15_000)),
        (said(16_000), metadata(15_000, 16_000)),
    ];
    // Two that are signed in one second are one.
    if told.len() == 3 {
        expected.push((said(16_000), metadata(16_000, 16_000)));
    }
    let sorted = |mut lines: Vec<(String, Value)>| {
        lines.sort_by_key(|(said, metadata)| (said.clone(), metadata.to_string()));
        lines
    };
    assert_eq!(sorted(told), sorted(expected));
    stack.finish().await;
}

#[tokio::test]
async fn a_copy_of_a_call_changes_nothing() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let at = real_now();
    let first = portal.report_of("students", 100);
    assert_eq!(portal.post(&first, at).await, ok());
    assert_eq!(portal.report("students", 200).await, ok());
    for _ in 0..3 {
        assert_eq!(portal.post(&first, at).await, ok());
    }
    assert_eq!(portal.university().await["students"], 200);
    let events = stack.events(portal.id).await;
    let updates = events.iter().filter(|kind| *kind == "UniversityUpdated");
    assert_eq!(updates.count(), 2);
    let yesterday = at - SignedDuration::from_hours(24);
    let (status, problem) = portal.post(&first, yesterday).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
    assert!(text(&problem["detail"]).contains("300 s"), "{problem}");
    stack.finish().await;
}

#[tokio::test]
async fn reports_at_the_same_moment_are_all_told() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    // Of different metrics, so that none is a copy; each loses to the others at times.
    let calls = [("students", 1), ("faculty", 2), ("storage", 3)];
    let calls = calls.map(|(metric, value)| portal.report(metric, value));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, ok());
    }
    let university = portal.university().await;
    let seen = ["students", "faculty", "storage"].map(|metric| university[metric].clone());
    assert_eq!(seen, [json!(1), json!(2), json!(3)]);
    stack.finish().await;
}

#[tokio::test]
async fn who_is_not_known_is_told_nothing() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let stranger = Portal {
        stack: &stack,
        id: UniversityId::from_uuid(uuid::Uuid::from_u128(7)),
        secret: "psk_guess".to_owned().into(),
    };
    let guesser = Portal {
        secret: "psk_guess".to_owned().into(),
        ..Portal {
            stack: &stack,
            id: portal.id,
            secret: portal.secret.clone(),
        }
    };
    let mut unknown = stranger.report("students", 1).await;
    let mut wrong = guesser.report("students", 1).await;
    for (status, problem) in [&mut unknown, &mut wrong] {
        assert_eq!(*status, StatusCode::UNAUTHORIZED, "{problem}");
        problem["correlation_id"].take();
    }
    assert_eq!(unknown, wrong);
    // Nobody is told what is wrong with the rest, either.
    let (status, _) = guesser.report("alumni", -1).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let body = portal.report_of("students", 1).to_string();
    let unsigned = stack.post_signed(PATH, &body, None).await;
    assert_eq!(unsigned.0, StatusCode::UNAUTHORIZED);
    let path = format!("/api/admin/universities/{}", portal.id);
    let (status, _) = stack.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, problem) = portal.report("students", 1).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    assert_eq!(
        guesser.report("students", 1).await.0,
        StatusCode::UNAUTHORIZED
    );
    stack.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let check = async |body: Value, expect: &[&str]| {
        let (status, problem) = portal.post(&body, real_now()).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}: {problem}"
        );
        let errors = problem["errors"].as_array().expect("errors");
        let mut fields: Vec<_> = errors.iter().map(|error| text(&error["field"])).collect();
        fields.sort();
        assert_eq!(fields, expect, "{body}: {problem}");
    };
    check(json!({}), &["metric", "university_id", "value"]).await;
    check(
        json!({ "university_id": "7", "metric": "faculty", "value": 1 }),
        &["university_id"],
    )
    .await;
    for value in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(1_u64 << 53),
    ] {
        check(portal.report_of("students", value), &["value"]).await;
    }
    check(portal.report_of("Students", 1), &["metric"]).await;
    let mut more = portal.report_of("students", 1);
    more["when"] = "now".into();
    check(more, &["when"]).await;
    for (body, expect) in [("", 400), ("[]", 400), ("{\"metric\":", 400)] {
        let (status, _) = stack.post_signed(PATH, body, None).await;
        assert_eq!(status.as_u16(), expect, "{body}");
    }
    assert_eq!(stack.events(portal.id).await, ["UniversityCreated"]);
    stack.finish().await;
}

#[tokio::test]
async fn either_secret_reports_while_one_is_being_rotated() {
    let stack = TestStack::start().await;
    let mut portal = Portal::of_new(&stack, "Uppsala").await;
    let path = format!("/api/admin/universities/{}/portal-secret", portal.id);
    let (_, rotated) = stack.call(Method::POST, &path, None).await;
    assert_eq!(portal.report("students", 1).await, ok());
    portal.secret = text(&rotated["portal_secret"]).into();
    assert_eq!(portal.report("students", 2).await, ok());
    assert!(PortalSecrets::GRACE > SignedDuration::from_hours(1));
    assert_eq!(portal.university().await["students"], 2);
    stack.finish().await;
}

#[tokio::test]
async fn storage_near_the_quota_is_warned_of_once() {
    let stack = TestStack::start().await;
    let portal = Portal::of_new(&stack, "Uppsala").await;
    let gigabytes = |number: u64| number * 1_000_000_000;
    let warned = async || {
        stack.settle().await;
        let subjects = stack.mails().into_iter().map(|mail| mail.subject);
        let warnings = subjects.filter(|subject| subject.contains("of its storage"));
        warnings.collect::<Vec<_>>()
    };
    for (used, warnings) in [
        (450, 0),
        (451, 1),
        (499, 1),
        (440, 1),
        (460, 1),
        (424, 1),
        (600, 2),
    ] {
        assert_eq!(portal.report("storage", gigabytes(used)).await, ok());
        assert_eq!(warned().await.len(), warnings, "at {used} GB");
    }
    assert_eq!(warned().await[0], "Uppsala uses 90.2 % of its storage");
    let university = portal.university().await;
    assert_eq!(university["storage_usage_percentage"], 120.0);
    // More of it, and then less: that crosses, too.
    let path = format!("/api/admin/universities/{}", portal.id);
    for (quota, warnings) in [(1000, 2), (601, 3)] {
        let body = json!({ "storage_quota": gigabytes(quota) });
        let (status, _) = stack.call(Method::PATCH, &path, Some(&body)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(warned().await.len(), warnings, "of {quota} GB");
    }
    stack.finish().await;
}
