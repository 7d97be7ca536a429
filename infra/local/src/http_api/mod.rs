//! API Gateway's HTTP API: routes, JWT authorizer, CORS; [`payload`] is format 2.0.

pub mod jwt;
mod payload;
mod routing;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;

use crate::clock::Clock;
use crate::console::noted::Noted;
use crate::console::recorder::Recorder;
use crate::lambda::Lambda;
use crate::template::model::{self, Model, Trigger};
use jwt::{Issuer, Refusal};
use routing::{Routes, Target};

/// Largest request, bytes.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const MAX_BODY: usize = 10 * 1024 * 1024;

/// What the API needs to answer.
#[derive(Clone)]
pub struct HttpApi {
    inner: Arc<Inner>,
}

struct Inner {
    settings: model::HttpApi,
    routes: Routes,
    issuer: Issuer,
    lambda: Lambda,
    clock: Clock,
    host: String,
    recorder: Recorder,
}

impl HttpApi {
    /// The API of the template, answering as `host`.
    pub fn new(
        model: &Model,
        issuer: Issuer,
        lambda: Lambda,
        clock: Clock,
        host: String,
        recorder: Recorder,
    ) -> Self {
        let routes = model.functions.iter().flat_map(|function| {
            function
                .triggers
                .iter()
                .filter_map(|trigger| match trigger {
                    Trigger::Http(route) => Some(Target {
                        function: function.binary.clone(),
                        route: route.clone(),
                    }),
                    _ => None,
                })
        });
        let routes = Routes::new(routes.collect());
        let inner = Inner {
            settings: model.http_api.clone(),
            routes,
            issuer,
            lambda,
            clock,
            host,
            recorder,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Everything the API answers, and the documents by which tokens are verified.
    pub fn router(self) -> Router {
        let issuer = self.inner.issuer.router();
        Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
            .merge(issuer)
    }
}

async fn answer(State(api): State<HttpApi>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = api.inner.answer(request).await;
    api.inner.add_cors(origin.as_ref(), response.headers_mut());
    response
}

impl Inner {
    async fn answer(&self, request: Request) -> Response {
        if request.method() == Method::OPTIONS && self.settings.cors.is_some() {
            return StatusCode::NO_CONTENT.into_response();
        }
        let request_id = uuid::Uuid::new_v4().to_string();
        let (method, path) = (request.method().as_str(), request.uri().path());
        let noted = self.recorder.request(&request_id, method, path);
        let answer = self.handle(request, &request_id, &noted).await;
        noted.answered(answer.status().as_u16(), None);
        answer
    }

    async fn handle(&self, request: Request, request_id: &str, noted: &Noted) -> Response {
        let path = request.uri().path().to_owned();
        let Some((target, path_parameters)) = self.routes.find(request.method().as_str(), &path)
        else {
            return message(StatusCode::NOT_FOUND, "Not Found");
        };
        let claims = match &target.route.scopes {
            None => None,
            Some(scopes) => match self.authorize(request.headers(), scopes) {
                Ok(claims) => Some(claims),
                Err(refusal) => return refused(refusal),
            },
        };
        let (mut parts, body) = request.into_parts();
        let trace = trace_of(&mut parts.headers, self.clock.now());
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        noted.has_body(&body);
        let asked = payload::Asked {
            request_id,
            parts: &parts,
            body: &body,
            target,
            path_parameters,
            claims,
            host: &self.host,
            now: self.clock.now(),
        };
        let event = Bytes::from(payload::event(&asked).to_string());
        // The integration's own timeout: 30 s at the most.
        let limit = std::time::Duration::from_secs(30);
        let invoked = self.lambda.invoke_traced(&target.function, event, trace);
        match tokio::time::timeout(limit, invoked).await {
            Ok(Ok(output)) if output.function_error.is_none() => {
                payload::answer(&output.payload).unwrap_or_else(internal_error)
            }
            Ok(Ok(output)) => {
                tracing::warn!(
                    function = target.function,
                    log = output.log_tail,
                    "a function failed a request"
                );
                internal_error()
            }
            Ok(Err(error)) => {
                tracing::error!(function = target.function, %error, "a request was not handled");
                internal_error()
            }
            Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        }
    }

    fn authorize(
        &self,
        headers: &HeaderMap,
        scopes: &[String],
    ) -> Result<payload::Claims, Refusal> {
        let header = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.ok_or(Refusal::Unauthorized)?;
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let claims = self
            .issuer
            .verify(token, &self.settings, self.clock.now())?;
        let held = jwt::scopes(&claims);
        if scopes.is_empty() || scopes.iter().any(|scope| held.contains(scope)) {
            Ok(payload::Claims {
                claims,
                scopes: scopes.to_vec(),
            })
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// API Gateway's CORS headers; only for origins that the template allows.
    fn add_cors(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(cors) = &self.settings.cors else {
            return;
        };
        let Some(origin) = origin.and_then(|origin| origin.to_str().ok()) else {
            return;
        };
        let allowed = cors
            .allow_origins
            .iter()
            .find(|it| *it == "*" || *it == origin);
        let Some(allowed) = allowed else { return };
        let mut set = |name: header::HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value)
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        };
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        set(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            cors.allow_methods.join(","),
        );
        set(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            cors.allow_headers.join(","),
        );
        set(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            cors.expose_headers.join(","),
        );
        if let Some(age) = cors.max_age {
            set(header::ACCESS_CONTROL_MAX_AGE, age.as_secs().to_string());
        }
    }
}

/// The trace that a request is part of: the client's, or one that begins here. The function finds it
/// among the headers, too.
fn trace_of(headers: &mut HeaderMap, now: Timestamp) -> Option<String> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let new = format!("Root=1-{:08x}-{}", now.as_second(), &id[..24]);
    let new = HeaderValue::from_str(&new).ok()?;
    let header = headers.entry("x-amzn-trace-id").or_insert(new);
    header.to_str().ok().map(str::to_owned)
}

fn refused(refusal: Refusal) -> Response {
    let (status, text, challenge) = match refusal {
        Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized", "Bearer"),
        Refusal::Forbidden => (
            StatusCode::FORBIDDEN,
            "Forbidden",
            r#"Bearer error="insufficient_scope""#,
        ),
    };
    let mut response = message(status, text);
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    );
    response
}

fn message(status: StatusCode, text: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, json!({ "message": text }).to_string()).into_response()
}

fn internal_error() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
