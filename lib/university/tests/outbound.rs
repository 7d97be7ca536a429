//! What travels to a portal, what each answer means, and whom nothing reaches: the resolver is the
//! test's, and the listeners count who connects.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use bitflow_fault::{Class, Fault};
use bitflow_university::guard::Refusal;
use bitflow_university::notify::{Delivery, Maintenance, Portals};
use bitflow_university::outbound::{Delivered, LIMIT, Outbound, PortalError, Settings};
use bitflow_university::{HEADER, verify};
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Long enough that whoever waits for it has failed.
const LONG: Duration = Duration::from_mins(1);

/// A resolver that gives one answer after the other, and the last one for ever.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<Vec<SocketAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Self {
        let answers = answers.iter().map(|answer| {
            let addresses = answer.iter().map(|text| text.parse::<IpAddr>().unwrap());
            // A port of the resolver's own, which must not count.
            addresses.map(|ip| SocketAddr::new(ip, 9)).collect()
        });
        Self {
            answers: Arc::new(Mutex::new(answers.collect())),
            asked: Arc::default(),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Script {
    fn resolve(&self, name: Name) -> Resolving {
        self.asked.lock().unwrap().push(name.as_str().to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 => Err("no such name".into()),
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.remove(0)),
        };
        Box::pin(async move { answer.map(|it| Box::new(it.into_iter()) as Addrs) })
    }
}

/// A listener that counts who connects, and answers each with the same bytes.
struct Raw {
    port: u16,
    accepted: Arc<Mutex<usize>>,
    server: JoinHandle<()>,
}

/// What is written to who connects, once its request was read.
#[derive(Clone)]
enum Writes {
    /// This, and then the end.
    All(Vec<u8>),
    /// This, and then nothing, but no end.
    Hangs(Vec<u8>),
    /// This, and then a byte now and then, for ever.
    Drips(Vec<u8>),
    /// This, and then as much as is taken.
    Floods(Vec<u8>),
}

impl Raw {
    async fn writing(writes: Writes) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), writes)
            .await
            .unwrap()
    }

    async fn at(address: SocketAddr, writes: Writes) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let accepted = Arc::new(Mutex::new(0));
        let count = accepted.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                // Whoever hangs up early ends it.
                let writes = writes.clone();
                tokio::spawn(async move { serve(stream, writes).await.ok() });
            }
        });
        Ok(Self {
            port,
            accepted,
            server,
        })
    }

    /// How many have connected. Connections are accepted in order, so once our own is, whatever
    /// was there before it has been counted.
    async fn connections(self) -> usize {
        let before = *self.accepted.lock().unwrap();
        let mut own = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap();
        own.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        own.read_u8().await.unwrap();
        self.server.abort();
        let after = *self.accepted.lock().unwrap();
        assert!(after > before);
        after - 1
    }
}

async fn serve(mut stream: TcpStream, writes: Writes) -> std::io::Result<()> {
    // The end of a notification's body.
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") && !asked.ends_with(b"content-length: 0\r\n\r\n") {
        if stream.read_buf(&mut asked).await? == 0 {
            return Ok(());
        }
    }
    match writes {
        Writes::All(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            // Gone before what was written is read, some systems drop it.
            stream.read_to_end(&mut asked).await?;
        }
        Writes::Hangs(bytes) => {
            stream.write_all(&bytes).await?;
            stream.read_to_end(&mut asked).await?;
        }
        Writes::Drips(bytes) => {
            stream.write_all(&bytes).await?;
            let mut drip = tokio::time::interval(Duration::from_millis(5));
            loop {
                drip.tick().await;
                stream.write_all(b"x").await?;
            }
        }
        Writes::Floods(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[b'x'; 8_192]).await?;
            }
        }
    }
    Ok(())
}

/// An answer without a body.
fn answer(status: u16, headers: &str) -> Writes {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{headers}\r\n");
    Writes::All(head.into_bytes())
}

