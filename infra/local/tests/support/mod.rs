//! A stack of its own for each test: started, driven over HTTP, settled, and checked at the end to
//! have left nothing behind.

#![expect(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod chromium;
pub(crate) mod packages;
pub(crate) mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bitflow_domain::billing::invoice::Invoice;
use bitflow_domain::billing::payment::Payment;
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_local::aws::iam::Grant;
use bitflow_local::functions;
use bitflow_local::simulators::sendgrid::Mail;
use bitflow_local::stack::{Settings, Stack};
use bitflow_store::invoices::Invoices;
use bitflow_store::page::PageRequest;
use bitflow_store::payments::Payments;
use bitflow_store::subscriptions::Subscriptions;
use bitflow_stripe::signature::sign;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A stack on free ports that keeps nothing.
pub(crate) struct TestStack {
    stack: Stack,
    http: reqwest::Client,
}

impl Deref for TestStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// What the stacks of this process that came to their end had used of what functions are granted.
static USED_GRANTS: Mutex<BTreeSet<Grant>> = Mutex::new(BTreeSet::new());

/// All of it so far.
pub(crate) fn used_grants() -> BTreeSet<Grant> {
    USED_GRANTS.lock().expect("no holder panics").clone()
}

fn note_used(grants: BTreeSet<Grant>) {
    let mut noted = USED_GRANTS.lock().expect("no holder panics");
    noted.extend(grants);
}

/// The functions' binaries, built once for each test binary.
pub(crate) fn binaries() -> BTreeMap<String, PathBuf> {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| functions::build().expect("the functions build"))
        .clone()
}

impl TestStack {
    /// Where nobody makes too many requests.
    pub(crate) async fn start() -> Self {
        let functions = tokio::task::spawn_blocking(binaries).await.expect("built");
        Self::start_with(Settings::passing(functions).without_limits()).await
    }

    /// Where the functions' own calls are written down, and may be disturbed.
    pub(crate) async fn start_gated() -> Self {
        let functions = tokio::task::spawn_blocking(binaries).await.expect("built");
        let mut settings = Settings::passing(functions).without_limits();
        settings.gated = true;
        Self::start_with(settings).await
    }

    /// With the limits that the template has by default.
    pub(crate) async fn start_limited() -> Self {
        let functions = tokio::task::spawn_blocking(binaries).await.expect("built");
        Self::start_with(Settings::passing(functions)).await
    }

    /// With another value of a parameter of the template.
    pub(crate) async fn start_with_parameter(name: &str, value: &str) -> Self {
        let functions = tokio::task::spawn_blocking(binaries).await.expect("built");
        let mut settings = Settings::passing(functions).without_limits();
        let parameter = (name.to_owned(), value.to_owned());
        settings.parameters.extend([parameter]);
        Self::start_with(settings).await
    }

    /// Of a template that is the product's but for this: each first text is the second.
    pub(crate) async fn start_changed(changes: &[(&str, &str)]) -> Self {
        let functions = tokio::task::spawn_blocking(binaries).await.expect("built");
        let mut settings = Settings::passing(functions).without_limits();
        let mut template = std::fs::read_to_string(&settings.template).expect("a template");
        for (from, to) in changes {
            assert!(template.contains(from), "{from}");
            template = template.replace(from, to);
        }
        let folder = tempfile::tempdir().expect("a folder");
        settings.template = folder.path().join("template.yaml");
        std::fs::write(&settings.template, template).expect("written");
        Self::start_with(settings).await
    }

    /// With settings of its own.
    pub(crate) async fn start_with(settings: Settings) -> Self {
        let stack = Stack::start(settings).await.expect("the stack starts");
        Self {
            stack,
            http: reqwest::Client::new(),
        }
    }

    /// Waits until nothing is going on any more.
    pub(crate) async fn settle(&self) {
        if let Err(pending) = self.stack.settle().await {
            self.print_logs();
            panic!("the stack did not settle: {pending:#?}");
        }
    }

    /// Waits until something is so, looking again after every change of the stack; for half a
    /// minute at most.
    pub(crate) async fn until(&self, is_so: impl AsyncFn() -> bool) {
        let mut changes = self.changes();
        let patience = Duration::from_secs(30);
        while !is_so().await {
            let changed = tokio::time::timeout(patience, changes.changed()).await;
            changed.expect("it comes to be so").expect("the stack runs");
        }
    }

    /// Settles, and sees to it that nothing is left: no message, no dead letter, no event.
    pub(crate) async fn finish(self) {
        self.settle().await;
        let dead = self.sqs.dead_letters();
        if !dead.is_empty() {
            self.print_logs();
            panic!("dead letters: {dead:#?}");
        }
        assert_eq!(self.waiting_events().await, 0, "events wait in the outbox");
        self.end().await;
    }

