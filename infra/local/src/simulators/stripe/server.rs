//! The wire: authentication, idempotency, routes, expansion, and the controls under `/_sim`.

use std::collections::BTreeMap;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::error::ApiError;
use super::params::{self, Params};
use super::shape::Shape;
use super::state::{Idempotent, State};
use super::{Failure, Received, StripeSim, customers, invoices, prices, subscriptions};

/// How long an idempotency key is remembered, seconds.
const KEYS_ARE_KEPT: i64 = 24 * 3600;

pub(super) fn router(sim: StripeSim) -> Router {
    let act = |act: fn(&StripeSim, &str) -> Result<Value, String>| {
        post(
            async move |Shared(sim): Shared<StripeSim>, Path(id): Path<String>| match act(&sim, &id)
            {
                Ok(object) => Json(object).into_response(),
                Err(error) => {
                    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
                }
            },
        )
    };
    Router::new()
        .route(
            "/_sim/requests",
            get(async |Shared(sim): Shared<StripeSim>| Json(sim.requests())),
        )
        .route(
            "/_sim/fail_next",
            post(
                async |Shared(sim): Shared<StripeSim>, Json(failure): Json<Failure>| {
                    sim.fail_next(failure);
                    StatusCode::NO_CONTENT
                },
            ),
        )
        .route("/_sim/invoices/{id}/pay", act(StripeSim::pay))
        .route("/_sim/invoices/{id}/fail", act(StripeSim::fail))
        .route("/_sim/subscriptions/{id}/advance", act(StripeSim::advance))
        .fallback(serve)
        .with_state(sim)
}

async fn serve(Shared(sim): Shared<StripeSim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1024 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().to_owned();
    let form = match parts.method {
        Method::POST => String::from_utf8_lossy(&body).into_owned(),
        _ => parts.uri.query().unwrap_or_default().to_owned(),
    };
    let failure = {
        let mut controls = sim.controls();
        let at = controls
            .failures
            .iter()
            .position(|failure| path.starts_with(&failure.path));
        at.map(|at| controls.failures.remove(at))
    };
    let asked = Asked {
        method: parts.method.as_str(),
        path: &path,
        form: &form,
        headers: &parts.headers,
    };
    let mut response = match &failure {
        Some(failure) if !failure.after_effect => failed(failure),
        Some(failure) => {
            handle(&sim, &asked);
            failed(failure)
        }
        None => handle(&sim, &asked),
    };
    let held = {
        let mut controls = sim.controls();
        controls
            .held
            .take_if(|(begins, _)| path.starts_with(begins.as_str()))
    };
    if let Some((_, held)) = held {
        held.wait().await;
    }
    let request_id = State::new_id("req");
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("request-id"), value);
    }
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let received = Received {
        method: asked.method.to_owned(),
        path: path.clone(),
        headers: parts
            .headers
            .iter()
            .filter_map(text)
            .collect::<BTreeMap<_, _>>(),
        parameters: form.clone(),
        status: response.status().as_u16(),
        received_at: sim.inner.settings.clock.now(),
    };
    sim.controls().requests.push(received);
    sim.inner.settings.progress.touch();
    if failure.is_some_and(|failure| failure.status == 0) {
        // No answer: the connection just ends.
        let broken = futures_util::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("no answer"))
        });
        return Response::new(axum::body::Body::from_stream(broken));
    }
    response
}

/// A request as it came.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    form: &'a str,
    headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn failed(failure: &Failure) -> Response {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status == StatusCode::TOO_MANY_REQUESTS {
        "rate_limit"
    } else {
        "api_error"
    };
    let body =
        json!({ "error": { "type": "api_error", "code": kind, "message": "An error occurred." } });
    (status, Json(body)).into_response()
}

/// Authentication and idempotency around the routes.
fn handle(sim: &StripeSim, asked: &Asked<'_>) -> Response {
    if let Err(error) = authenticate(sim, asked) {
        return (error.status, Json(error.body())).into_response();
    }
    let now = sim.inner.settings.clock.now().as_second();
    let key = asked
        .header("idempotency-key")
        .filter(|_| asked.method == "POST");
    let fingerprint = format!("{} {}?{}", asked.method, asked.path, asked.form);
    if let Some(key) = key {
        let known = sim.lock().idempotency.get(key).cloned();
        if let Some(first) = known.filter(|first| now - first.at < KEYS_ARE_KEPT) {
            if first.request != fingerprint {
                let error = ApiError::other_parameters(key);
                return (error.status, Json(error.body())).into_response();
            }
            let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK);
            let headers = [
                ("idempotent-replayed", "true"),
                ("content-type", "application/json"),
            ];
            return (status, headers, first.body).into_response();
        }
    }
    let shape = asked
        .header("stripe-version")
        .map_or(Shape::Newer, Shape::of_version);
    let (status, body) = match answer(sim, asked, shape) {
        Ok(object) => (StatusCode::OK, object),
        Err(error) => (error.status, error.body()),
    };
    if let Some(key) = key {
        // Parameters that were refused before anything ran are not remembered; all else is.
        let ran = status != StatusCode::BAD_REQUEST && status != StatusCode::NOT_FOUND;
        if ran {
            let first = Idempotent {
                request: fingerprint,
                status: status.as_u16(),
                body: body.to_string(),
                at: now,
            };
            sim.lock().idempotency.insert(key.to_owned(), first);
        }
    }
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