/// The head of an answer whose body has `length`.
fn head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// Calls portals below `template` that `resolver` finds, of special addresses those `allowed`.
struct Caller {
    portals: Portals,
}

impl Caller {
    fn new(template: &str, resolver: &Script, allowed: &str) -> Self {
        Self::patient(template, resolver, allowed, LONG)
    }

    fn patient(template: &str, resolver: &Script, allowed: &str, timeout: Duration) -> Self {
        let outbound = Outbound::new(Settings {
            allowed: allowed.parse().unwrap(),
            resolver: Arc::new(resolver.clone()),
            connect_timeout: timeout,
            timeout,
        });
        Self {
            portals: Portals::new(template.parse().unwrap(), outbound),
        }
    }

    /// Tells the portal of `domain`, in much less than [`LONG`].
    async fn call(&self, domain: &str) -> Result<Delivered, PortalError> {
        self.call_as(domain, "delivery-1", "request-1").await
    }

    async fn call_as(
        &self,
        domain: &str,
        id: &str,
        correlation_id: &str,
    ) -> Result<Delivered, PortalError> {
        let delivery = Delivery {
            id,
            domain,
            secret: &secret(),
            correlation_id,
        };
        let maintenance = Maintenance {
            title: "Scheduled Maintenance".to_owned(),
            message: "System will be down on Sunday 2 AM - 4 AM".to_owned(),
            scheduled_at: "2025-11-15T02:00:00.9Z".parse().unwrap(),
        };
        let call = self.portals.notify(&delivery, &maintenance, now());
        tokio::time::timeout(LONG / 4, call)
            .await
            .expect("the call ends long before that")
    }
}

fn secret() -> SecretString {
    "the-portals-secret".to_owned().into()
}

fn now() -> Timestamp {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// A template for the listener at `port`.
fn at(port: u16) -> String {
    format!("http://{{domain}}:{port}")
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

fn guarded(outcome: Result<Delivered, PortalError>) -> Refusal {
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), Class::Forbidden);
    assert!(!error.may_pass());
    match error {
        PortalError::Guarded(refusal) => refusal,
        other => panic!("{}", chain(&other)),
    }
}

fn unreachable(outcome: Result<Delivered, PortalError>) -> reqwest::Error {
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), Class::Busy);
    assert!(error.may_pass());
    match error {
        PortalError::Unreachable(cause) => cause,
        other => panic!("{}", chain(&other)),
    }
}

/// Addresses that are never called, and as which they are named.
const SPECIAL: [(&str, &str); 5] = [
    ("169.254.169.254", "169.254.169.254"),
    ("127.0.0.1", "127.0.0.1"),
    ("10.0.0.1", "10.0.0.1"),
    ("::1", "::1"),
    ("::ffff:10.0.0.1", "10.0.0.1"),
];

#[tokio::test]
async fn a_portal_is_told_in_the_words_of_the_contract() {
    type Asked = (Method, Uri, HeaderMap, Bytes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let kept = asked.clone();
    let router = Router::new().fallback(
        async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            kept.lock().unwrap().push((method, uri, headers, body));
            (StatusCode::CREATED, "{\"ok\":true}")
        },
    );
    tokio::spawn(async move { axum::serve(listener, router).await });

    let resolver = Script::new(&[&["127.0.0.1"]]);
    let caller = Caller::new(&at(port), &resolver, "127.0.0.1");
    let delivered = caller.call("portal.uu.example").await.unwrap();
    assert_eq!(delivered, Delivered { status: 201 });
    assert_eq!(resolver.asked(), ["portal.uu.example"]);
    {
        let asked = asked.lock().unwrap();
        let [(method, uri, headers, body)] = asked.as_slice() else {
            panic!("{} requests", asked.len());
        };
        assert_eq!((method, uri.path()), (&Method::POST, "/api/notifications"));
        assert_eq!(
            std::str::from_utf8(body).unwrap(),
            r#"{"type":"maintenance","title":"Scheduled Maintenance","message":"System will be down on Sunday 2 AM - 4 AM","scheduled_at":"2025-11-15 02:00:00"}"#
        );
        let signature = headers[HEADER].to_str().unwrap();
        verify(&[&secret()], signature, body, now()).unwrap();
        for (name, value) in [
            ("host", format!("portal.uu.example:{port}")),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json".to_owned()),
            ("idempotency-key", "delivery-1".to_owned()),
            ("x-correlation-id", "request-1".to_owned()),
        ] {
            assert_eq!(headers[name], value.as_str(), "{name}");
        }
        assert!(
            headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("Bitflow-Admin-Portal/")
        );
    }

    // A correlation id that no header holds is left out, and keeps nothing back.
    let outcome = caller
        .call_as("portal.uu.example", "delivery-2", "request\r\nx: y")
        .await;
    assert!(outcome.is_ok());
    let asked = asked.lock().unwrap();
    assert!(!asked[1].2.contains_key("x-correlation-id"));
    assert!(!asked[1].2.contains_key("x"));
}

