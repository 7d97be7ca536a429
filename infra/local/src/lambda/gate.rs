//! What a function asks of others passes here, where it is written down and, if a test wants it,
//! disturbed: the process dies before or after a call took effect, the answer is lost, or it is one
//! of the errors that AWS and the vendors may give at any time.
//!
//! Each function has doors of its own, one for AWS and one for each vendor that it is configured
//! with: so a call tells whose it is, and neither the function nor who answers is any different. An
//! answer that comes too late is, to a function, one that is lost: [`Fault::Lost`] is both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::runtime_api::Environments;
use crate::console::asked::Asked;
use crate::template::model::Function;

/// Times that an error is answered: more often than any client of ours tries without a pause.
const STRIKES: u32 = 3;

/// Where calls go.
#[derive(Debug, Clone)]
pub struct Upstreams {
    /// The AWS endpoint.
    pub aws: String,
    /// Vendors, by name: their URL as the functions' variables have it.
    pub vendors: BTreeMap<&'static str, String>,
    /// What the names of tables, queues and buses begin with.
    pub prefix: String,
}

/// The doors of all functions; a cheap handle.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    upstreams: Upstreams,
    environments: Environments,
    http: reqwest::Client,
    state: Mutex<Notes>,
    servers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Notes {
    calls: Vec<Call>,
    /// How often each was made.
    counts: BTreeMap<Call, u32>,
    planned: Option<Disturbance>,
    struck: u32,
}

/// An outgoing call, without what differs from one to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Whose: the function's binary.
    pub function: String,
    /// Of whom what is asked, e.g. `DynamoDB.TransactWriteItems Put outbox, Put universities` or
    /// `POST stripe /v1/customers`.
    pub what: String,
}

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the call took effect.
    DiesBefore,
    /// The process dies after it took effect, without the answer.
    DiesAfter,
    /// It took effect, and its answer is lost or comes too late.
    Lost,
    /// 500, three times.
    Fails,
    /// There were too many calls, three times.
    Throttled,
    /// `TransactionConflict`, three times.
    Contended,
}

impl Fault {
    /// Those that may befall a call.
    pub fn of(what: &str) -> Vec<Self> {
        let mut all = vec![
            Self::DiesBefore,
            Self::DiesAfter,
            Self::Lost,
            Self::Fails,
            Self::Throttled,
        ];
        if what.starts_with("DynamoDB.TransactWriteItems") {
            all.push(Self::Contended);
        }
        all
    }

    fn strikes(self) -> u32 {
        match self {
            Self::DiesBefore | Self::DiesAfter | Self::Lost => 1,
            Self::Fails | Self::Throttled | Self::Contended => STRIKES,
        }
    }
}

/// What is to befall which call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disturbance {
    /// Which.
    pub call: Call,
    /// The how-manieth of them, from 1.
    pub nth: u32,
    /// What.
    pub fault: Fault,
}

