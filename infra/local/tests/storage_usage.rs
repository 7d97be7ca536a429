//! The daily run measures every university's files (contract section 6.1, `SyncStorageUsageJob`).

mod support;

use aws_sdk_s3::primitives::ByteStream;
use bitflow_domain::id::UniversityId;
use bitflow_university::sign;
use futures_util::stream::{self, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

/// A university with a quota of 1,000 bytes.
struct World {
    stack: TestStack,
    id: UniversityId,
    secret: String,
}

impl World {
    async fn start() -> Self {
        let stack = TestStack::start().await;
        let created = stack.onboard("Uppsala").await;
        let world = Self {
            id: text(&created["id"]).parse().expect("an id"),
            secret: text(&created["portal_secret"]),
            stack,
        };
        let quota = json!({ "storage_quota": 1000 });
        let path = world.path();
        let (status, _) = world.stack.call(Method::PATCH, &path, Some(&quota)).await;
        assert_eq!(status, StatusCode::OK);
        world
    }

    fn path(&self) -> String {
        format!("/api/admin/universities/{}", self.id)
    }

    async fn put(&self, name: &str, bytes: usize) {
        let put = self.stack.s3().put_object();
        put.bucket(self.stack.bucket())
            .key(format!("universities/{}/{name}", self.id))
            .body(ByteStream::from(vec![0; bytes]))
            .send()
            .await
            .expect("put");
    }

    async fn report(&self, bytes: u64) {
        let body = json!({ "university_id": self.id, "metric": "storage", "value": bytes });
        let body = body.to_string();
        let signature = sign(&self.secret.clone().into(), body.as_bytes(), real_now());
        let path = "/api/webhooks/university-sync";
        let answer = self.stack.post_signed(path, &body, Some(&signature)).await;
        assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
    }

    async fn run_of(&self, day: &str) {
        let at = format!("{day}T02:00:00Z");
        self.stack.fire("sync-storage-usage-job", &at).await;
        self.stack.settle().await;
    }

    async fn university(&self) -> Value {
        self.stack.get(&self.path()).await.1
    }

    fn warnings(&self) -> usize {
        let mails = self.stack.mails().into_iter();
        mails
            .filter(|mail| mail.subject.contains("of its storage"))
            .count()
    }
}

#[tokio::test]
async fn files_and_reports_add_up_to_one_warning() {
    let world = World::start().await;
    world.report(400).await;
    world.put("logos/1.png", 500).await;
    for (day, more, warnings) in [
        ("2026-01-15", 0, 0),
        ("2026-01-16", 1, 1),
        ("2026-01-17", 50, 1),
    ] {
        world.put("more", more).await;
        world.run_of(day).await;
        let university = world.university().await;
        assert_eq!(university["storage"], 400);
        assert_eq!(university["measured_storage"], 500 + more);
        assert_eq!(world.warnings(), warnings, "{day}");
    }
    // Far enough below, and above again.
    world.report(299).await;
    world.run_of("2026-01-18").await;
    assert_eq!(world.warnings(), 1);
    world.report(351).await;
    world.stack.settle().await;
    assert_eq!(world.warnings(), 2);
    let events = world.stack.events(world.id).await;
    let exceeded = events.iter().filter(|it| *it == "StorageQuotaExceeded");
    assert_eq!(exceeded.count(), 2);
    world.stack.finish().await;
}

#[tokio::test]
async fn a_day_is_run_once_and_the_next_one_again() {
    let world = World::start().await;
    world.run_of("2026-01-15").await;
    world.put("late", 7).await;
    world.run_of("2026-01-15").await;
    assert_eq!(world.university().await["measured_storage"], 0);
    world.run_of("2026-01-16").await;
    assert_eq!(world.university().await["measured_storage"], 7);
    world.stack.finish().await;
}

#[tokio::test]
async fn every_page_is_counted_and_nobody_elses_files_are() {
    let world = World::start().await;
    let names: Vec<_> = (0..1005).map(|number| format!("f/{number:04}")).collect();
    stream::iter(&names)
        .for_each_concurrent(16, |name| world.put(name, 1))
        .await;
    let other = world.stack.s3().put_object();
    other
        .bucket(world.stack.bucket())
        .key("reports/2026-01.csv")
        .body(ByteStream::from_static(b"not a university's"))
        .send()
        .await
        .expect("put");
    world.run_of("2026-01-15").await;
    let university = world.university().await;
    assert_eq!(university["measured_storage"], 1005);
    assert_eq!(university["storage_usage_percentage"], 100.5);
    world.stack.finish().await;
}

#[tokio::test]
async fn deleted_universities_are_not_measured() {
    let world = World::start().await;
    world.put("left", 950).await;
    let path = world.path();
    let (status, _) = world.stack.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    world.run_of("2026-01-15").await;
    assert_eq!(world.warnings(), 0);
    let restore = format!("{path}/restore");
    let restored = world.stack.call(Method::POST, &restore, None).await;
    assert_eq!(restored.1["measured_storage"], 0);
    world.run_of("2026-01-16").await;
    assert_eq!(world.warnings(), 1);
    world.stack.finish().await;
}
