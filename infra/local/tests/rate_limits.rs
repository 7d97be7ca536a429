//! So many requests a minute, and no more (contract section 7).

mod support;

use std::collections::BTreeMap;

use bitflow_university::sign;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

const LIST: &str = "/api/admin/universities";
const SYNC: &str = "/api/webhooks/university-sync";
const ALERTS: &str = "/api/admin/alerts";

fn minute(at: Timestamp) -> i64 {
    at.as_second() / 60
}

/// Does it again until it was done within one minute: a test of one window.
async fn within_a_minute<T>(mut attempt: impl AsyncFnMut() -> T) -> T {
    loop {
        let began = minute(real_now());
        let done = attempt().await;
        if minute(real_now()) == began {
            return done;
        }
    }
}

/// Sends requests at the same moment; how many were answered how.
async fn statuses(requests: impl IntoIterator<Item = RequestBuilder>) -> BTreeMap<u16, usize> {
    let sent = requests.into_iter().map(RequestBuilder::send);
    let mut counts = BTreeMap::new();
    for answer in join_all(sent).await {
        let status = answer.expect("an answer").status().as_u16();
        *counts.entry(status).or_default() += 1;
    }
    counts
}

fn header(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

struct Clients<'a> {
    stack: &'a TestStack,
    http: reqwest::Client,
}

impl<'a> Clients<'a> {
    fn new(stack: &'a TestStack) -> Self {
        Self {
            stack,
            http: reqwest::Client::new(),
        }
    }

    fn admin(&self, subject: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.stack.info().api_url);
        let token = self.stack.token_of(subject);
        self.http.request(method, url).bearer_auth(token)
    }

    fn signed(&self, path: &str, header: &str, signature: &str, body: String) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.stack.info().api_url))
            .header("content-type", "application/json")
            .header(header, signature)
            .body(body)
    }
}

#[tokio::test]
async fn of_a_hundred_at_once_sixty_are_let_through() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let mut attempts = 0;
    let counts = within_a_minute(async || {
        attempts += 1;
        let subject = format!("admin-{attempts}");
        statuses((0..100).map(|_| clients.admin(&subject, Method::GET, LIST))).await
    })
    .await;
    assert_eq!(counts, BTreeMap::from([(200, 60), (429, 40)]));
    stack.finish().await;
}

#[tokio::test]
async fn each_answer_tells_how_many_more() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let mut attempts = 0;
    within_a_minute(async || {
        attempts += 1;
        let subject = format!("admin-{attempts}");
        let send = async |method: Method, path: &str| {
            let answer = clients.admin(&subject, method, path).send().await;
            answer.expect("an answer")
        };
        let calls = || stack.calls.so_far();
        let writes = |calls: &BTreeMap<String, u64>| {
            calls
                .get("DynamoDB.UpdateItem")
                .copied()
                .unwrap_or_default()
        };
        let before = calls();
        let answer = send(Method::GET, LIST).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(answer.headers(), "x-ratelimit-limit"), Some(60));
        assert_eq!(header(answer.headers(), "x-ratelimit-remaining"), Some(59));
        assert_eq!(writes(&calls()) - writes(&before), 1);
        // One count over all functions, and whatever is answered.
        let other = "/api/admin/invoices";
        let answer = send(Method::GET, other).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(header(answer.headers(), "x-ratelimit-remaining"), Some(58));
        for _ in 0..58 {
            send(Method::GET, LIST).await;
        }
        let answer = send(Method::GET, LIST).await;
        if answer.status() == StatusCode::OK {
            // The minute ended.
            return;
        }
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(answer.headers(), "x-ratelimit-remaining"), Some(0));
        let again = header(answer.headers(), "retry-after").expect("when");
        assert!((1..=60).contains(&again), "{again}");
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["status"], 429);
        // Known to be full: nobody is asked. Another process of the function may not know yet, but
        // one request at a time is one process's.
        let before = calls();
        let answer = send(Method::GET, LIST).await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(calls(), before);
        let another = clients.admin("another", Method::GET, LIST).send().await;
        assert_eq!(another.expect("an answer").status(), StatusCode::OK);
    })
    .await;
    stack.finish().await;
}