fn authenticate(sim: &StripeSim, asked: &Asked<'_>) -> Result<(), ApiError> {
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

fn answer(sim: &StripeSim, asked: &Asked<'_>, shape: Shape) -> Result<Value, ApiError> {
    let (parameters, expand) = params::parse(asked.form);
    let path = asked.path.trim_start_matches("/v1/");
    let segments: Vec<&str> = path.split('/').collect();
    let object = sim.change(|state, now| route(state, asked.method, &segments, parameters, now))?;
    let mut object = shape.render(&object);
    let state = sim.lock();
    for path in &expand {
        let parts: Vec<&str> = path.split('.').collect();
        expand_one(&state, &mut object, &parts, shape)?;
    }
    Ok(object)
}

/// What a path means.
pub(super) fn route(
    state: &mut State,
    method: &str,
    segments: &[&str],
    params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    match (method, segments) {
        ("POST", ["customers"]) => customers::create(state, params, now),
        ("GET", ["customers", "search"]) => customers::search(state, params),
        ("GET", ["customers"]) => state.list("customer", "/v1/customers", params, &["email"]),
        ("POST", ["customers", id]) => customers::update(state, id, params, now),
        ("DELETE", ["customers", id]) => customers::delete(state, id, now),
        ("POST", ["products"]) => prices::create_product(state, params, now),
        ("GET", ["products"]) => state.list("product", "/v1/products", params, &[]),
        ("POST", ["prices"]) => prices::create(state, params, now),
        ("GET", ["prices"]) => state.list("price", "/v1/prices", params, &["product"]),
        ("POST", ["subscriptions"]) => subscriptions::create(state, params, now),
        ("GET", ["subscriptions"]) => state.list(
            "subscription",
            "/v1/subscriptions",
            params,
            &["customer", "status"],
        ),
        ("POST", ["subscriptions", id]) => subscriptions::update(state, id, params, now),
        ("DELETE", ["subscriptions", id]) => subscriptions::cancel(state, id, params, now),
        ("POST", ["invoices"]) => invoices::create(state, params, now),
        ("GET", ["invoices"]) => state.list(
            "invoice",
            "/v1/invoices",
            params,
            &["customer", "subscription", "status"],
        ),
        ("POST", ["invoices", id]) => invoices::update(state, id, params, now),
        ("POST", ["invoices", id, "finalize"]) => {
            let mut params = params;
            params.flag("auto_advance")?;
            params.finish()?;
            invoices::finalize(state, id, now)
        }
        ("POST", ["invoices", id, "pay"]) => {
            let mut params = params;
            let out_of_band = params.flag("paid_out_of_band")?.unwrap_or(false);
            params.finish()?;
            if out_of_band {
                invoices::pay(state, id, now)
            } else {
                // Customers here have no payment method of their own.
                state.find("invoice", id, None)?;
                invoices::fail(state, id, now)?;
                Err(ApiError::declined())
            }
        }
        ("POST", ["invoices", id, "void"]) => invoices::close(state, id, "void", now),
        ("POST", ["invoices", id, "mark_uncollectible"]) => {
            invoices::close(state, id, "uncollectible", now)
        }
        ("POST", ["invoiceitems"]) => invoices::create_item(state, params, now),
        ("GET", ["invoiceitems"]) => state.list(
            "invoiceitem",
            "/v1/invoiceitems",
            params,
            &["customer", "invoice"],
        ),
        ("GET", ["invoice_payments"]) => invoices::payments(state, params),
        ("GET", ["events"]) => state.list("event", "/v1/events", params, &["type"]),
        ("GET", [resource, id]) => {
            let kind = match *resource {
                "customers" => "customer",
                "products" => "product",
                "prices" => "price",
                "subscriptions" => "subscription",
                "invoices" => "invoice",
                "invoiceitems" => "invoiceitem",
                "payment_intents" => "payment_intent",
                "events" => "event",
                _ => return Err(ApiError::no_path(method, &segments.join("/"))),
            };
            params.finish()?;
            state.find(kind, id, None)
        }
        _ => Err(ApiError::no_path(method, &segments.join("/"))),
    }
}

/// Replaces the id at a path by the object it names. <https://docs.stripe.com/expand>
fn expand_one(
    state: &State,
    value: &mut Value,
    path: &[&str],
    shape: Shape,
) -> Result<(), ApiError> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if *first == "data"
        && let Some(items) = value.get_mut("data").and_then(Value::as_array_mut)
    {
        return items
            .iter_mut()
            .try_for_each(|item| expand_one(state, item, rest, shape));
    }
    let Some(field) = value.get_mut(*first) else {
        let message = format!("This property cannot be expanded ({first}).");
        return Err(ApiError::coded(
            "parameter_invalid",
            Some("expand"),
            message,
        ));
    };
    if let Some(object) = field.as_str().and_then(|id| state.get(id)) {
        *field = shape.render(object);
    }
    if field.is_null() {
        Ok(())
    } else {
        expand_one(state, field, rest, shape)
    }
}
