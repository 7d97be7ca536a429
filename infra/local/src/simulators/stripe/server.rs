//! The wire: authentication, idempotency, answers that fail or are held.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::controls::{Failure, Received};
use super::error::ApiError;
use super::shape::Shape;
use super::state::{Asker, Idempotent, State};
use super::{StripeSim, params, routes};

/// A request as it came.
struct Asked {
    /// Which it is, in its answer and in the events that it causes.
    id: String,
    method: String,
    path: String,
    form: String,
    headers: HeaderMap,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// "All POST requests accept idempotency keys."
    fn key(&self) -> Option<&str> {
        self.header("idempotency-key")
            .filter(|_| self.method == "POST")
    }

    fn fingerprint(&self) -> String {
        format!("{} {}?{}", self.method, self.path, self.form)
    }

    /// What a repeat of it is answered.
    fn answered(&self, status: StatusCode, body: &Value, at: i64) -> Idempotent {
        Idempotent {
            request: self.fingerprint(),
            status: status.as_u16(),
            body: body.to_string(),
            at,
            request_id: self.id.clone(),
        }
    }

    /// The headers that tell which request is answered, and of a repeat which was carried out.
    fn sign(&self, headers: &mut HeaderMap) {
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers
                    .entry(HeaderName::from_static(name))
                    .or_insert(value);
            }
        };
        set("request-id", &self.id);
        if let Some(key) = self.key() {
            set("idempotency-key", key);
            set("original-request", &self.id);
        }
    }
}

/// An idempotency key while the answer is on its way; free again however that ends.
struct InUse {
    sim: StripeSim,
    key: String,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.sim.controls().keys_in_use.remove(&self.key);
    }
}

pub(super) async fn serve(Shared(sim): Shared<StripeSim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1024 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let form = if body.is_empty() {
        parts.uri.query().unwrap_or_default().to_owned()
    } else {
        String::from_utf8_lossy(&body).into_owned()
    };
    let asked = Asked {
        id: State::new_id("req"),
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        form,
        headers: parts.headers,
    };
    let (failure, held, in_use) = {
        let mut controls = sim.controls();
        let failure = controls.failure_of(&asked.method, &asked.path);
        let held = controls.hold_of(&asked.path);
        let key = asked.key().map(str::to_owned);
        let in_use = key.map(|key| {
            let sim = sim.clone();
            let first = controls.keys_in_use.insert(key.clone());
            first.then(|| InUse { sim, key })
        });
        (failure, held, in_use)
    };
    let mut response = match (in_use, &failure) {
        // Another request under this key has no answer yet.
        (Some(None), _) => refused(&ApiError::key_in_use(asked.key().unwrap_or_default())),
        (_key, failure) => {
            let response = match failure {
                Some(failure) => fail(&sim, &asked, failure),
                None => handle(&sim, &asked),
            };
            if let Some(held) = held {
                held.wait().await;
            }
            response
        }
    };
    asked.sign(response.headers_mut());
    record(&sim, asked, response.status().as_u16());
    if failure.is_some_and(|failure| failure.status == 0) {
        // No answer: the connection just ends.
        let broken = futures_util::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("no answer"))
        });
        return Response::new(axum::body::Body::from_stream(broken));
    }
    response
}

fn record(sim: &StripeSim, asked: Asked, status: u16) {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers: BTreeMap<_, _> = asked.headers.iter().filter_map(text).collect();
    sim.controls().record(Received {
        method: asked.method,
        path: asked.path,
        headers,
        parameters: asked.form,
        status,
        received_at: sim.inner.settings.clock.now(),
    });
    sim.inner.settings.progress.touch();
}

/// The answer that was asked for instead of the request's own.
fn fail(sim: &StripeSim, asked: &Asked, failure: &Failure) -> Response {
    if failure.after_effect {
        handle(sim, asked);
    }
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ApiError::of_status(status).body();
    if let Some(key) = asked.key().filter(|_| failure.stored) {
        let first = asked.answered(status, &body, sim.now());
        sim.lock().remember(key, first);
    }
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let reason = HeaderValue::from_static("global-rate");
        headers.insert("stripe-rate-limited-reason", reason);
    }
    if let Some(retry) = failure.stripe_should_retry {
        let retry = HeaderValue::from_static(if retry { "true" } else { "false" });
        headers.insert("stripe-should-retry", retry);
    }
    if let Some(seconds) = failure.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Authentication and idempotency around the routes.
fn handle(sim: &StripeSim, asked: &Asked) -> Response {
    if let Err(error) = authenticate(sim, asked) {
        return refused(&error);
    }
    let now = sim.now();
    if let Some(key) = asked.key() {
        let known = sim.lock().answered(key, now).cloned();
        if let Some(first) = known {
            if first.request != asked.fingerprint() {
                return refused(&ApiError::other_parameters(key));
            }
            let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK);
            let headers = [
                ("idempotent-replayed", "true"),
                ("content-type", "application/json"),
                ("original-request", &*first.request_id),
            ];
            return (status, headers, first.body).into_response();
        }
    }
    let (status, body) = match answer(sim, asked) {
        Ok(object) => (StatusCode::OK, object),
        Err(error) => (error.status, error.body()),
    };
    // Parameters that were refused before anything ran are not remembered; all else is.
    let ran = status != StatusCode::BAD_REQUEST && status != StatusCode::NOT_FOUND;
    if let Some(key) = asked.key().filter(|_| ran) {
        let first = asked.answered(status, &body, now);
        sim.lock().remember(key, first);
    }
    (status, Json(body)).into_response()
}

fn refused(error: &ApiError) -> Response {
    (error.status, Json(error.body())).into_response()
}

fn authenticate(sim: &StripeSim, asked: &Asked) -> Result<(), ApiError> {
    let given = asked.header("authorization").and_then(|header| {
        if let Some(token) = header.strip_prefix("Bearer ") {
            return Some(token.to_owned());
        }
        let decoded = BASE64.decode(header.strip_prefix("Basic ")?).ok()?;
        String::from_utf8(decoded)
            .ok()?
            .split(':')
            .next()
            .map(str::to_owned)
    });
    match given {
        None => Err(ApiError::unauthorized("You did not provide an API key.")),
        Some(key) if key == sim.inner.settings.api_key.expose_secret() => Ok(()),
        Some(_) => Err(ApiError::unauthorized("Invalid API Key provided")),
    }
}

fn answer(sim: &StripeSim, asked: &Asked) -> Result<Value, ApiError> {
    let shape = asked
        .header("stripe-version")
        .map_or(Shape::Newer, Shape::of_version);
    let (parameters, expand) = params::parse(&asked.form);
    let path = asked.path.trim_start_matches("/v1/");
    let segments: Vec<&str> = path.split('/').collect();
    // A property that cannot be expanded refuses the whole request.
    sim.change(|state, now| {
        state.asked_by(Asker {
            id: Some(asked.id.clone()),
            idempotency_key: asked.key().map(str::to_owned),
        });
        let object = routes::route(state, &asked.method, &segments, parameters, now)?;
        let mut object = shape.render(&object);
        for path in &expand {
            let parts: Vec<&str> = path.split('.').collect();
            routes::expand(state, &mut object, &parts, shape)?;
        }
        Ok(object)
    })
}
