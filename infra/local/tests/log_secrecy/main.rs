//! No log has a secret, a token, a signature, an address, a name or a body in it.
//!
//! What is looked for comes from the run itself. Three runs: what people and portals do, good and
//! bad; every sample below `events/` with each of its values spoilt in turn; and vendors that answer
//! with what was sent to them.

mod echo;
mod needles;
mod spoilt;
#[path = "../support/mod.rs"]
mod support;

use bitflow_local::simulators::sendgrid;
use bitflow_local::simulators::stripe;
use bitflow_local::stack::Settings;
use reqwest::{Client, Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::needles::Needles;
use crate::support::{TestStack, real_now, text};

/// In every text that a request has; no word of ours has it.
const MARKER: &str = "geheimrat";

/// A stack that keeps all of its logs.
struct Logged {
    stack: TestStack,
    needles: Needles,
    folder: tempfile::TempDir,
}

impl Logged {
    async fn start(parameters: &[(&str, String)]) -> Self {
        let functions = tokio::task::spawn_blocking(support::binaries);
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::passing(functions.await.expect("built")).without_limits();
        settings.data = Some(folder.path().to_owned());
        let given = parameters.iter();
        let given = given.map(|(name, value)| ((*name).to_owned(), value.clone()));
        settings.parameters.extend(given);
        let stack = TestStack::start_with(settings).await;
        let mut needles = Needles::default();
        needles.add("a marker", MARKER);
        needles.of_stack(&stack);
        Self {
            stack,
            needles,
            folder,
        }
    }

    /// Onboards a university that has the marker wherever it may; what was answered.
    async fn onboard(&mut self, slug: &str) -> Value {
        let body = json!({
            "name": format!("{MARKER} {slug}"),
            "primary_email": format!("{MARKER}.{slug}@{slug}.example"),
            "domain": format!("portal.{slug}.example"),
            "storage_quota": 500_000_000_000_u64,
        });
        let (status, created) = self.stack.post("/api/admin/universities", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        let secret = text(&created["portal_secret"]);
        self.needles.add("a portal's secret", &secret);
        let domain = text(&created["domain"]);
        self.stack.portal.set_secret_of(&domain, secret.into());
        self.stack.settle().await;
        created
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.stack.post(path, &body).await.1
    }

    /// A portal's call, signed.
    async fn portal(&mut self, path: &str, secret: &str, body: &Value) -> StatusCode {
        let body = body.to_string();
        let secret = SecretString::from(secret.to_owned());
        let signed = bitflow_university::sign(&secret, body.as_bytes(), real_now());
        self.needles.of_header("an X-Signature", &signed);
        self.stack.post_signed(path, &body, Some(&signed)).await.0
    }

    /// Fires every job there is, for the first of a month.
    async fn fire_jobs(&self) {
        for job in self.stack.scheduler.jobs() {
            self.stack.fire(&job.function, "2099-02-01T00:00:00Z").await;
        }
        self.stack.settle().await;
    }

    /// Looks through all that was logged; which functions logged something.
    async fn search(mut self) -> Vec<String> {
        // What was started and answered nothing has not shown that it keeps its mouth shut.
        const DONE: &str = "\"duration_ms\":";
        self.stack.settle().await;
        self.needles.of_traffic(&self.stack);
        let functions = self.stack.lambda.functions();
        self.stack.shutdown().await.expect("the stack stops");
        let mut ran = Vec::new();
        let mut found = Vec::new();
        for function in functions {
            let file = self.folder.path().join(format!("logs/{function}.log"));
            let log = std::fs::read_to_string(file).unwrap_or_default();
            if log.lines().any(|line| line.contains(DONE)) {
                ran.push(function.clone());
            }
            for line in log.lines() {
                let about = self.needles.in_line(line).into_iter();
                found.extend(about.map(|what| format!("{function} logged {what}: {line}")));
            }
        }
        let first = &found[..found.len().min(20)];
        assert!(found.is_empty(), "{}: {first:#?}", found.len());
        ran
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn what_people_and_portals_do_is_not_logged() {
    let mut run = Logged::start(&[]).await;
    let created = run.onboard("uppsala").await;
    let id = text(&created["id"]);
    let secret = text(&created["portal_secret"]);
    let at = |below: &str| format!("/api/admin/universities/{id}{below}");

    // Secrets, files, and what is signed for browsers.
    let rotated = run.post(&at("/portal-secret"), json!({})).await;
    let secret_now = text(&rotated["portal_secret"]);
    run.needles.add("a portal's secret", &secret_now);
    let domain = text(&created["domain"]);
    let current = SecretString::from(secret_now.clone());
    run.stack.portal.set_secret_of(&domain, current);
    let info = run.stack.info();
    let put = Client::new()
        .put(format!("{}{}", info.api_url, at("/logo")))
        .bearer_auth(&info.admin_token)
        .header("content-type", "image/png")
        .body(include_bytes!("../support/pixel.png").as_slice());
    let put = put.send().await.expect("an answer");
    assert_eq!(put.status(), StatusCode::OK);
    let upload = json!({ "content_type": "image/png", "size": 100 });
    let upload = run.post(&at("/logo/upload-url"), upload).await;
    run.needles.of_urls(&upload);
    let (_, logo) = run.stack.get(&at("/logo")).await;
    run.needles.of_urls(&logo);
    let report = run
        .post("/api/admin/reports", json!({ "month": "2026-01" }))
        .await;
    run.stack.settle().await;
    let path = format!("/api/admin/reports/{}", text(&report["id"]));
    let (status, report) = run.stack.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    run.needles.of_urls(&report);
    let channel = json!({ "socket_id": "1.2", "channel_name": "private-bitflow-admin" });
    let signed = run.post("/broadcasting/auth", channel).await;
    run.needles
        .of_header("a channel's signature", &text(&signed["auth"]));

    // Portals.
    for secret in [&secret, &secret_now, &format!("psk_{MARKER}")] {
        let body =
            json!({ "university_id": id, "metric": "storage", "value": 490_000_000_000_u64 });
        run.portal("/api/webhooks/university-sync", secret, &body)
            .await;
        let body = json!({ "university_id": id, "type": "high_traffic", "message": MARKER });
        run.portal("/api/admin/alerts", secret, &body).await;
    }
    let wrong = json!({ "university_id": MARKER, "metric": MARKER, "value": MARKER });
    run.portal("/api/webhooks/university-sync", &secret, &wrong)
        .await;

    // Stripe: plans, invoices, what it refuses, and what it tells.
    let price = run.stack.price(9900, "usd");
    let plan = json!({ "stripe_price_id": price });
    run.post(&at("/subscriptions"), plan).await;
    let plan = json!({ "amount": 99_000, "description": MARKER, "days_until_due": 14 });
    run.post(&at("/subscriptions"), plan).await;
    let plan = json!({ "stripe_price_id": format!("price_{MARKER}") });
    run.post(&at("/subscriptions"), plan).await;
    let bill = json!({ "items": [{ "description": MARKER, "amount": 129_900 }] });
    for status in [0, 400, 401, 402, 404, 429, 500] {
        run.stack.stripe.fail_next(stripe::Failure {
            status,
            path: "/v1/invoice".to_owned(),
            ..stripe::Failure::default()
        });
        run.post(&at("/invoices"), bill.clone()).await;
        run.stack.stripe.fail_no_more();
    }
    for how in ["pay", "fail", "require_action"] {
        let made = run.post(&at("/invoices"), bill.clone()).await;
        let stripe = &run.stack.stripe;
        let invoice = text(&made["stripe_invoice_id"]);
        let done = match how {
            "pay" => stripe.pay(&invoice),
            "fail" => stripe.fail(&invoice),
            _ => stripe.require_action(&invoice),
        };
        done.expect(how);
    }
    let forged = format!(r#"{{"id":"evt_1","type":"invoice.paid","data":"{MARKER}"}}"#);
    let secret = SecretString::from(format!("whsec_{MARKER}"));
    let signature = bitflow_stripe::signature::sign(&secret, forged.as_bytes(), real_now());
    run.needles.of_header("a Stripe-Signature", &signature);
    let (status, _) = run
        .stack
        .webhook_signed(forged.as_bytes(), Some(&signature))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    run.stack.webhook(forged.as_bytes()).await;

    // Mails and portals, refused and taken.
    for status in [400, 401, 500] {
        let after_effect = false;
        let failure = sendgrid::Failure {
            status,
            after_effect,
        };
        run.stack.sendgrid.fail_next(failure);
    }
    for status in [500, 404] {
        run.stack
            .portal
            .fail_next(bitflow_local::simulators::portal::Failure {
                status,
                count: 1,
                domain: None,
                retry_after: None,
            });
        let notice = json!({
            "type": "maintenance",
            "title": MARKER,
            "message": MARKER,
            "scheduled_at": "2099-02-01T02:00:00Z",
        });
        run.post("/api/admin/notifications", notice).await;
        run.stack.settle().await;
    }

    // Bodies, tokens and keys that are refused.
    for path in [
        at("/invoices"),
        at("/subscriptions"),
        "/api/admin/universities".to_owned(),
    ] {
        let wrong =
            json!({ "name": [MARKER], MARKER: MARKER, "primary_email": MARKER, "items": MARKER });
        run.post(&path, wrong).await;
        run.stack.post_with_key(MARKER, &path, &json!(MARKER)).await;
    }
    let token = format!("{}{MARKER}", run.stack.token(&["universities:read"]));
    run.needles.add("a token", &token);
    run.stack
        .call_with(&token, Method::GET, &at(""), None)
        .await;
    let list = format!("/api/admin/universities?cursor={MARKER}&{MARKER}={MARKER}");
    run.stack.get(&list).await;
    let change = json!({ "name": format!("{MARKER} of Uppsala"), "primary_email": format!("{MARKER}@uu.example") });
    run.stack.call(Method::PATCH, &at(""), Some(&change)).await;

    run.fire_jobs().await;
    run.stack.call(Method::DELETE, &at(""), None).await;
    let functions = run.stack.lambda.functions();
    assert_eq!(
        run.search().await,
        functions,
        "every function has been at work"
    );
}

/// A parser likes to say what it could not read.
#[tokio::test]
async fn what_cannot_be_read_is_not_logged() {
    let mut run = Logged::start(&[]).await;
    let created = run.onboard("uppsala").await;
    let events = spoilt::events(&run.stack, &created);
    assert!(events.len() > 300, "{}", events.len());
    for (function, event) in events {
        let payload = event.to_string().into();
        let invoked = run.stack.lambda.invoke(&function, payload).await;
        invoked.expect("invoked");
    }
    let ran = run.search().await;
    assert!(ran.len() > 12, "{ran:?}");
}

#[tokio::test]
async fn what_vendors_say_of_what_was_sent_is_not_logged() {
    let echo = echo::Echo::start().await;
    let portal = format!("{}/{{domain}}", echo.url);
    let mut run = Logged::start(&[
        ("StripeApiBase", echo.url.clone()),
        ("SendGridApiBase", echo.url.clone()),
        ("PusherApiBase", echo.url.clone()),
        ("PortalUrlTemplate", portal),
    ])
    .await;
    let created = run.onboard("uppsala").await;
    let id = text(&created["id"]);
    let at = |below: &str| format!("/api/admin/universities/{id}{below}");
    for _ in 0..3 {
        let bill = json!({ "items": [{ "description": MARKER, "amount": 129_900 }] });
        run.post(&at("/invoices"), bill).await;
        let plan = json!({ "stripe_price_id": format!("price_{MARKER}") });
        run.post(&at("/subscriptions"), plan).await;
        let change = json!({ "name": format!("{MARKER} of Uppsala") });
        run.stack.call(Method::PATCH, &at(""), Some(&change)).await;
        let notice = json!({
            "type": "maintenance",
            "title": MARKER,
            "message": MARKER,
            "scheduled_at": "2099-02-01T02:00:00Z",
        });
        run.post("/api/admin/notifications", notice).await;
        run.stack.settle().await;
    }
    let paths = echo.paths();
    for vendor in ["/v1/", "/v3/", "/apps/", "/portal."] {
        let asked = paths.iter().any(|path| path.starts_with(vendor));
        assert!(asked, "{vendor} in {paths:?}");
    }
    run.fire_jobs().await;
    assert!(!run.search().await.is_empty());
}
