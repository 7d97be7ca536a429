//! The signed HTTP API. <https://pusher.com/docs/channels/library_auth_reference/rest-api/>

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::PusherSim;
use super::channels::is_channel_name;

/// Largest data of an event, bytes.
const MOST_DATA: usize = 10 * 1024;

/// Channels of one event, at most.
const MOST_CHANNELS: usize = 100;

/// Events of one batch, at most.
const MOST_EVENTS: usize = 10;

/// How far a request's time may be from now, seconds.
const TOLERANCE: i64 = 600;

/// Why a request is refused; Pusher answers in plain text.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

#[derive(Deserialize)]
struct Event {
    name: String,
    data: String,
    #[serde(default)]
    channels: Vec<String>,
    channel: Option<String>,
    socket_id: Option<String>,
}

#[derive(Deserialize)]
struct Batch {
    batch: Vec<Event>,
}

pub(super) async fn events(
    State(sim): State<PusherSim>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let published = authenticate(&sim, &method, &uri, &body).and_then(|_| {
        let event: Event = read(&body)?;
        check(&event)?;
        publish(&sim, &event);
        Ok(())
    });
    match published {
        Ok(()) => Json(json!({})).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn batch_events(
    State(sim): State<PusherSim>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let published = authenticate(&sim, &method, &uri, &body).and_then(|_| {
        let Batch { batch } = read(&body)?;
        if batch.len() > MOST_EVENTS {
            let message = format!("Batch too large (> {MOST_EVENTS} events)");
            return Err(Refusal(StatusCode::BAD_REQUEST, message));
        }
        // All of them are checked before the first is published.
        batch.iter().try_for_each(check)?;
        for event in &batch {
            publish(&sim, event);
        }
        Ok(())
    });
    match published {
        Ok(()) => Json(json!({})).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn channels(State(sim): State<PusherSim>, method: Method, uri: Uri) -> Response {
    let query = match authenticate(&sim, &method, &uri, b"") {
        Ok(query) => query,
        Err(refusal) => return refusal.into_response(),
    };
    let prefix = query.get("filter_by_prefix").map_or("", String::as_str);
    let channels = sim.lock();
    let found = channels
        .occupied()
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix));
    let described: serde_json::Map<String, Value> = found
        .map(|(name, count)| {
            let mut info = json!({});
            add_info(&mut info, &query, count, channels.users(&name).len());
            (name, info)
        })
        .collect();
    Json(json!({ "channels": described })).into_response()
}

pub(super) async fn channel(
    State(sim): State<PusherSim>,
    Path((_, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
) -> Response {
    let query = match authenticate(&sim, &method, &uri, b"") {
        Ok(query) => query,
        Err(refusal) => return refusal.into_response(),
    };
    let channels = sim.lock();
    let count = channels.occupied().get(&name).copied().unwrap_or(0);
    let mut info = json!({ "occupied": count > 0 });
    add_info(&mut info, &query, count, channels.users(&name).len());
    Json(info).into_response()
}

pub(super) async fn users(
    State(sim): State<PusherSim>,
    Path((_, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
) -> Response {
    if let Err(refusal) = authenticate(&sim, &method, &uri, b"") {
        return refusal.into_response();
    }
    if !name.starts_with("presence-") {
        let message = "Users can only be retrieved for presence channels".to_owned();
        return Refusal(StatusCode::BAD_REQUEST, message).into_response();
    }
    let users: Vec<Value> = sim
        .lock()
        .users(&name)
        .iter()
        .map(|id| json!({ "id": id }))
        .collect();
    Json(json!({ "users": users })).into_response()
}

fn add_info(
    info: &mut Value,
    query: &BTreeMap<String, String>,
    subscriptions: usize,
    users: usize,
) {
    for wanted in query.get("info").map_or("", String::as_str).split(',') {
        match wanted {
            "subscription_count" => info["subscription_count"] = subscriptions.into(),
            "user_count" => info["user_count"] = users.into(),
            _ => {}
        }
    }
}

fn check(event: &Event) -> Result<(), Refusal> {
    let refuse = |status, message: String| Err(Refusal(status, message));
    if event.data.len() > MOST_DATA {
        let message = format!(
            "The data content of this event exceeds the allowed maximum ({MOST_DATA} bytes)"
        );
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    let channels: Vec<&String> = event.channels.iter().chain(&event.channel).collect();
    if channels.is_empty() || channels.len() > MOST_CHANNELS {
        let message = format!("An event goes to 1 to {MOST_CHANNELS} channels");
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    match channels.iter().find(|name| !is_channel_name(name)) {
        Some(name) => refuse(
            StatusCode::BAD_REQUEST,
            format!("Invalid channel name: {name}"),
        ),
        None => Ok(()),
    }
}

fn publish(sim: &PusherSim, event: &Event) {
    let channels = sim.lock();
    for channel in event.channels.iter().chain(&event.channel) {
        channels.publish(
            channel,
            &event.name,
            &event.data,
            event.socket_id.as_deref(),
        );
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

/// Checks key, time, body digest and signature; the query's parameters.
fn authenticate(
    sim: &PusherSim,
    method: &Method,
    uri: &Uri,
    body: &[u8],
) -> Result<BTreeMap<String, String>, Refusal> {
    let refuse = |message: String| Err(Refusal(StatusCode::UNAUTHORIZED, message));
    let app = sim.app();
    if uri.path().split('/').nth(2) != Some(app.id.as_str()) {
        return Err(Refusal(StatusCode::NOT_FOUND, "Unknown app".to_owned()));
    }
    let query = uri.query().unwrap_or_default();
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    if text("auth_key") != app.key {
        return refuse(format!("Unknown auth_key {}", text("auth_key")));
    }
    if text("auth_version") != "1.0" {
        return refuse("auth_version must be 1.0".to_owned());
    }
    let at: i64 = text("auth_timestamp").parse().unwrap_or(0);
    if real_now().as_second().abs_diff(at) > TOLERANCE.unsigned_abs() {
        return refuse(format!(
            "Timestamp expired: given {at}, and {TOLERANCE} s are allowed"
        ));
    }
    if !body.is_empty() && text("body_md5") != hex::encode(Md5::digest(body)) {
        return refuse("Invalid body_md5".to_owned());
    }
    let signed: Vec<String> = query
        .iter()
        .filter(|(name, _)| *name != "auth_signature")
        .map(|(name, value)| format!("{}={value}", name.to_lowercase()))
        .collect();
    let expected = app.sign(&format!("{method}\n{}\n{}", uri.path(), signed.join("&")));
    if !bool::from(expected.as_bytes().ct_eq(text("auth_signature").as_bytes())) {
        return refuse(
            "Invalid signature: you should have sent HmacSHA256Hex of the request".to_owned(),
        );
    }
    Ok(query)
}

/// Requests are signed by the real clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the signed time is read by a real process"
)]
fn real_now() -> Timestamp {
    Timestamp::now()
}
