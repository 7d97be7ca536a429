//! A university is onboarded: the answer, and all that follows from it.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::TestStack;

#[tokio::test]
async fn everything_follows_from_one_post() {
    let stack = TestStack::start().await;
    let created = stack.onboard("Uppsala").await;
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["domain"], "portal.uppsala.example");
    assert!(
        created["portal_secret"]
            .as_str()
            .unwrap()
            .starts_with("psk_")
    );
    stack.settle().await;

    let (status, university) = stack.get(&format!("/api/admin/universities/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    let customers = stack.stripe.objects("customer");
    assert_eq!(customers.len(), 1);
    assert_eq!(university["stripe_customer_id"], customers[0]["id"]);
    assert_eq!(customers[0]["email"], "registrar@uppsala.example");
    assert_eq!(customers[0]["metadata"]["university_id"], id);
    assert!(
        university.get("portal_secret").is_none(),
        "the secret is shown once"
    );

    let mails = stack.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "registrar@uppsala.example");
    assert_eq!(mails[0].subject, "Welcome to Bitflow, Uppsala");
    assert_eq!(mails[0].custom_args["university_id"], id);

    let (_, activity) = stack
        .get(&format!("/api/admin/universities/{id}/activity"))
        .await;
    let lines = activity["data"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{activity}");
    assert_eq!(lines[0]["type"], "university_created");
    assert_eq!(lines[0]["description"], "University created");
    assert_eq!(
        lines[0]["actor"],
        json!({ "kind": "admin", "id": "local-admin" })
    );
    assert_eq!(lines[0]["id"], mails[0].custom_args["event_id"]);
    stack.finish().await;
}

#[tokio::test]
async fn lists_page_by_name() {
    let stack = TestStack::start().await;
    for name in ["Delft", "aachen", "Cambridge", "Bologna"] {
        stack.onboard(name).await;
    }
    let mut names = Vec::new();
    let mut path = "/api/admin/universities?limit=3".to_owned();
    loop {
        let (status, page) = stack.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        names.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["name"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/admin/universities?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["aachen", "Bologna", "Cambridge", "Delft"]);
    let (status, problem) = stack
        .get("/api/admin/universities?limit=0&cursor=x&sort=y")
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&problem), ["limit", "sort"]);
    let (status, problem) = stack.get("/api/admin/universities?cursor=x").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&problem), ["cursor"]);
    stack.finish().await;
}

#[tokio::test]
async fn wrong_input_is_refused_with_every_wrong_field() {
    let stack = TestStack::start().await;
    let path = "/api/admin/universities";
    let (status, problem) = stack
        .post(
            path,
            &json!({ "name": " ", "primary_email": "x", "storage_quota": "1", "color": "red" }),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        fields(&problem),
        ["name", "primary_email", "domain", "storage_quota", "color"]
    );
    assert_eq!(problem["errors"][2]["message"], "is required");
    assert_eq!(problem["type"], "urn:bitflow:problem:validation");
    assert_eq!(problem["correlation_id"].as_str().unwrap().len(), 36);

    let url = format!("{}{path}", stack.info().api_url);
    let http = reqwest::Client::new();
    let token = &stack.info().admin_token;
    for (content_type, body, expect) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("text/plain", "{}", 415),
        (
            "application/json",
            &format!("\"{}\"", "x".repeat(300 * 1024)),
            413,
        ),
    ] {
        let request = http
            .post(&url)
            .bearer_auth(token)
            .header("content-type", content_type);
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expect, "{content_type}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    assert!(stack.rows("universities").await.is_empty());
    assert!(stack.rows("outbox").await.is_empty());
    stack.finish().await;
}

#[tokio::test]
async fn a_domain_is_one_universitys() {
    let stack = TestStack::start().await;
    let body = |name: &str| json!({ "name": name, "primary_email": "a@b.example", "domain": "one.example", "storage_quota": 1 });
    let (first, second) = (body("First"), body("Second"));
    let path = "/api/admin/universities";
    let (first, second) = tokio::join!(stack.post(path, &first), stack.post(path, &second));
    let mut statuses = [first.0.as_u16(), second.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{first:?} {second:?}");
    let refused = if first.0 == StatusCode::CONFLICT {
        first.1
    } else {
        second.1
    };
    assert_eq!(fields(&refused), ["domain"]);
    stack.settle().await;
    assert_eq!(stack.rows("universities").await.len(), 1);
    assert_eq!(stack.stripe.objects("customer").len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn doors_are_closed_without_the_right_token() {
    let stack = TestStack::start().await;
    let path = "/api/admin/universities";
    let check = async |token: &str, method: Method, path: &str, expect: u16| {
        let (status, body) = stack.call_with(token, method, path, None).await;
        assert_eq!(status.as_u16(), expect, "{path}: {body}");
    };
    check("nonsense", Method::GET, path, 401).await;
    check(&stack.token(&["billing:read"]), Method::GET, path, 403).await;
    check(&stack.token(&["universities:read"]), Method::GET, path, 200).await;
    check(
        &stack.token(&["universities:read"]),
        Method::POST,
        path,
        403,
    )
    .await;
    let all = &stack.info().admin_token;
    check(all, Method::GET, "/api/admin/universities/not-an-id", 404).await;
    check(
        all,
        Method::GET,
        "/api/admin/universities/018f3b5e-7c1a-7d1e-8f00-0123456789ab",
        404,
    )
    .await;
    check(all, Method::GET, "/api/nowhere", 404).await;
    check("", Method::GET, "/api/health", 200).await;
    stack.finish().await;
}

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    errors
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect()
}
