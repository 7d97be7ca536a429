//! Logos: known by their content, named before they are replaced, fetched and uploaded by URLs that
//! are good for a while (contract section 1.2).

mod support;

use std::io::Cursor;

use bitflow_domain::id::UniversityId;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

/// A university, and what an admin's browser does with its logo.
struct World {
    stack: TestStack,
    id: UniversityId,
    http: reqwest::Client,
}

/// A picture, another for each `seed`.
fn picture(kind: ImageFormat, seed: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(32, 32, |x, y| {
        let byte = |it: u32| u8::try_from(it % 256).expect("a byte");
        Rgb([seed, byte(x * 7), byte(y * 11)])
    });
    let mut file = Cursor::new(Vec::new());
    let picture = DynamicImage::from(picture);
    picture.write_to(&mut file, kind).expect("written");
    file.into_inner()
}

impl World {
    async fn start() -> Self {
        let stack = TestStack::start().await;
        let created = stack.onboard("Uppsala").await;
        stack.settle().await;
        Self {
            id: text(&created["id"]).parse().expect("an id"),
            stack,
            http: reqwest::Client::new(),
        }
    }

    fn path(&self, below: &str) -> String {
        format!("/api/admin/universities/{}{below}", self.id)
    }

    async fn send(
        &self,
        method: Method,
        kind: &str,
        body: Vec<u8>,
        if_match: Option<&str>,
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = self
            .http
            .request(
                method,
                format!("{}{}", self.stack.info().api_url, self.path("/logo")),
            )
            .bearer_auth(&self.stack.info().admin_token)
            .header("content-type", kind)
            .body(body);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.expect("a body");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        (status, headers, body)
    }

    async fn put(&self, kind: &str, body: Vec<u8>) -> (StatusCode, Value) {
        let (status, _, body) = self.send(Method::PUT, kind, body, None).await;
        (status, body)
    }

    /// All files in the bucket.
    async fn files(&self) -> Vec<String> {
        let listed = self.stack.s3().list_objects_v2();
        let listed = listed.bucket(self.stack.bucket()).send().await;
        let files = listed.expect("listed").contents.unwrap_or_default();
        files.into_iter().filter_map(|file| file.key).collect()
    }

    async fn download(&self) -> (StatusCode, Value) {
        self.stack.get(&self.path("/logo")).await
    }
}

