//! The loop around a router: correlation id, one log line a request, problems rendered.

use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bitflow_fault::Class;
use futures_util::FutureExt;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, RequestExt, Service};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Map, Value};
use tracing::{Instrument, Level};

use super::limit::{self, Limiter, Standing};
use super::problem::Problem;
use crate::config::{Config, Variable};
use crate::log::{chain, read};
use crate::metrics;
use crate::outcome::{gather, keep, line, ms};
use crate::start::{invocation, start};

/// How long a request may take: less than the 30 s after which API Gateway gives up on it, so that
/// the client is told by us, and how to go on. Whoever repeats it under its key completes it.
const DEADLINE: Duration = Duration::from_secs(25);

/// Runs a function behind the HTTP API.
pub fn run<C: Send + Sync + 'static>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    routes: impl FnOnce() -> Router<Arc<C>>,
) -> ExitCode {
    start(variables, new, async |cx| {
        serve(with_conventions(routes()).with_state(Arc::new(cx))).await
    })
}

/// Likewise, behind a limit: admins' requests are counted, each admin's by themselves.
pub fn run_limited<C: Send + Sync + 'static>(
    variables: &[Variable],
    new: impl FnOnce(&Config) -> C,
    routes: impl FnOnce() -> Router<Arc<C>>,
    limiter: fn(&C) -> &Limiter,
) -> ExitCode {
    start(variables, new, async |cx| {
        let cx = Arc::new(cx);
        let counted = cx.clone();
        let limit = middleware::from_fn(move |request: Request, next: Next| {
            let cx = counted.clone();
            async move { limit::of_admin(limiter(&cx), request, next).await }
        });
        let routes = routes().layer(limit);
        serve(with_conventions(routes).with_state(cx)).await
    })
}

/// API Gateway's event as lambda_http reads it, without what it would panic at: it makes a URI of what
/// the client wrote, and expects that to be one.
///
/// # Errors
/// What is no event of an HTTP API: the invocation was not by API Gateway.
pub fn read_event(mut event: Value) -> Result<LambdaRequest, lambda_runtime::Error> {
    // Nothing here asks for the URI's scheme or host.
    if let Some(headers) = event.get_mut("headers").and_then(Value::as_object_mut) {
        headers.retain(|name, _| {
            let of_uri = ["host", "x-forwarded-proto"];
            !of_uri.iter().any(|it| name.eq_ignore_ascii_case(it))
        });
    }
    if let Some(domain) = event.pointer_mut("/requestContext/domainName") {
        *domain = Value::Null;
    }
    if let Some(query) = event.get_mut("rawQueryString")
        && let Some(text) = query.as_str()
    {
        *query = in_a_uri(text).into();
    }
    if let Some(path) = event.get_mut("rawPath")
        && let Some(text) = path.as_str()
        && !text.starts_with('/')
    {
        *path = format!("/{text}").into();
    }
    read(event)
}

/// A query with what no URI may hold written as it is written in one.
fn in_a_uri(query: &str) -> String {
    let mut written = String::with_capacity(query.len());
    for byte in query.bytes() {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'`' | b'{' | b'}' => write!(written, "%{byte:02X}"),
            b'!'..=b'~' => write!(written, "{}", char::from(byte)),
            _ => write!(written, "%{byte:02X}"),
        }
        .expect("a String takes it");
    }
    written
}

async fn serve(router: Router) -> Result<(), lambda_runtime::Error> {
    let adapter: Adapter<'_, Response, Router> = Adapter::from(router);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let mut adapter = adapter.clone();
        async move {
            let context = event.context.clone();
            let answered = async move {
                let request = read_event(event.payload)?;
                let answered = adapter.call(LambdaEvent::new(request, event.context));
                let Ok(answer) = answered.await;
                Ok::<_, lambda_runtime::Error>(answer)
            };
            invocation(&context, answered).await
        }
    }))
    .await
}

