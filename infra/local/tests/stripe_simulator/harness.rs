//! A simulator of its own for each test, driven over HTTP, and an endpoint that takes its webhooks.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use bitflow_local::clock::Clock;
use bitflow_local::console::witness::Witness;
use bitflow_local::progress::{Pending, Progress};
use bitflow_local::simulators::stripe::{Settings, StripeSim};
use bitflow_local::storage::Storage;
use jiff::SignedDuration;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const OLDER: &str = "2022-11-15";

/// The simulator and who talks to it.
pub(crate) struct Stripe {
    sim: StripeSim,
    pub(crate) clock: Clock,
    progress: Progress,
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl Deref for Stripe {
    type Target = StripeSim;

    fn deref(&self) -> &StripeSim {
        &self.sim
    }
}

/// Where webhooks go.
#[derive(Clone, Default)]
struct Endpoint {
    taken: Arc<Mutex<Vec<Value>>>,
    refuse: Arc<AtomicUsize>,
}

impl Endpoint {
    fn take(&self, body: &str) -> StatusCode {
        let left = |left: usize| left.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.refuse.fetch_update(set, fetch, left).is_ok() {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let event = serde_json::from_str(body).expect("an event");
        self.taken.lock().expect("no holder panics").push(event);
        StatusCode::OK
    }
}

/// What a request was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Type, code and parameter of an error.
    pub(crate) fn error(&self) -> (&str, &str, &str) {
        let text = |name: &str| self.body["error"][name].as_str().unwrap_or_default();
        (text("type"), text("code"), text("param"))
    }
}

impl Stripe {
    pub(crate) async fn start() -> Self {
        let endpoint = Endpoint::default();
        let taker = endpoint.clone();
        let router = Router::new().fallback(async move |body: String| taker.take(&body));
        let listener = listen().await;
        let webhooks = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (clock, progress) = (Clock::new(), Progress::new());
        let settings = Settings {
            api_key: "sk_test".to_owned().into(),
            webhook_url: format!("http://{webhooks}"),
            webhook_secret: "whsec".to_owned().into(),
            retry_gaps: Settings::live_retry_gaps(),
            storage: Storage::none(),
            clock: clock.clone(),
            progress: progress.clone(),
            witness: Witness::default(),
        };
        Self {
            sim: StripeSim::start(listen().await, settings).expect("it starts"),
            clock,
            progress,
            http: reqwest::Client::new(),
            endpoint,
        }
    }

    /// A request with these further headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        form: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url()))
            .bearer_auth("sk_test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(form.to_owned()).send().await;
        let answer = answer.expect("answered");
        assert!(answer.headers().contains_key("request-id"), "{path}");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.json().await.expect("JSON"),
        }
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, &format!("/v1/{path}"), form, &[])
            .await
    }

    /// A request that succeeds.
    pub(crate) async fn made(&self, path: &str, form: &str) -> Value {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, 200, "{path} {form}: {}", answer.body);
        answer.body
    }

    /// A request that is refused so: status, code and parameter.
    pub(crate) async fn refused(&self, path: &str, form: &str, expected: (u16, &str, &str)) {
        let answer = self.post(path, form).await;
        let (_, code, param) = answer.error();
        let seen = (answer.status, code, param);
        assert_eq!(seen, expected, "{path} {form}: {}", answer.body);
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self
            .send(Method::GET, &format!("/v1/{path}"), "", &[])
            .await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// The same in the shape of before 2025-03-31.
    pub(crate) async fn get_older(&self, path: &str) -> Value {
        let version = [("stripe-version", OLDER)];
        let path = format!("/v1/{path}");
        self.send(Method::GET, &path, "", &version).await.body
    }

    /// A control under `/_sim`; its status and body.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.url());
        let answer = self.http.post(url).json(body).send().await;
        let answer = answer.expect("answered");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn customer(&self) -> String {
        id(&self.made("customers", "email=a@b.example").await)
    }

    /// An open invoice of one item, charged automatically.
    pub(crate) async fn invoice(&self, customer: &str, cents: i64) -> String {
        let invoice = id(&self.made("invoices", &format!("customer={customer}")).await);
        let item = format!("customer={customer}&invoice={invoice}&amount={cents}&currency=usd");
        self.made("invoiceitems", &item).await;
        let path = format!("invoices/{invoice}/finalize");
        self.made(&path, "auto_advance=true").await;
        invoice
    }

    pub(crate) async fn price(&self, currency: &str, cents: i64) -> String {
        let form = format!(
            "currency={currency}&unit_amount={cents}&recurring[interval]=month&product_data[name]=Campus"
        );
        id(&self.made("prices", &form).await)
    }

    /// A subscription that waits for its first payment.
    pub(crate) async fn subscription(&self, customer: &str) -> Value {
        let price = self.price("usd", 9900).await;
        let form = format!(
            "customer={customer}&items[0][price]={price}&payment_behavior=default_incomplete"
        );
        self.made("subscriptions", &form).await
    }

    /// An object as it is now, over the wire of the simulator's memory.
    pub(crate) fn now(&self, id: &str) -> Value {
        self.object(id).expect("it is there")
    }

    /// The events of this type, oldest first.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let mut events = self.objects("event");
        events.retain(|event| event["type"] == kind);
        events
    }

    /// The one event of this type.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut events = self.events(kind);
        assert_eq!(events.len(), 1, "{kind}");
        events.remove(0)
    }

    /// The events that the endpoint took, in the order in which they came.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let taken = self.endpoint.taken.lock().expect("no holder panics");
        taken.clone()
    }

    /// The endpoint refuses so many deliveries.
    pub(crate) fn refuse_deliveries(&self, count: usize) {
        self.endpoint.refuse.store(count, Ordering::SeqCst);
    }

    /// Waits until nothing is going on, as the stack does.
    pub(crate) async fn settle(&self) {
        let mut changes = self.progress.subscribe();
        loop {
            changes.borrow_and_update();
            let pending = self.pending();
            if pending.is_empty() {
                return;
            }
            let later = pending.iter().map(|it| match it {
                Pending::Later(at, _) => Some(*at),
                Pending::Now(_) => None,
            });
            if let Some(Some(next)) = later.min_by_key(|at| *at) {
                self.clock.advance_to(next + SignedDuration::from_millis(1));
            }
            let changed = tokio::time::timeout(Duration::from_secs(30), changes.changed()).await;
            assert!(changed.is_ok(), "{pending:?}");
        }
    }
}

/// The id of an object.
pub(crate) fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// The ids of a list, in its order.
pub(crate) fn ids(list: &Value) -> Vec<String> {
    list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(id)
        .collect()
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}