#[tokio::test]
async fn what_is_no_logo_is_refused_and_not_stored() {
    let world = World::start().await;
    let png = picture(ImageFormat::Png, 1);
    let html = b"<!doctype html><script>alert(1)</script>".to_vec();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    let mut large = png.clone();
    large.resize(3_000_000, 0);
    for (kind, body, expect) in [
        ("image/png", html, 415),
        ("image/svg+xml", svg, 415),
        ("image/png", Vec::new(), 422),
        ("image/png", large, 413),
        ("image/png", png[..png.len() / 2].to_vec(), 422),
    ] {
        let (status, problem) = world.put(kind, body).await;
        assert_eq!(status.as_u16(), expect, "{problem}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(world.files().await, Vec::<String>::new());
    assert_eq!(world.download().await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.stack.events(world.id).await, ["UniversityCreated"]);
    world.stack.finish().await;
}

#[tokio::test]
async fn a_logo_is_what_it_is_whatever_it_is_called() {
    let world = World::start().await;
    let mut seen = Vec::new();
    for (seed, kind, expect) in [
        (1, ImageFormat::Png, "image/png"),
        (2, ImageFormat::Jpeg, "image/jpeg"),
        (3, ImageFormat::WebP, "image/webp"),
    ] {
        let file = picture(kind, seed);
        let (status, university) = world.put("application/octet-stream", file.clone()).await;
        assert_eq!(status, StatusCode::OK, "{university}");
        assert_eq!(university["logo"]["content_type"], expect);
        assert_eq!(university["logo"]["size"], file.len());
        // The one before is gone, and only after this one was named.
        let files = world.files().await;
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(!seen.contains(&files[0]));
        seen.push(files[0].clone());

        let (_, download) = world.download().await;
        let fetched = world.http.get(text(&download["url"])).send().await;
        let fetched = fetched.expect("an answer");
        assert_eq!(fetched.status(), StatusCode::OK);
        assert_eq!(fetched.headers()["content-type"], expect);
        assert_eq!(fetched.bytes().await.expect("a body"), file);
    }
    // The same picture again is nothing new.
    let again = picture(ImageFormat::WebP, 3);
    let (status, university) = world.put("image/webp", again).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(world.files().await, seen[2..]);
    let events = world.stack.events(world.id).await;
    let updates = events.iter().filter(|kind| *kind == "UniversityUpdated");
    assert_eq!(updates.count(), 3);
    assert!(university["version"].as_u64() >= Some(4));

    for _ in 0..2 {
        let removed = world.send(Method::DELETE, "text/plain", Vec::new(), None);
        assert_eq!(removed.await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(world.files().await, Vec::<String>::new());
    assert_eq!(world.download().await.0, StatusCode::NOT_FOUND);
    world.stack.finish().await;
}

#[tokio::test]
async fn a_url_is_good_for_half_an_hour() {
    let world = World::start().await;
    world.put("image/png", picture(ImageFormat::Png, 1)).await;
    let asked = real_now();
    let (_, download) = world.download().await;
    let url = text(&download["url"]);
    assert!(url.contains("X-Amz-Expires=1800&"), "{url}");
    let until: Timestamp = text(&download["expires_at"]).parse().expect("a time");
    let lasts = until.duration_since(asked);
    let half_an_hour = SignedDuration::from_mins(30);
    assert!((half_an_hour..half_an_hour + SignedDuration::from_secs(5)).contains(&lasts));
    for wrong in [
        url.replace("X-Amz-Expires=1800", "X-Amz-Expires=604800"),
        url.replace(
            &world.id.to_string(),
            "01900000-0000-7000-8000-000000000001",
        ),
        url.split('?').next().expect("a path").to_owned(),
    ] {
        let refused = world.http.get(wrong).send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    world.stack.finish().await;
}

#[tokio::test]
async fn two_with_one_etag_are_one_change() {
    let world = World::start().await;
    let (status, headers, _) = {
        let first = picture(ImageFormat::Png, 1);
        world.send(Method::PUT, "image/png", first, None).await
    };
    assert_eq!(status, StatusCode::OK);
    let tag = headers["etag"].to_str().expect("text").to_owned();
    let sent = (2..4).map(|seed| {
        let file = picture(ImageFormat::Png, seed);
        world.send(Method::PUT, "image/png", file, Some(&tag))
    });
    let answers = futures_util::future::join_all(sent).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.0.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert_eq!(world.files().await.len(), 1, "what was refused is not kept");
    world.stack.finish().await;
}

/// The answer was lost: the same request again, with the ETag that was true then.
#[tokio::test]
async fn a_repeat_is_answered_like_the_first() {
    let world = World::start().await;
    let (_, created) = world.stack.get(&world.path("")).await;
    let tag = format!("\"{}\"", created["version"]);
    let file = picture(ImageFormat::Png, 1);
    let put = async || {
        let sent = world.send(Method::PUT, "image/png", file.clone(), Some(&tag));
        let (status, headers, body) = sent.await;
        (status, headers["etag"].clone(), body)
    };
    let first = put().await;
    assert_eq!(first.0, StatusCode::OK, "{}", first.2);
    assert_eq!(put().await, first);
    let tag = first.1.to_str().expect("text").to_owned();
    for _ in 0..2 {
        let removed = world.send(Method::DELETE, "text/plain", Vec::new(), Some(&tag));
        assert_eq!(removed.await.0, StatusCode::NO_CONTENT);
    }
    world.stack.finish().await;
}

#[tokio::test]
async fn of_a_university_that_there_is_not_no_picture_is_judged() {
    let world = World::start().await;
    let (status, _) = world
        .stack
        .call(Method::DELETE, &world.path(""), None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    for (kind, body) in [
        ("image/png", picture(ImageFormat::Png, 1)),
        ("image/png", Vec::new()),
        ("image/png", b"<!doctype html>".to_vec()),
        ("image/png", vec![0; 3_000_000]),
        ("application/json", b"{}".to_vec()),
        ("application/json", b"{".to_vec()),
    ] {
        let (status, problem) = world.put(kind, body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
        assert_eq!(problem["detail"], "There is no such university.");
    }
    world.stack.finish().await;
}

#[tokio::test]
async fn a_browser_uploads_and_an_admin_takes_it() {
    let world = World::start().await;
    let file = picture(ImageFormat::Jpeg, 1);
    let asked = json!({ "content_type": "image/jpeg", "size": file.len() });
    let path = world.path("/logo/upload-url");
    let (status, upload) = world.stack.post(&path, &asked).await;
    assert_eq!(status, StatusCode::OK, "{upload}");
    // What was signed, and nothing that the SDK would send of its own.
    let headers = json!({ "content-length": file.len().to_string(), "content-type": "image/jpeg" });
    assert_eq!(upload["headers"], headers);
    let url = text(&upload["url"]);
    let put = async |body: Vec<u8>, kind: &str| {
        let request = world.http.put(&url).header("content-type", kind);
        let answer = request.body(body).send().await.expect("an answer");
        answer.status()
    };
    let take = async || {
        let body = json!({ "upload_id": upload["upload_id"] }).to_string();
        world.put("application/json", body.into_bytes()).await
    };
    assert_eq!(
        take().await.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "not there yet"
    );
    // Signed for this kind and this size only.
    assert_eq!(put(file.clone(), "text/html").await, StatusCode::FORBIDDEN);
    let longer = [file.clone(), vec![0]].concat();
    assert_eq!(put(longer, "image/jpeg").await, StatusCode::FORBIDDEN);
    assert_eq!(put(file.clone(), "image/jpeg").await, StatusCode::OK);
    let (status, university) = take().await;
    assert_eq!(status, StatusCode::OK, "{university}");
    assert_eq!(university["logo"]["size"], file.len());
    // Whoever got no answer asks again, and gets the same one.
    assert_eq!(take().await, (StatusCode::OK, university));
    let files = world.files().await;
    let upload_file = format!("uploads/{}/{}", world.id, text(&upload["upload_id"]));
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.contains(&upload_file), "it expires: {files:?}");
    let events = world.stack.events(world.id).await;
    let updates = events.iter().filter(|kind| *kind == "UniversityUpdated");
    assert_eq!(updates.count(), 1);
    for (wrong, field) in [
        (
            json!({ "content_type": "image/gif", "size": 1 }),
            "content_type",
        ),
        (
            json!({ "content_type": "image/png", "size": 2_097_153 }),
            "size",
        ),
        (json!({ "content_type": "image/png", "size": 0 }), "size"),
    ] {
        let (status, problem) = world.stack.post(&path, &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], field);
    }
    world.stack.finish().await;
}

#[tokio::test]
async fn an_upload_is_prepared_once_for_each_key() {
    let world = World::start().await;
    let file = picture(ImageFormat::Png, 1);
    let asked = json!({ "content_type": "image/png", "size": file.len() });
    let path = world.path("/logo/upload-url");
    let (status, _, first) = world.stack.post_with_key("k1", &path, &asked).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    // Another second, in which a URL of its own would be another.
    let signed_in = real_now().as_second();
    while real_now().as_second() == signed_in {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, _, again) = world.stack.post_with_key("k1", &path, &asked).await;
    assert_eq!(again, first);
    let (_, _, other) = world.stack.post_with_key("k2", &path, &asked).await;
    assert_ne!(other["upload_id"], first["upload_id"]);
    let larger = json!({ "content_type": "image/png", "size": file.len() + 1 });
    let (status, _, problem) = world.stack.post_with_key("k1", &path, &larger).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    // What was answered twice is good.
    let put = world.http.put(text(&again["url"]));
    let put = put.header("content-type", "image/png").body(file).send();
    assert_eq!(put.await.expect("an answer").status(), StatusCode::OK);
    let taken = json!({ "upload_id": first["upload_id"] }).to_string();
    let (status, _) = world.put("application/json", taken.into_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    world.stack.finish().await;
}

#[tokio::test]
async fn a_page_of_the_frontend_may_upload_and_no_other() {
    let world = World::start().await;
    let asked = json!({ "content_type": "image/png", "size": 1 });
    let path = world.path("/logo/upload-url");
    let (_, upload) = world.stack.post(&path, &asked).await;
    let preflight = async |origin: &str| {
        let request = world
            .http
            .request(Method::OPTIONS, text(&upload["url"]))
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "content-type");
        request.send().await.expect("an answer").status()
    };
    assert_eq!(preflight("http://localhost:3001").await, StatusCode::OK);
    assert_eq!(
        preflight("https://evil.example").await,
        StatusCode::FORBIDDEN
    );
    world.stack.finish().await;
}

#[tokio::test]
async fn what_nobody_names_is_swept_away_after_a_day() {
    let world = World::start().await;
    world.put("image/png", picture(ImageFormat::Png, 1)).await;
    let named = world.files().await;
    let left = format!("universities/{}/logos/left.png", world.id);
    for key in [&left, &format!("universities/{}/other", world.id)] {
        let put = world.stack.s3().put_object();
        let put = put.bucket(world.stack.bucket()).key(key);
        put.body(vec![0].into()).send().await.expect("put");
    }
    let run = async |day: &str| {
        let at = format!("{day}T02:00:00Z");
        world.stack.fire("sync-storage-usage-job", &at).await;
        world.stack.settle().await;
        world.files().await
    };
    assert!(
        run("2026-01-15").await.contains(&left),
        "it may be named yet"
    );
    let folder = world.stack.bucket_folder();
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(25);
    for file in [
        &left,
        &named[0],
        &format!("universities/{}/other", world.id),
    ] {
        let file = std::fs::File::options()
            .append(true)
            .open(folder.join(file));
        file.expect("a file").set_modified(old).expect("set");
    }
    let kept = run("2026-01-16").await;
    assert!(!kept.contains(&left), "{kept:?}");
    assert!(kept.contains(&named[0]), "{kept:?}");
    assert_eq!(kept.len(), 2, "{kept:?}");
    world.stack.finish().await;
}