/// Who answers behind a door.
#[derive(Debug, Clone)]
enum Behind {
    Aws,
    Vendor(&'static str),
}

#[derive(Clone)]
struct Door {
    gate: Gate,
    function: String,
    behind: Behind,
    url: String,
}

impl Gate {
    pub(super) fn new(upstreams: Upstreams, environments: Environments) -> Self {
        let inner = Inner {
            upstreams,
            environments,
            http: reqwest::Client::new(),
            state: Mutex::default(),
            servers: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Opens a function's doors; the variables that lead it to them.
    pub(super) async fn open(
        &self,
        function: &Function,
    ) -> std::io::Result<BTreeMap<String, String>> {
        let upstreams = &self.inner.upstreams;
        let aws = self
            .door(function, Behind::Aws, upstreams.aws.clone())
            .await?;
        let mut detour = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), aws)]);
        for (vendor, url) in &upstreams.vendors {
            let leads_there = |(_, value): &(&String, &String)| value.starts_with(url);
            for (variable, value) in function.environment.iter().filter(leads_there) {
                let door = self.door(function, Behind::Vendor(vendor), url.clone());
                let value = value.replacen(url, &door.await?, 1);
                detour.insert(variable.clone(), value);
            }
        }
        Ok(detour)
    }

    async fn door(&self, of: &Function, behind: Behind, url: String) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let door = Door {
            gate: self.clone(),
            function: of.binary.clone(),
            behind,
            url,
        };
        let router = Router::new().fallback(pass).with_state(door);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "a door of the gate closed");
            }
        });
        let mut servers = self.inner.servers.lock().expect("no holder panics");
        servers.push(server);
        Ok(address)
    }

    /// From now on calls are counted anew, and one of them may be disturbed.
    pub fn watch(&self, planned: Option<Disturbance>) {
        *self.notes() = Notes {
            planned,
            ..Notes::default()
        };
    }

    /// What was called since, in its order.
    pub fn calls(&self) -> Vec<Call> {
        self.notes().calls.clone()
    }

    /// Whether what was planned came to pass.
    pub fn has_struck(&self) -> bool {
        self.notes().struck > 0
    }

    pub(super) fn close(&self) {
        let mut servers = self.inner.servers.lock().expect("no holder panics");
        servers.drain(..).for_each(|server| server.abort());
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.inner.state.lock().expect("no holder panics")
    }

    /// Writes a call down; what befalls it.
    fn note(&self, call: Call) -> Option<Fault> {
        let mut notes = self.notes();
        notes.calls.push(call.clone());
        let count = notes.counts.entry(call.clone()).or_default();
        *count += 1;
        let count = *count;
        let planned = notes.planned.as_ref()?;
        let first = planned.nth;
        let fault = planned.fault;
        let strikes = planned.call == call && (first..first + fault.strikes()).contains(&count);
        if !strikes {
            return None;
        }
        notes.struck += 1;
        Some(fault)
    }

    async fn kill(&self, function: &str) {
        for environment in self.inner.environments.of(function) {
            environment.kill().await;
            self.inner.environments.remove(&environment);
        }
    }
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let target = parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let query = parts.uri.query().unwrap_or_default();
    // Whoever was given a URL that the function signed is not the function.
    let is_signed_url = query.contains("X-Amz-Signature=");
    let prefix = &door.gate.inner.upstreams.prefix;
    let what = match (&door.behind, target) {
        (Behind::Aws, Some(target)) => Asked::of(target, &body, prefix).what,
        (Behind::Aws, None) => asked_of_s3(parts.method.as_str(), parts.uri.path(), query),
        (Behind::Vendor(vendor), _) => {
            let path = without_ids(parts.uri.path());
            format!("{} {vendor} {path}", parts.method)
        }
    };
    let call = Call {
        function: door.function.clone(),
        what: what.clone(),
    };
    let fault = if is_signed_url {
        None
    } else {
        door.gate.note(call)
    };
    match fault {
        Some(Fault::DiesBefore) => {
            door.gate.kill(&door.function).await;
            return broken_off();
        }
        Some(Fault::Fails | Fault::Throttled | Fault::Contended) => {
            let fault = fault.unwrap_or(Fault::Fails);
            return error(&door.behind, &what, fault, &body);
        }
        Some(Fault::DiesAfter | Fault::Lost) | None => {}
    }
    let url = format!("{}{path}", door.url);
    let mut forwarded = door.gate.inner.http.request(parts.method, url).body(body);
    for (name, value) in &parts.headers {
        // The host stays: signatures cover it.
        if !matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
            forwarded = forwarded.header(name, value);
        }
    }
    let answered = async {
        let answer = forwarded.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
    };
    let answered = answered.await;
    match (fault, answered) {
        (Some(Fault::DiesAfter), _) => {
            door.gate.kill(&door.function).await;
            broken_off()
        }
        (Some(_), _) | (None, Err(_)) => broken_off(),
        (None, Ok((status, headers, body))) => (status, kept(headers), body).into_response(),
    }
}

/// An answer's headers, but for those of its transport.
fn kept(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
    headers
}

/// The connection is closed before the head of an answer is sent.
fn broken_off() -> Response {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("no answer")) });
    Response::new(Body::from_stream(broken))
}

/// An operation of S3, with where in the bucket.
pub(crate) fn asked_of_s3(method: &str, path: &str, query: &str) -> String {
    let key = path.trim_start_matches('/');
    let key = key.split_once('/').map_or("", |(_, key)| key);
    let operation = match method {
        "GET" if query.contains("list-type=2") => "ListObjectsV2",
        "GET" => "GetObject",
        "HEAD" => "HeadObject",
        "PUT" => "PutObject",
        "DELETE" => "DeleteObject",
        "POST" if query.starts_with("delete") => "DeleteObjects",
        other => other,
    };
    format!("S3.{operation} {}", without_ids(key))
        .trim_end()
        .to_owned()
}

