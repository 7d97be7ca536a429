//! What the buttons do, and who may press them.

use bitflow_local::simulators::stripe::Failure;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::socket::Client;
use crate::support::{TestStack, text};
use crate::{chain, spans};

#[tokio::test]
async fn dead_letters_are_shown_and_moved_back() {
    let stack = TestStack::start().await;
    stack.stripe.fail_next(Failure {
        status: 400,
        path: "/v1/customers".to_owned(),
        count: u32::MAX,
        ..Failure::default()
    });
    stack.onboard("Uppsala").await;
    stack.settle().await;
    let flow = stack.flow("POST /api/admin/universities").await;
    assert_eq!(
        (&flow["outcome"], &flow["dead"]),
        (&json!("dead"), &json!(1))
    );
    let queue = stack.name("stripe-customer");
    let shown = stack.shown("queues").await;
    let queues = shown["queues"].as_array().unwrap().iter();
    let found = queues.clone().find(|it| it["name"] == queue).unwrap();
    let [letter] = &found["dead_letters"].as_array().unwrap()[..] else {
        panic!("{found:#}");
    };
    assert_eq!(
        (&letter["type"], &letter["flow"]),
        (&json!("UniversityCreated"), &flow["id"])
    );
    assert_eq!(letter.get("body"), None, "it says nothing of what is in it");
    let dead = queues.filter(|it| it["dead_letters"] != json!([])).count();
    assert_eq!(dead, 1);

    stack.stripe.fail_no_more();
    let moved = stack
        .pressed(&format!("queues/{queue}/redrive"), &json!({}))
        .await;
    assert_eq!(moved["moved"], 1);
    stack.settle().await;
    let flow = stack.flow("POST /api/admin/universities").await;
    assert_eq!(
        (&flow["outcome"], &flow["dead"]),
        (&json!("recovered"), &json!(0))
    );
    let again = spans(&flow, "queue", "stripe-customer");
    let outcomes: Vec<&Value> = again.iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["redriven", "done"]);
    assert_eq!(again[1]["parent"], again[0]["id"]);
    let (status, why) = stack.press("queues/nonsense/redrive", &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text(&why["error"]).starts_with("there is no queue nonsense; known are "),
        "{why}"
    );
    stack.finish().await;
}

#[tokio::test]
async fn a_schedule_is_fired_and_its_flow_leads_to_stripe() {
    let stack = TestStack::start().await;
    let (uppsala, _) = stack.onboarded("Uppsala").await;
    stack.manual_plan(uppsala, 99_000).await;
    stack.settle().await;
    let jobs = stack.shown("schedules").await;
    let jobs = jobs["jobs"].as_array().unwrap();
    let monthly = jobs
        .iter()
        .find(|it| it["job"] == "generate-monthly-invoices-job")
        .unwrap();
    assert_eq!(monthly["schedule"], "cron(0 0 1 * ? *)");
    let today = TimeZone::UTC.to_datetime(stack.clock().now()).date();
    let next = today.first_of_month().checked_add(1.month()).unwrap();
    let next = format!("{next}T00:00:00Z");
    assert_eq!(monthly["next_at"], next);

    let fire = json!({ "job": "generate-monthly-invoices-job", "at": next });
    let fired = stack.pressed("fire", &fire).await;
    assert_eq!(fired["ok"], true, "{fired}");
    stack.settle().await;
    let flow = stack
        .shown(&format!("flows/{}", text(&fired["flow"])))
        .await;
    let made = spans(&flow, "vendor", "Stripe").into_iter();
    let made = made.clone().find(|it| it["about"] == "POST /v1/invoices");
    let expect = [
        "vendor Stripe",
        "function invoice-listener",
        "queue invoice",
        "call SQS.SendMessageBatch",
        "function generate-monthly-invoices-job",
    ];
    assert_eq!(chain(&flow, made.expect("an invoice")), expect);
    assert_eq!(flow["events"], json!(["InvoiceGenerated"]));

    let refused = [
        (
            json!({ "job": "no-job", "at": "2026-01-01T00:00:00Z" }),
            404,
            "no-job has no schedule.",
        ),
        (
            json!({ "job": "sweep-outbox-job", "at": "soon" }),
            400,
            "\"soon\" is no time; one is 2026-01-01T00:00:00Z.",
        ),
    ];
    for (body, expect, why) in refused {
        let (status, answer) = stack.press("fire", &body).await;
        assert_eq!((status.as_u16(), &answer["error"]), (expect, &json!(why)));
    }
    let (status, why) = stack.press("fire", &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text(&why["error"]).contains("missing field `job`"), "{why}");
    stack.finish().await;
}

#[tokio::test]
async fn a_sample_is_sent_signed_anew() {
    let stack = TestStack::start().await;
    let shown = stack.shown("samples").await;
    let sample = json!({ "function": "stripe-webhook", "case": "unknown-type" });
    assert!(shown["samples"].as_array().unwrap().contains(&sample));
    let sent = stack.pressed("sample", &sample).await;
    assert_eq!(sent["said"], "stripe-webhook answered 200.");
    let flow = stack.shown(&format!("flows/{}", text(&sent["flow"]))).await;
    assert_eq!(
        (&flow["title"], &flow["outcome"]),
        (&json!("Invoke stripe-webhook"), &json!("done"))
    );
    // Twice are two flows.
    let again = stack.pressed("sample", &sample).await;
    assert_ne!(again["flow"], sent["flow"]);
    for case in ["../../Cargo", "no-such", ""] {
        let sample = json!({ "function": "stripe-webhook", "case": case });
        let (status, why) = stack.press("sample", &sample).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{why}");
        assert_eq!(
            why["error"],
            format!("There is no sample events/stripe-webhook/{case}.json.")
        );
    }
    stack.finish().await;
}