#[tokio::test]
async fn portals_are_counted_by_university_and_strangers_by_address() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let mut attempts = 0;
    within_a_minute(async || {
        attempts += 1;
        let created = stack.onboard(&format!("Uppsala {attempts}")).await;
        let secret = text(&created["portal_secret"]).into();
        let signed = |value: usize| {
            let report =
                json!({ "university_id": created["id"], "metric": "students", "value": value });
            let body = report.to_string();
            let signature = sign(&secret, body.as_bytes(), real_now());
            clients.signed(SYNC, "x-signature", &signature, body)
        };
        let stranger = || {
            let body = json!({ "university_id": created["id"], "metric": "students", "value": 1 });
            clients.signed(SYNC, "x-signature", "t=1,v1=00", body.to_string())
        };
        // Whoever guesses takes nothing from the university.
        let guesses = statuses((0..110).map(|_| stranger())).await;
        assert!(guesses[&401] <= 100, "{guesses:?}");
        let mut let_through = 0;
        for value in 0..101 {
            let answer = signed(value).send().await.expect("an answer");
            match answer.status() {
                StatusCode::OK => let_through += 1,
                StatusCode::TOO_MANY_REQUESTS => break,
                other => panic!("{other}"),
            }
        }
        assert!(let_through >= 100, "{let_through}");
    })
    .await;
    stack.finish().await;
}

#[tokio::test]
async fn who_signs_for_a_deleted_university_is_counted_by_it() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let mut attempts = 0;
    let counts = within_a_minute(async || {
        attempts += 1;
        let created = stack.onboard(&format!("Uppsala {attempts}")).await;
        let path = format!("{LIST}/{}", text(&created["id"]));
        let (status, _) = stack.call(Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let secret = text(&created["portal_secret"]).into();
        let signed = |body: Value, path: &str| {
            let body = body.to_string();
            let signature = sign(&secret, body.as_bytes(), real_now());
            clients.signed(path, "x-signature", &signature, body)
        };
        let id = &created["id"];
        let reports = (0..60).map(|value| {
            let body = json!({ "university_id": id, "metric": "students", "value": value });
            signed(body, SYNC)
        });
        let alerts = (0..60).map(|number| {
            let kind = format!("kind_{number}");
            let body = json!({ "university_id": id, "type": kind, "message": "m" });
            signed(body, ALERTS)
        });
        statuses(reports.chain(alerts)).await
    })
    .await;
    assert_eq!(counts, BTreeMap::from([(404, 100), (429, 20)]));
    stack.finish().await;
}

/// All from one address, whatever they are and wherever they go.
#[tokio::test]
async fn who_names_no_university_is_counted_by_address() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let nameless = [
        ("", 400),
        ("[]", 400),
        ("{}", 422),
        (r#"{"university_id":"7"}"#, 422),
    ];
    let counts = within_a_minute(async || {
        let calls = nameless.iter().flat_map(|(body, _)| {
            let to = |path| clients.signed(path, "x-signature", "t=1,v1=00", (*body).to_owned());
            (0..15).flat_map(move |_| [to(SYNC), to(ALERTS)])
        });
        let not_json = (0..20).map(|_| {
            let call = clients.http.post(format!("{}{SYNC}", stack.info().api_url));
            call.header("content-type", "text/plain").body("{}")
        });
        statuses(calls.chain(not_json)).await
    })
    .await;
    let refused: usize = counts.values().sum();
    assert_eq!(refused, 140);
    assert!(counts[&429] >= 40, "{counts:?}");
    let others = counts.keys().filter(|status| **status != 429);
    for status in others {
        assert!([400, 415, 422].contains(status), "{counts:?}");
    }
    stack.finish().await;
}

#[tokio::test]
async fn stripe_is_never_refused_for_asking_often() {
    let stack = TestStack::start_limited().await;
    let clients = Clients::new(&stack);
    let path = "/api/webhooks/stripe";
    let event = json!({
        "id": "evt_1",
        "object": "event",
        "api_version": "2025-03-31.basil",
        "created": 1,
        "type": "radar.early_fraud_warning.created",
        "data": { "object": { "id": "issfr_1", "object": "radar.early_fraud_warning" } },
    });
    let body = event.to_string();
    let counts = within_a_minute(async || {
        let forged =
            (0..130).map(|_| clients.signed(path, "stripe-signature", "t=1,v1=00", body.clone()));
        statuses(forged).await
    })
    .await;
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [400, 429]);
    let signature = stack.signature(body.as_bytes(), real_now());
    let before = stack.calls.so_far();
    let true_ones =
        (0..120).map(|_| clients.signed(path, "stripe-signature", &signature, body.clone()));
    assert_eq!(statuses(true_ones).await, BTreeMap::from([(200, 120)]));
    assert_eq!(stack.calls.so_far(), before, "nothing is counted");
    stack.finish().await;
}