    /// The same, but these dead-letter queues are expected to hold one message each.
    pub(crate) async fn finish_with_dead_letters(self, expected: &[&str]) {
        self.settle().await;
        let dead: Vec<_> = self
            .sqs
            .dead_letters()
            .into_iter()
            .map(|(name, bodies)| (name, bodies.len()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|name| (self.name(name), 1)).collect();
        assert_eq!(dead, expected);
        self.end().await;
    }

    async fn end(self) {
        note_used(self.iam.used());
        assert_eq!(self.iam.take_denials(), [], "a grant is missing");
        self.shutdown().await.expect("the stack stops");
    }

    pub(crate) async fn waiting_events(&self) -> usize {
        self.rows("outbox")
            .await
            .iter()
            .filter(|row| row.contains_key("pending"))
            .count()
    }

    pub(crate) fn print_logs(&self) {
        for function in self.lambda.functions() {
            for line in self.lambda.logs(&function) {
                eprintln!("{function}: {line}");
            }
        }
    }

    /// A call of the admin's API with every scope.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let token = self.info().admin_token.clone();
        self.call_with(&token, method, path, body).await
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.info().api_url))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request.send().await.expect("the API answers")).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Onboards a university over HTTP.
    pub(crate) async fn onboard(&self, name: &str) -> Value {
        let slug = name.to_lowercase().replace(' ', "-");
        let body = json!({
            "name": name,
            "primary_email": format!("registrar@{slug}.example"),
            "domain": format!("portal.{slug}.example"),
            "storage_quota": 500_000_000_000_u64,
        });
        let (status, created) = self.post("/api/admin/universities", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        created
    }

    /// Onboards a university and waits for its Stripe customer; both ids.
    pub(crate) async fn onboarded(&self, name: &str) -> (UniversityId, String) {
        let created = self.onboard(name).await;
        self.settle().await;
        let id = created["id"].as_str().expect("an id");
        let (_, university) = self.get(&format!("/api/admin/universities/{id}")).await;
        let customer = university["stripe_customer_id"]
            .as_str()
            .expect("a customer");
        (id.parse().expect("an id"), customer.to_owned())
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.sendgrid.mails()
    }

    /// Posts a body to the Stripe webhook with this signature header.
    pub(crate) async fn webhook_signed(
        &self,
        body: &[u8],
        signature: Option<&str>,
    ) -> (StatusCode, Value) {
        let header = signature.map(|signature| ("stripe-signature", signature));
        self.post_raw("/api/webhooks/stripe", body, header).await
    }

    /// Posts a body as a portal does, with this signature header.
    pub(crate) async fn post_signed(
        &self,
        path: &str,
        body: &str,
        signature: Option<&str>,
    ) -> (StatusCode, Value) {
        let header = signature.map(|signature| ("x-signature", signature));
        self.post_raw(path, body.as_bytes(), header).await
    }

    async fn post_raw(
        &self,
        path: &str,
        body: &[u8],
        header: Option<(&str, &str)>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .http
            .post(format!("{}{path}", self.info().api_url))
            .header("content-type", "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let sent = request.body(body.to_vec()).send().await;
        read(sent.expect("the API answers")).await
    }

    /// Posts a body to the Stripe webhook, signed as Stripe would.
    pub(crate) async fn webhook(&self, body: &[u8]) -> (StatusCode, Value) {
        let signature = self.signature(body, real_now());
        self.webhook_signed(body, Some(&signature)).await
    }

    pub(crate) fn signature(&self, body: &[u8], at: Timestamp) -> String {
        sign(&self.info().stripe_webhook_secret.clone().into(), body, at)
    }

    /// A call of the admin's API under an idempotency key; status, headers and body.
    pub(crate) async fn post_with_key(
        &self,
        key: &str,
        path: &str,
        body: &Value,
    ) -> (StatusCode, HeaderMap, Value) {
        let request = self
            .http
            .post(format!("{}{path}", self.info().api_url))
            .bearer_auth(&self.info().admin_token)
            .header("idempotency-key", key)
            .json(body);
        let answer = request.send().await.expect("the API answers");
        let headers = answer.headers().clone();
        let (status, body) = read(answer).await;
        (status, headers, body)
    }

    /// An open invoice with one item, made by an admin; our id and Stripe's.
    pub(crate) async fn invoice(
        &self,
        university: UniversityId,
        cents: i64,
    ) -> (InvoiceId, String) {
        let path = format!("/api/admin/universities/{university}/invoices");
        let body = json!({ "items": [{ "description": "Setup", "amount": cents }] });
        let (status, made) = self.post(&path, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let id = made["id"].as_str().expect("an id");
        (id.parse().expect("an id"), text(&made["stripe_invoice_id"]))
    }

    /// A price at Stripe, by the month.
    pub(crate) fn price(&self, cents: i64, currency: &str) -> String {
        let form = format!(
            "currency={currency}&unit_amount={cents}&recurring[interval]=month&product_data[name]=Campus"
        );
        let price = self.stripe.create("prices", &form).expect("a price");
        text(&price["id"])
    }

    /// A subscription that Stripe bills, made by an admin; our id and Stripe's.
    pub(crate) async fn subscription(&self, university: UniversityId) -> (SubscriptionId, String) {
        let body = json!({ "stripe_price_id": self.price(9900, "usd") });
        let made = self.subscribe(university, &body).await;
        let id = text(&made["id"]).parse().expect("an id");
        (id, text(&made["stripe_subscription_id"]))
    }

    /// A plan that the monthly run bills, made by an admin.
    pub(crate) async fn manual_plan(&self, university: UniversityId, cents: i64) -> SubscriptionId {
        let body = json!({ "amount": cents, "description": "Campus", "days_until_due": 14 });
        let made = self.subscribe(university, &body).await;
        text(&made["id"]).parse().expect("an id")
    }

    async fn subscribe(&self, university: UniversityId, body: &Value) -> Value {
        let path = format!("/api/admin/universities/{university}/subscriptions");
        let (status, made) = self.post(&path, body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made
    }

    /// Runs a scheduled job, which must end well.
    pub(crate) async fn fire(&self, job: &str, at: &str) {
        let output = self.scheduler.fire(job, time(at)).await.expect("fired");
        assert_eq!(output.function_error, None, "{job}: {}", output.log_tail);
    }

    /// The bucket of files.
    pub(crate) fn bucket(&self) -> String {
        format!("{}-000000000000", self.name("files"))
    }

    /// Where its files are.
    pub(crate) fn bucket_folder(&self) -> PathBuf {
        self.files.join(self.bucket())
    }

    pub(crate) fn invoices(&self) -> Invoices {
        Invoices::new(&self.dynamo(), self.name("invoices"))
    }

    pub(crate) fn subscriptions(&self) -> Subscriptions {
        Subscriptions::new(&self.dynamo(), self.name("subscriptions"))
    }

    pub(crate) async fn stored_invoice(&self, university: UniversityId, id: InvoiceId) -> Invoice {
        self.invoices()
            .get(university, id)
            .await
            .expect("read")
            .expect("there")
    }

    pub(crate) async fn payments(&self, university: UniversityId) -> Vec<Payment> {
        let payments = Payments::new(&self.dynamo(), self.name("payments"));
        let page = PageRequest {
            limit: 100,
            cursor: None,
        };
        let listed = payments.of_university(university, &page).await;
        listed.expect("read").data
    }

    /// Every row of a table, raw.
    pub(crate) async fn rows(
        &self,
        table: &str,
    ) -> Vec<std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>> {
        let scanned = self
            .dynamo()
            .scan()
            .table_name(self.name(table))
            .consistent_read(true)
            .send()
            .await;
        scanned.expect("scanned").items.unwrap_or_default()
    }

    /// The types of the events that were raised about a university, oldest first.
    pub(crate) async fn events(&self, university: UniversityId) -> Vec<String> {
        let mut events: Vec<Value> = self
            .rows("outbox")
            .await
            .iter()
            .filter_map(|row| serde_json::from_str(row.get("detail")?.as_s().ok()?).ok())
            .filter(|event: &Value| event["university_id"] == university.to_string())
            .collect();
        let order = |event: &Value| {
            let version = event["aggregate_version"].as_u64();
            (
                time(event["occurred_at"].as_str().expect("a time")),
                version,
            )
        };
        events.sort_by_key(order);
        events
            .iter()
            .filter_map(|event| event["type"].as_str().map(str::to_owned))
            .collect()
    }

    /// The types in a university's history, newest first.
    pub(crate) async fn activity(&self, university: UniversityId) -> Vec<String> {
        let (status, page) = self
            .get(&format!(
                "/api/admin/universities/{university}/activity?limit=100"
            ))
            .await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let lines = page["data"].as_array().expect("a list");
        lines
            .iter()
            .filter_map(|line| line["type"].as_str().map(str::to_owned))
            .collect()
    }
}

/// A text that must be there.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The functions' own clock.
#[expect(
    clippy::disallowed_methods,
    reason = "what real processes compare with"
)]
pub(crate) fn real_now() -> Timestamp {
    Timestamp::now()
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.expect("a body");
    let value = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    (status, value)
}
