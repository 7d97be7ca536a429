//! What travels to SendGrid, and what each of its answers means.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::error::Error;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bitflow_email::message::{Message, Welcome};
use bitflow_email::sendgrid::{Email, EmailError, Mailbox, SendGrid, Sent, Settings};
use bitflow_fault::{Class, Fault};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a request looked like.
#[derive(Debug, Clone)]
struct Asked {
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

type Answer = (StatusCode, Vec<(&'static str, &'static str)>, Value);

/// A receiver that keeps what it was sent, and answers all of it with `answer`.
struct Receiver {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    async fn answering(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        let router = Router::new().fallback(async move |uri: Uri, headers, body: Bytes| {
            let body = serde_json::from_slice(&body).unwrap();
            kept.lock().unwrap().push(Asked { uri, headers, body });
            answered(&answer)
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answered((status, headers, body): &Answer) -> Response {
    let mut response = (*status, body.to_string()).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

async fn accepting() -> Receiver {
    let headers = vec![("x-message-id", "message-1")];
    Receiver::answering((StatusCode::ACCEPTED, headers, json!(null))).await
}

fn sendgrid(url: &str, sandbox: bool) -> SendGrid {
    SendGrid::new(Settings {
        base: url.parse().unwrap(),
        api_key: "SG.key".to_owned().into(),
        from: Mailbox {
            email: "no-reply@bitflow.example".to_owned(),
            name: "Bitflow".to_owned(),
        },
        sandbox,
    })
}

async fn send_to(sendgrid: &SendGrid, name: &str) -> Result<Sent, EmailError> {
    let message = Message::Welcome(Welcome {
        domain: "portal.uu.example".to_owned(),
        storage_quota: bitflow_email::format::Bytes(5_000_000_000),
    });
    let email = Email {
        to: Mailbox {
            email: "it@uu.example".to_owned(),
            name: name.to_owned(),
        },
        message: &message,
        event_id: "event-1".to_owned(),
        university_id: "university-1".to_owned(),
        university_name: "Uppsala".to_owned(),
    };
    sendgrid.send(&email).await
}

async fn failure(answer: Answer) -> EmailError {
    let receiver = Receiver::answering(answer).await;
    let sendgrid = sendgrid(&receiver.url, false);
    let error = send_to(&sendgrid, "Uppsala").await.unwrap_err();
    assert_eq!(receiver.asked().len(), 1, "asked once, whatever the answer");
    error
}

/// The error and its causes, as they are logged.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    text
}

#[tokio::test]
async fn a_mail_is_one_request_with_the_text_before_the_html() {
    let receiver = accepting().await;
    let sent = send_to(&sendgrid(&receiver.url, false), "Uppsala")
        .await
        .unwrap();
    assert_eq!(sent.message_id.as_deref(), Some("message-1"));
    let asked = receiver.asked();
    let [request] = asked.as_slice() else {
        panic!("{} requests", asked.len());
    };
    assert_eq!(request.uri.path(), "/v3/mail/send");
    assert_eq!(request.headers["authorization"], "Bearer SG.key");
    assert_eq!(request.headers["content-type"], "application/json");
    let mut body = request.body.clone();
    let content = body["content"].take();
    let kinds: Vec<_> = content
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds, ["text/plain", "text/html"]);
    assert!(
        content[0]["value"]
            .as_str()
            .unwrap()
            .starts_with("Welcome, Uppsala")
    );
    assert!(
        content[1]["value"]
            .as_str()
            .unwrap()
            .starts_with("<!doctype html>")
    );
    insta::assert_json_snapshot!(body);
}

#[tokio::test]
async fn the_sandbox_is_asked_for_and_gives_no_id() {
    let receiver = Receiver::answering((StatusCode::OK, vec![], json!(null))).await;
    let sent = send_to(&sendgrid(&receiver.url, true), "Uppsala")
        .await
        .unwrap();
    assert_eq!(sent.message_id, None);
    let body = &receiver.asked()[0].body;
    assert_eq!(body["mail_settings"]["sandbox_mode"]["enable"], true);
}

#[tokio::test]
async fn a_name_is_one_line_and_quoted_where_sendgrid_would_cut_it() {
    let receiver = accepting().await;
    let sendgrid = sendgrid(&receiver.url, false);
    for (name, expect) in [
        (
            "University of California, Berkeley",
            json!("\"University of California, Berkeley\""),
        ),
        ("A\r\nBcc: x", json!("A Bcc: x")),
        ("", Value::Null),
    ] {
        send_to(&sendgrid, name).await.unwrap();
        let asked = receiver.asked();
        let to = &asked.last().unwrap().body["personalizations"][0]["to"][0];
        assert_eq!(to["email"], "it@uu.example");
        assert_eq!(to["name"], expect);
    }
}

#[tokio::test]
async fn a_base_with_a_path_keeps_it() {
    let receiver = accepting().await;
    let base = format!("{}/sendgrid/", receiver.url);
    send_to(&sendgrid(&base, false), "Uppsala").await.unwrap();
    assert_eq!(receiver.asked()[0].uri.path(), "/sendgrid/v3/mail/send");
}

#[tokio::test]
async fn what_may_succeed_later_is_transient_and_the_rest_is_not() {
    for (status, class) in [
        (429, Class::TooMany),
        (408, Class::Busy),
        (500, Class::Busy),
        (503, Class::Busy),
        (400, Class::Invalid),
        (413, Class::Invalid),
        (401, Class::Broken),
        (403, Class::Broken),
        (404, Class::Broken),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let error = failure((status, vec![], json!({"errors": []}))).await;
        assert_eq!(error.class(), class, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = accepting().await;
    let location: &'static str = elsewhere.url.clone().leak();
    let redirect = (
        StatusCode::TEMPORARY_REDIRECT,
        vec![("location", location)],
        json!(null),
    );
    assert_eq!(failure(redirect).await.class(), Class::Broken);
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn a_refusal_says_why_without_any_address() {
    let error = failure((
        StatusCode::BAD_REQUEST,
        vec![],
        json!({"errors": [
            {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email", "help": null},
            {"message": "We found the first duplicate instance of [it@uu.example] here.", "field": null},
            {"message": "The subject 'Welcome to Bitflow, Uppsala' is too long.", "field": "subject"},
        ]}),
    ))
    .await;
    let text = chain(&error);
    assert!(
        text.contains("personalizations.0.to.0.email: Does not contain a valid address."),
        "{text}"
    );
    assert!(
        text.contains("duplicate instance of [address] here."),
        "{text}"
    );
    assert!(
        text.contains("subject: a message that quotes the mail"),
        "{text}"
    );
    for quoted in ["@", "Uppsala"] {
        assert!(!format!("{text} {error:?}").contains(quoted), "{text}");
    }
}

#[tokio::test]
async fn no_answer_is_transient_and_names_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let error = send_to(&sendgrid(&url, false), "Uppsala")
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Busy);
    assert!(!format!("{} {error:?}", chain(&error)).contains('@'));
}
