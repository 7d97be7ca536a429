//! What goes over the wire to Stripe, and what its answers are taken for.

#![cfg(feature = "api")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bitflow_fault::{Class, Fault};
use bitflow_stripe::api::{API_VERSION, Client, Customer, NewCustomer};

/// Status, `Stripe-Should-Retry`, body.
type Answer = (u16, &'static str, &'static str);

/// Answers in order, and keeps what it was asked.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    line: String,
    authorization: String,
    version: String,
    idempotency_key: String,
    body: String,
}

async fn answer(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let body = axum::body::to_bytes(body, 10_000).await.expect("a body");
    receiver.asked.lock().expect("no panic").push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        authorization: header("authorization"),
        version: header("stripe-version"),
        idempotency_key: header("idempotency-key"),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let (status, should_retry, body) = receiver.answers.lock().expect("no panic").remove(0);
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("stripe-should-retry", should_retry)], body).into_response()
}

async fn start(answers: &[Answer]) -> (Client, Receiver) {
    let receiver = Receiver::default();
    receiver
        .answers
        .lock()
        .expect("no panic")
        .extend_from_slice(answers);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(answer).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(url.parse().expect("a URL"), "sk_test".to_owned().into());
    (client, receiver)
}

const NEW: NewCustomer<'_> = NewCustomer {
    email: "it@uu.example",
    name: "Åbo & Co",
    university_id: "u-1",
};

#[tokio::test]
async fn a_customer_is_created_with_the_same_key_on_every_attempt() {
    let (client, receiver) = start(&[
        (500, "", r#"{"error":{"type":"api_error"}}"#),
        (409, "true", r#"{"error":{"type":"api_error"}}"#),
        (
            200,
            "",
            r#"{"id":"cus_1","object":"customer","a_field_of_next_year":{}}"#,
        ),
    ])
    .await;
    let customer = client
        .create_customer(&NEW, "key-1")
        .await
        .expect("created");
    assert_eq!(
        customer,
        Customer {
            id: "cus_1".to_owned()
        }
    );
    let asked = receiver.asked.lock().expect("no panic").clone();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|it| *it == asked[0]), "{asked:#?}");
    let first = &asked[0];
    assert_eq!(first.line, "POST /v1/customers");
    assert_eq!(first.authorization, "Bearer sk_test");
    assert_eq!(first.version, API_VERSION);
    assert_eq!(first.idempotency_key, "key-1");
    let mut form: Vec<(String, String)> = url::form_urlencoded::parse(first.body.as_bytes())
        .into_owned()
        .collect();
    form.sort();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        pair("email", "it@uu.example"),
        pair("metadata[university_id]", "u-1"),
        pair("name", "Åbo & Co"),
    ];
    assert_eq!(form, expected);
}

#[tokio::test]
async fn a_customer_is_found_by_its_metadata() {
    let (client, receiver) = start(&[
        (
            200,
            "",
            r#"{"object":"search_result","data":[{"id":"cus_7"}],"has_more":false}"#,
        ),
        (
            200,
            "",
            r#"{"object":"search_result","data":[],"has_more":false}"#,
        ),
    ])
    .await;
    let found = client.find_customer("u-1").await.expect("searched");
    assert_eq!(
        found,
        Some(Customer {
            id: "cus_7".to_owned()
        })
    );
    assert_eq!(client.find_customer("u-2").await.expect("searched"), None);
    let line = receiver.asked.lock().expect("no panic")[0].line.clone();
    assert!(line.starts_with("GET /v1/customers/search?"), "{line}");
    assert!(line.contains("university_id"), "{line}");
}

#[tokio::test]
async fn refusals_have_their_class_and_tell_no_secrets() {
    let body = r#"{"error":{"type":"invalid_request_error","code":"email_invalid","param":"email","message":"Invalid email address: it@uu.example"}}"#;
    for (status, should_retry, class, attempts) in [
        (400, "", Class::Invalid, 1),
        (401, "", Class::Broken, 1),
        (402, "", Class::Invalid, 1),
        (404, "", Class::Missing, 1),
        (429, "", Class::TooMany, 3),
        (500, "", Class::Busy, 3),
        (500, "false", Class::Busy, 1),
    ] {
        let (client, receiver) = start(&[(status, should_retry, body); 3]).await;
        let error = client
            .create_customer(&NEW, "key")
            .await
            .expect_err("refused");
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(
            receiver.asked.lock().expect("no panic").len(),
            attempts,
            "{status}"
        );
        let text = format!("{error}");
        assert!(
            text.contains("email_invalid") && !text.contains("it@uu"),
            "{text}"
        );
    }
}