/// A path in which whatever looks like an id, or a domain, is `*`.
fn without_ids(path: &str) -> String {
    let is_version = |part: &str| {
        let number = part.strip_prefix('v');
        number.is_some_and(|it| it.len() == 1 && it.as_bytes()[0].is_ascii_digit())
    };
    // Of 24 letters and digits, one id in seventy has no digit; what is no id has no capitals.
    let marks = |it: char| it.is_ascii_digit() || it.is_ascii_uppercase() || it == '.';
    let is_id = |part: &str| part.contains(marks);
    let parts = path.split('/').map(|part| {
        if is_id(part) && !is_version(part) {
            "*"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// An error, as who was asked would have it.
fn error(behind: &Behind, what: &str, fault: Fault, body: &[u8]) -> Response {
    let service = what.split('.').next().unwrap_or_default();
    let throttled = fault == Fault::Throttled;
    match (behind, service) {
        (Behind::Vendor(_), _) => {
            let (status, kind) = if throttled {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, "api_error")
            };
            let error = json!({ "error": { "type": kind, "message": "simulated" } });
            (status, axum::Json(error)).into_response()
        }
        (Behind::Aws, "S3") => {
            let (status, code) = if throttled {
                (StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            };
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>simulated</Message></Error>"
            );
            (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
        }
        (Behind::Aws, _) => {
            let namespace = "com.amazonaws.dynamodb.v20120810#";
            let (status, code) = match (fault, service) {
                (Fault::Contended, _) => (
                    StatusCode::BAD_REQUEST,
                    format!("{namespace}TransactionCanceledException"),
                ),
                (Fault::Throttled, "DynamoDB") => (
                    StatusCode::BAD_REQUEST,
                    format!("{namespace}ProvisionedThroughputExceededException"),
                ),
                (Fault::Throttled, _) => {
                    (StatusCode::BAD_REQUEST, "ThrottlingException".to_owned())
                }
                _ => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError".to_owned(),
                ),
            };
            let mut error = json!({ "__type": code, "message": "simulated" });
            if fault == Fault::Contended {
                error["CancellationReasons"] = reasons(body);
            }
            let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
            (status, kind, error.to_string()).into_response()
        }
    }
}

/// Another transaction is at the first of the items.
fn reasons(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = body["TransactItems"].as_array().map_or(0, Vec::len);
    let reasons = (0..items).map(|at| match at {
        0 => json!({
            "Code": "TransactionConflict",
            "Message": "Transaction is ongoing for the item",
        }),
        _ => json!({ "Code": "None" }),
    });
    reasons.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_what_they_ask() {
        let check = |target: &str, body: Value, expect: &str| {
            let body = body.to_string();
            assert_eq!(Asked::of(target, body.as_bytes(), "x-").what, expect);
        };
        check(
            "DynamoDB_20120810.TransactWriteItems",
            json!({ "TransactItems": [
                { "Put": { "TableName": "x-universities" } },
                { "Put": { "TableName": "x-outbox" } },
                { "Put": { "TableName": "x-outbox" } },
                { "Delete": { "TableName": "x-domains" } },
            ] }),
            "DynamoDB.TransactWriteItems Delete domains, Put outbox, Put universities",
        );
        check(
            "DynamoDB_20120810.Query",
            json!({ "TableName": "x-invoices", "IndexName": "by_status" }),
            "DynamoDB.Query invoices/by_status",
        );
        check(
            "AmazonSQS.SendMessage",
            json!({ "QueueUrl": "http://127.0.0.1:1/000000000000/x-reports" }),
            "SQS.SendMessage reports",
        );
        check(
            "AWSEvents.PutEvents",
            json!({ "Entries": [{ "EventBusName": "x-events" }, { "EventBusName": "x-events" }] }),
            "EventBridge.PutEvents events",
        );
        let logo = "/x-files/universities/0190/logos/0191.png";
        let expect = "S3.PutObject universities/*/logos/*";
        assert_eq!(asked_of_s3("PUT", logo, "x-id=PutObject"), expect);
        let list = asked_of_s3("GET", "/x-files/", "list-type=2&prefix=a");
        assert_eq!(list, "S3.ListObjectsV2");
        assert_eq!(
            without_ids("/v1/invoices/in_myKWYkwigvqrKmcsUvZStsac/finalize"),
            "/v1/invoices/*/finalize"
        );
        assert_eq!(
            without_ids("/portal.uu.example/api/notifications"),
            "/*/api/notifications"
        );
    }
}