#[tokio::test]
async fn invoices_are_paid_and_declined_and_mails_are_shown() {
    let stack = TestStack::start().await;
    let (status, why) = stack.press("stripe/invoices/in_1/pay", &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text(&why["error"]).contains("No such invoice: 'in_1'"),
        "{why}"
    );
    assert_eq!(stack.shown("stripe").await["customers"], json!([]));

    let (uppsala, customer) = stack.onboarded("Uppsala").await;
    let (_, invoice) = stack.invoice(uppsala, 129_900).await;
    stack.settle().await;
    let path = |act: &str| format!("stripe/invoices/{invoice}/{act}");
    assert_eq!(
        stack.pressed(&path("decline"), &json!({})).await["status"],
        "open"
    );
    stack.settle().await;
    assert_eq!(
        stack.pressed(&path("pay"), &json!({})).await["status"],
        "paid"
    );
    stack.settle().await;
    let (status, _) = stack.press(&path("pay"), &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "it is paid");
    let (status, why) = stack.press(&path("burn"), &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{why}");
    let shown = stack.shown("stripe").await;
    let found = &shown["customers"][0];
    assert_eq!(
        (&found["id"], &found["university_id"]),
        (&json!(customer), &json!(uppsala))
    );
    assert_eq!(found["invoices"][0]["status"], "paid");
    let payments = found["payments"].as_array().unwrap().iter();
    let payments: Vec<&Value> = payments.map(|it| &it["status"]).collect();
    assert_eq!(payments, ["succeeded", "failed"]);

    let mails = stack.shown("mails").await;
    let mails = mails["mails"].as_array().unwrap();
    let paid = mails
        .iter()
        .find(|it| text(&it["subject"]).starts_with("Payment received"))
        .unwrap();
    assert_eq!(paid.get("html"), None);
    let flow = stack.shown(&format!("flows/{}", text(&paid["flow"]))).await;
    // Stripe tells of it twice, in any order; the first that is there counts.
    let about = text(&flow["about"]);
    assert!(
        ["invoice.paid", "invoice.payment_succeeded"].contains(&&*about),
        "{about}"
    );
    let url = format!(
        "{}/_console/api/mails/{}",
        stack.info().api_url,
        text(&paid["id"])
    );
    let framed = reqwest::get(url).await.unwrap();
    let policy = framed.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(
        policy.starts_with("sandbox; default-src 'none'"),
        "{policy}"
    );
    assert!(framed.text().await.unwrap().contains("<html"));
    let (status, _) = stack.get("/_console/api/mails/unknown").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    stack.finish().await;
}

#[tokio::test]
async fn connections_to_pusher_are_shown() {
    let stack = TestStack::start().await;
    let pusher = &stack.info().pusher;
    let address = format!("{}:{}", pusher.host, pusher.port);
    let mut client = Client::connect(&address, &pusher.key).await;
    client.subscribe("news", "").await;
    let shown = stack.shown("channels").await;
    assert_eq!(
        shown["channels"],
        json!([{ "name": "news", "connections": 1 }])
    );
    let expect = json!([{ "socket_id": client.socket_id, "channels": ["news"] }]);
    assert_eq!(shown["connections"], expect);
    stack.finish().await;
}

#[tokio::test]
async fn nobody_but_this_machine_may() {
    let stack = TestStack::start_with_parameter("AllowedOrigin", "https://admin.example").await;
    let client = reqwest::Client::new();
    let api = stack.info().api_url.clone();
    let port = api.rsplit(':').next().unwrap();
    let ask = |method: Method, path: &str, headers: &[(&str, &str)]| {
        let mut request = client
            .request(method, format!("{api}/_console{path}"))
            .body("{}");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    };
    let json = ("content-type", "application/json");
    let queue = format!("/api/queues/{}/redrive", stack.name("email"));
    let own = format!("http://localhost:{port}");
    let elsewhere = format!("evil.example:{port}");
    let given: [(&[(&str, &str)], u16); 6] = [
        (&[json], 200),
        (&[json, ("origin", &own)], 200),
        (&[json, ("origin", "https://admin.example")], 403),
        (&[json, ("origin", "null")], 403),
        (&[("content-type", "text/plain")], 403),
        (&[json, ("host", &elsewhere)], 403),
    ];
    for (headers, expect) in given {
        let answer = ask(Method::POST, &queue, headers).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expect, "{headers:?}");
    }
    // Not even to look: what leads here under another name, or from a page that the API allows.
    let answer = ask(Method::GET, "/api/mails", &[("host", &elsewhere)])
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), StatusCode::FORBIDDEN);
    let allowed = [("origin", "https://admin.example")];
    let answer = ask(Method::GET, "/api/mails", &allowed)
        .send()
        .await
        .unwrap();
    assert_eq!(
        answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN),
        None
    );
    let answer = ask(Method::GET, &queue, &[]).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "looking moves nothing"
    );
    let (status, why) = stack.get("/_console/api/nonsense").await;
    assert_eq!(
        (status, &why["error"]),
        (
            StatusCode::NOT_FOUND,
            &json!("The console has nothing here.")
        )
    );
    // The API is as it was.
    for function in &stack.model().functions {
        for trigger in &function.triggers {
            assert!(!format!("{trigger:?}").contains("_console"), "{trigger:?}");
        }
    }
    let (status, answer) = stack.get("/_consoles").await;
    assert_eq!(
        (status, answer),
        (StatusCode::NOT_FOUND, json!({ "message": "Not Found" }))
    );
    stack.finish().await;
}