#[tokio::test]
async fn a_delivery_id_that_no_header_holds_is_our_bug() {
    let resolver = Script::new(&[&["127.0.0.1"]]);
    let caller = Caller::new(&at(9), &resolver, "127.0.0.1");
    let outcome = caller
        .call_as("uu.example", "delivery\r\nx: y", "request-1")
        .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, PortalError::Unsendable(_)));
    assert_eq!((error.class(), error.may_pass()), (Class::Broken, false));
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_a_special_address_is_not_called() {
    for (address, named) in SPECIAL {
        let listener = Raw::writing(answer(200, "")).await;
        let resolver = Script::new(&[&[address]]);
        let caller = Caller::new(&at(listener.port), &resolver, "none");
        let refusal = guarded(caller.call("portal.uu.example").await);
        assert!(
            refusal.to_string().starts_with(&format!("{named} is ")),
            "{refusal}"
        );
        assert_eq!(listener.connections().await, 0, "{address}");
    }
}

#[tokio::test]
async fn a_special_address_in_place_of_a_name_is_not_called() {
    let any = Script::new(&[&["8.8.8.8"]]);
    for (literal, named) in [
        ("169.254.169.254", "169.254.169.254"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("0", "0.0.0.0"),
    ] {
        let listener = Raw::writing(answer(200, "")).await;
        let caller = Caller::new(&at(listener.port), &any, "none");
        let refusal = guarded(caller.call(literal).await);
        assert!(
            refusal.to_string().starts_with(&format!("{named} is ")),
            "{refusal}"
        );
        assert_eq!(listener.connections().await, 0, "{literal}");
    }
    // No domain holds these, but a template may.
    for (host, named) in [
        ("[::1]", "::1"),
        ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ("[::ffff:7f00:1]", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
    ] {
        let listener = Raw::writing(answer(200, "")).await;
        let template = format!("http://{host}:{}/{{domain}}", listener.port);
        let caller = Caller::new(&template, &any, "none");
        let refusal = guarded(caller.call("uu.example").await);
        assert!(
            refusal.to_string().starts_with(&format!("{named} is ")),
            "{refusal}"
        );
        assert_eq!(listener.connections().await, 0, "{host}");
    }
    assert!(any.asked().is_empty());
}

#[tokio::test]
async fn what_is_allowed_is_called_by_name_and_by_address() {
    let names = Script::new(&[&["127.0.0.1"], &["::ffff:127.0.0.1"]]);
    let listener = Raw::writing(answer(200, "")).await;
    for (template, domain) in [
        (at(listener.port), "portal.uu.example"),
        (at(listener.port), "portal.uu.example"),
        (at(listener.port), "127.0.0.1"),
        (
            format!("http://[::ffff:127.0.0.1]:{}/{{domain}}", listener.port),
            "uu.example",
        ),
    ] {
        let caller = Caller::new(&template, &names, "127.0.0.1");
        let outcome = caller.call(domain).await;
        assert!(outcome.is_ok(), "{template}: {outcome:?}");
    }
    assert_eq!(names.asked().len(), 2);
    assert_eq!(listener.connections().await, 4);
}

#[tokio::test]
async fn a_name_that_leads_outside_and_inside_is_not_called() {
    // 127.0.0.1 stands for the outside.
    for inside in ["169.254.169.254", "127.0.0.2", "10.0.0.1", "::1"] {
        for mixed in [["127.0.0.1", inside], [inside, "127.0.0.1"]] {
            let listener = Raw::writing(answer(200, "")).await;
            let resolver = Script::new(&[&mixed]);
            let caller = Caller::new(&at(listener.port), &resolver, "127.0.0.1");
            guarded(caller.call("portal.uu.example").await);
            assert_eq!(listener.connections().await, 0, "{mixed:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_the_second_time_is_not_called_again() {
    // 127.0.0.1 stands for the outside. What it answers would keep the connection alive.
    for inside in ["169.254.169.254", "127.0.0.2", "10.0.0.1", "::1"] {
        let outside =
            Raw::writing(Writes::Hangs(answered_with("connection: keep-alive\r\n"))).await;
        // Where the system has that address, somebody is there to be called.
        let inside_at = SocketAddr::new(inside.parse().unwrap(), outside.port);
        let inside_listener = Raw::at(inside_at, answer(200, "")).await.ok();

        let resolver = Script::new(&[&["127.0.0.1"], &[inside]]);
        let caller = Caller::new(&at(outside.port), &resolver, "127.0.0.1");
        assert!(caller.call("portal.uu.example").await.is_ok());
        // One call is one look-up: none lies between check and connection.
        assert_eq!(resolver.asked().len(), 1);
        let refusal = guarded(caller.call("portal.uu.example").await);
        assert!(
            refusal.to_string().starts_with(&format!("{inside} is ")),
            "{refusal}"
        );
        assert_eq!(resolver.asked().len(), 2, "each call has its look-up");
        assert_eq!(*outside.accepted.lock().unwrap(), 1);
        if let Some(listener) = inside_listener {
            assert_eq!(*listener.accepted.lock().unwrap(), 0, "{inside}");
        }
    }
}

/// An empty answer with `headers`.
fn answered_with(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{headers}\r\n").into_bytes()
}

#[tokio::test]
async fn no_connection_is_used_twice() {
    let listener = Raw::writing(Writes::Hangs(answered_with("connection: keep-alive\r\n"))).await;
    let resolver = Script::new(&[&["127.0.0.1"]]);
    let caller = Caller::new(&at(listener.port), &resolver, "127.0.0.1");
    for _ in 0..3 {
        caller.call("portal.uu.example").await.unwrap();
    }
    assert_eq!(resolver.asked().len(), 3);
    assert_eq!(listener.connections().await, 3);
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_leads_nowhere() {
    for status in [301, 302, 303, 307, 308] {
        let inside = Raw::writing(answer(200, "")).await;
        for to in [
            format!("http://127.0.0.1:{}/", inside.port),
            format!("http://elsewhere.example:{}/", inside.port),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://[::ffff:10.0.0.1]/".to_owned(),
            "/api/other".to_owned(),
        ] {
            let portal = Raw::writing(answer(status, &format!("location: {to}\r\n"))).await;
            let resolver = Script::new(&[&["127.0.0.1"]]);
            let caller = Caller::new(&at(portal.port), &resolver, "127.0.0.1");
            let error = caller.call("portal.uu.example").await.unwrap_err();
            assert!(
                matches!(error, PortalError::Refused { .. }),
                "{}",
                chain(&error)
            );
            assert_eq!(error.status(), Some(status));
            assert_eq!((error.class(), error.may_pass()), (Class::Invalid, false));
            assert_eq!(resolver.asked(), ["portal.uu.example"]);
            assert_eq!(portal.connections().await, 1);
        }
        assert_eq!(inside.connections().await, 0, "{status}");
    }
}

#[tokio::test]
async fn what_may_work_later_is_told_from_what_will_not() {
    for (status, class, wait) in [
        (400, Class::Invalid, None),
        (410, Class::Invalid, None),
        (422, Class::Invalid, None),
        (401, Class::Busy, Some(7)),
        (404, Class::Busy, Some(7)),
        (408, Class::Busy, Some(7)),
        (425, Class::Busy, Some(7)),
        (429, Class::TooMany, Some(7)),
        (500, Class::Busy, Some(7)),
        (503, Class::Busy, Some(7)),
    ] {
        let portal = Raw::writing(answer(status, "retry-after: 7\r\n")).await;
        let resolver = Script::new(&[&["127.0.0.1"]]);
        let caller = Caller::new(&at(portal.port), &resolver, "127.0.0.1");
        let error = caller.call("portal.uu.example").await.unwrap_err();
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(error.may_pass(), class != Class::Invalid, "{status}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(
            error.retry_after(),
            wait.map(Duration::from_secs),
            "{status}"
        );
        assert_eq!(portal.connections().await, 1, "asked once: {status}");
    }
}

#[tokio::test]
async fn no_name_no_connection_no_tls_and_no_http_are_worth_another_try() {
    // Held, so that no other test gets the port, and not listened on.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let nobody = held.local_addr().unwrap().port();
    let silent = Raw::writing(answer(200, "")).await;
    let closing = Raw::writing(Writes::All(Vec::new())).await;
    let garbling = Raw::writing(Writes::All(b"SSH-2.0-OpenSSH\r\n".to_vec())).await;
    let local = Script::new(&[&["127.0.0.1"]]);
    let timeout = Duration::from_millis(300);
    for (what, template, resolver) in [
        ("no name", at(nobody), Script::default()),
        ("no address", at(nobody), Script::new(&[&[]])),
        ("no connection", at(nobody), local.clone()),
        (
            "no TLS",
            format!("https://{{domain}}:{}", silent.port),
            local.clone(),
        ),
        ("no answer", at(closing.port), local.clone()),
        ("no HTTP", at(garbling.port), local.clone()),
    ] {
        let caller = Caller::patient(&template, &resolver, "127.0.0.1", timeout);
        let outcome = caller.call("portal.uu.example").await;
        let error = outcome.unwrap_err();
        let text = chain(&error);
        assert!(
            matches!(error, PortalError::Unreachable(_)),
            "{what}: {text}"
        );
        assert!(error.may_pass() && error.status().is_none(), "{what}");
        // Neither is in a log, nor what was sent.
        let logged = format!("{text} {error:?}");
        for word in ["uu.example", "the-portals-secret", "Maintenance", "v1="] {
            assert!(!logged.contains(word), "{what}: {logged}");
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_refused_before_the_request() {
    // It answers a greeting with what is none.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 1024];
        let length = stream.read(&mut greeting).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
        [&greeting[..length], &rest].concat()
    });
    let resolver = Script::new(&[&["127.0.0.1"]]);
    let template = format!("https://{{domain}}:{port}");
    let caller = Caller::new(&template, &resolver, "127.0.0.1");
    let error = unreachable(caller.call("portal.uu.example").await);
    assert!(error.is_connect(), "{error:?}");
    let heard = heard.await.unwrap();
    assert_eq!(heard[0], 22, "a TLS handshake");
    assert!(!heard.windows(5).any(|it| it == b"POST "));
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit() {
    // As long as it says, or as long as it goes on.
    for flood in [
        head(usize::MAX >> 1),
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7fffffffffff\r\n".to_vec(),
    ] {
        let portal = Raw::writing(Writes::Floods(flood)).await;
        check_ends(&portal, LONG).await;
    }
    // Just the limit, and then silence: nothing more is waited for.
    let mut full = head(LIMIT + 1);
    full.resize(full.len() + LIMIT, b'x');
    let portal = Raw::writing(Writes::Hangs(full)).await;
    check_ends(&portal, LONG).await;
}

#[tokio::test]
async fn a_slow_body_is_read_until_the_time_is_over() {
    let short = Duration::from_millis(300);
    // Two bytes less than the limit are waited for.
    let mut almost = head(LIMIT);
    almost.resize(almost.len() + LIMIT - 2, b'x');
    for slow in [
        Writes::Drips(head(LIMIT)),
        Writes::Hangs(head(10)),
        Writes::Hangs(almost),
    ] {
        let portal = Raw::writing(slow).await;
        let began = Instant::now();
        check_ends(&portal, short).await;
        assert!(began.elapsed() >= short, "given up too early");
    }
}

/// The portal said 200, so it was told, whatever became of the rest of its answer.
async fn check_ends(portal: &Raw, timeout: Duration) {
    let resolver = Script::new(&[&["127.0.0.1"]]);
    let caller = Caller::patient(&at(portal.port), &resolver, "127.0.0.1", timeout);
    let outcome = caller.call("portal.uu.example").await;
    assert_eq!(outcome.unwrap(), Delivered { status: 200 });
}

#[tokio::test]
async fn a_slow_head_and_silence_end_when_the_time_is_over() {
    for slow in [
        Writes::Drips(b"HTTP/1.1 200 OK\r\nx: ".to_vec()),
        Writes::Drips(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: ".to_vec()),
        Writes::Hangs(Vec::new()),
    ] {
        let portal = Raw::writing(slow).await;
        let resolver = Script::new(&[&["127.0.0.1"]]);
        let timeout = Duration::from_millis(300);
        let caller = Caller::patient(&at(portal.port), &resolver, "127.0.0.1", timeout);
        let error = unreachable(caller.call("portal.uu.example").await);
        assert!(error.is_timeout(), "{error:?}");
    }
}

#[tokio::test]
async fn a_slow_look_up_ends_when_the_time_is_over() {
    struct Never;
    impl Resolve for Never {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    let outbound = Outbound::new(Settings {
        resolver: Arc::new(Never),
        connect_timeout: Duration::from_millis(200),
        ..Settings::new("none".parse().unwrap())
    });
    let portals = Portals::new(at(9).parse().unwrap(), outbound);
    let error = unreachable(Caller { portals }.call("portal.uu.example").await);
    assert!(error.is_timeout() && error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_no_answer() {
    let many = "x: y\r\n".repeat(200);
    for head in [
        Writes::Floods(b"HTTP/1.1 200 OK\r\nx: ".to_vec()),
        Writes::Floods(b"HTTP/1.1 200 ".to_vec()),
        answer(200, &many),
    ] {
        let portal = Raw::writing(head).await;
        let resolver = Script::new(&[&["127.0.0.1"]]);
        let caller = Caller::new(&at(portal.port), &resolver, "127.0.0.1");
        let error = unreachable(caller.call("portal.uu.example").await);
        assert!(!error.is_timeout(), "{error:?}");
    }
}

#[tokio::test]
async fn the_systems_resolver_is_guarded_too() {
    let listener = Raw::writing(answer(200, "")).await;
    let call = |allowed: &str| {
        let settings = Settings::new(allowed.parse().unwrap());
        let template = at(listener.port).parse().unwrap();
        Caller {
            portals: Portals::new(template, Outbound::new(settings)),
        }
    };
    guarded(call("none").call("localhost").await);
    assert_eq!(*listener.accepted.lock().unwrap(), 0);
    let allowed = call("127.0.0.1,::1").call("localhost").await;
    assert!(allowed.is_ok(), "{allowed:?}");
    assert_eq!(listener.connections().await, 1);
}

/// A test of this file, run again in a process whose environment names a proxy.
#[tokio::test]
async fn a_proxy_in_the_environment_is_not_asked() {
    let proxy = Raw::writing(answer(200, "")).await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([
        "--exact",
        "what_is_allowed_is_called_by_name_and_by_address",
    ]);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        again
            .env(name, &url)
            .env(name.to_uppercase(), &url)
            .env_remove("no_proxy")
            .env_remove("NO_PROXY");
    }
    again.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || again.output().unwrap())
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections().await, 0);
}