/// A request, as API Gateway knows it.
#[derive(Debug, Clone)]
pub struct Requested {
    /// Its id there, which every log line, event and outgoing call carries.
    pub correlation_id: String,
    /// The address that it came from.
    pub source_ip: String,
    standing: Arc<Mutex<Option<Standing>>>,
}

impl Requested {
    /// A request of nobody.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            correlation_id: "none".to_owned(),
            source_ip: String::new(),
            standing: Arc::default(),
        }
    }

    /// Notes where the sender stands, for the answer.
    pub(super) fn stands(&self, standing: Standing) {
        *self.standing.lock().expect("no holder panics") = Some(standing);
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        *self.standing.lock().expect("no holder panics")
    }

    fn of(request: &impl RequestExt) -> Self {
        let source_ip = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
            _ => None,
        };
        Self {
            correlation_id: correlation_id(request),
            source_ip: source_ip.unwrap_or_default(),
            standing: Arc::default(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Requested {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let noted = parts.extensions.get::<Self>().cloned();
        Ok(noted.unwrap_or_else(|| Self::of(parts)))
    }
}

fn correlation_id(request: &impl RequestExt) -> String {
    let from_gateway = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    };
    from_gateway
        .or_else(|| {
            request
                .lambda_context_ref()
                .map(|context| context.request_id.clone())
        })
        .unwrap_or_else(|| "none".to_owned())
}

/// Adds what every route answers alike.
pub fn with_conventions<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(async || Problem::missing("path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not know this method.",
            )
        })
        .layer(middleware::from_fn(around))
}

/// One request from the gateway's edge to the answer.
async fn around(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let ids = ids(&mut parts).await;
    let mut request = Request::from_parts(parts, body);
    let requested = Requested::of(&request);
    let correlation_id = requested.correlation_id.clone();
    request.extensions_mut().insert(requested.clone());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        target: "bitflow",
        "request",
        correlation_id,
        method = %request.method(),
        route = route.as_deref().unwrap_or("none"),
    );
    let answer = async move {
        keep(Level::INFO, ids);
        let mut level = Level::INFO;
        let (mut class, mut error) = (None, None);
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
        let in_time = tokio::time::timeout(DEADLINE, answered).await;
        let answered = in_time.unwrap_or_else(|_| {
            error = Some("no answer within the deadline".to_owned());
            (level, class) = (Level::WARN, Some(Class::Busy));
            Ok(Problem::busy().into_response())
        });
        let mut response = answered.unwrap_or_else(|_| {
            error = Some("the handler panicked".to_owned());
            (level, class) = (Level::ERROR, Some(Class::Broken));
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This is our fault; quote the correlation_id when you report it.",
            )
            .into_response()
        });
        let problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = problem.or_else(|| unread(&response)) {
            if let Some(cause) = problem.cause() {
                (class, error) = (Some(cause.class()), Some(chain(cause)));
                level = level_with(problem.status());
            }
            response = problem.render(&correlation_id);
        }
        if let Some(standing) = requested.standing() {
            standing.tell(response.headers_mut());
        }
        if let Ok(value) = HeaderValue::from_str(&correlation_id) {
            response.headers_mut().insert("x-correlation-id", value);
        }
        let status = response.status();
        let refused = status.is_client_error() || status.is_server_error();
        let without = if refused { "refused" } else { "done" };
        if status.is_server_error() {
            metrics::answer_failed();
        }
        line!(
            level,
            status = status.as_u16(),
            class = class.map_or_else(|| without.to_owned(), |it: Class| it.to_string()),
            error,
            duration_ms = ms(started.elapsed()),
            "request answered",
        );
        response
    };
    gather(answer).instrument(span).await
}

/// The ids in the path; what is none is whatever the client wrote.
async fn ids(parts: &mut Parts) -> Map<String, Value> {
    let is_id = |text: &str| {
        text.len() == 36 && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
    };
    let parameters = RawPathParams::from_request_parts(parts, &()).await;
    let parameters = parameters.iter().flatten();
    let ids = parameters.filter(|(_, value)| is_id(value));
    ids.map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

/// What axum refuses before a handler is asked, such as a path that is no text, it refuses in plain
/// text; no handler of ours does.
fn unread(response: &Response) -> Option<Problem> {
    let kind = response.headers().get(header::CONTENT_TYPE)?;
    let is_plain = kind.to_str().is_ok_and(|it| it.starts_with("text/plain"));
    let status = response.status();
    (status.is_client_error() && is_plain)
        .then(|| Problem::new(status, "The request cannot be read."))
}

/// How loud an answer is that has a cause: an error where it is ours, a warning where it is a
/// dependency's.
fn level_with(status: StatusCode) -> Level {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Level::WARN,
        status if status.is_server_error() => Level::ERROR,
        _ => Level::INFO,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Path;
    use axum::routing::get;
    use bitflow_fault::Fault;
    use http_body_util::BodyExt;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the inside story")]
    struct Inside(Class);

    impl Fault for Inside {
        fn class(&self) -> Class {
            self.0
        }
    }

    async fn check(path: &str, status: u16, expect: Value) {
        let routes = Router::new()
            .route(
                "/busy",
                get(async || Err::<(), _>(Problem::from(Inside(Class::Busy)))),
            )
            .route(
                "/broken",
                get(async || Err::<(), _>(Problem::from(Inside(Class::Broken)))),
            )
            .route("/panic", get(async || -> () { panic!("as told") }))
            .route("/named/{name}", get(async |_: Path<String>| {}))
            .route("/slow", get(std::future::pending::<()>));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = with_conventions(routes).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(
            !body.to_string().contains("inside story"),
            "internals leaked: {body}"
        );
        for (key, value) in expect.as_object().unwrap() {
            assert_eq!(&body[key], value, "{key} in {body}");
        }
    }

    #[test]
    fn whatever_a_client_writes_is_read() {
        for (at, wrong) in [
            ("/headers/host", "%"),
            ("/headers/x-forwarded-proto", "a b"),
            ("/requestContext/domainName", "[:"),
            ("/rawQueryString", "a=<\"b\">&å=#\u{0}"),
            ("/rawPath", ":x"),
        ] {
            let mut event = json!({
                "version": "2.0",
                "rawPath": "/a",
                "rawQueryString": "",
                "headers": { "host": "api.example", "x-forwarded-proto": "https" },
                "requestContext": {
                    "domainName": "api.example",
                    "http": { "method": "GET", "path": "/a" },
                    "stage": "$default",
                    "timeEpoch": 0,
                },
                "isBase64Encoded": false,
            });
            *event.pointer_mut(at).unwrap() = wrong.into();
            let request: lambda_http::Request = read_event(event).unwrap().into();
            assert_eq!(request.method(), "GET", "{at}");
        }
        for no_event in [json!(1), json!([]), json!({ "headers": 1 })] {
            assert!(read_event(no_event).is_err());
        }
        assert_eq!(in_a_uri("a=%20&b=\"å\""), "a=%20&b=%22%C3%A5%22");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_in_time_is_503() {
        check("/slow", 503, json!({ "title": "Service Unavailable" })).await;
    }

    #[tokio::test]
    async fn whatever_happens_the_answer_is_a_problem() {
        check(
            "/busy",
            503,
            json!({ "title": "Service Unavailable", "status": 503 }),
        )
        .await;
        check(
            "/broken",
            500,
            json!({ "type": "about:blank", "correlation_id": "none" }),
        )
        .await;
        check("/panic", 500, json!({ "status": 500 })).await;
        check(
            "/named/%FF",
            400,
            json!({ "detail": "The request cannot be read." }),
        )
        .await;
        check(
            "/nowhere",
            404,
            json!({ "detail": "There is no such path." }),
        )
        .await;
    }
}
