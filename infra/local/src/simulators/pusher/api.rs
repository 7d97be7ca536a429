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
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use super::PusherSim;
use super::channels::{Channels, is_channel_name};

/// Largest data of an event, bytes.
const MOST_DATA: usize = 10 * 1024;

/// Channels of one event, at most.
const MOST_CHANNELS: usize = 100;

/// Events of one batch, at most.
const MOST_EVENTS: usize = 10;

/// How far a request's time may be from now, seconds.
const TOLERANCE: i64 = 600;

/// Why a request is refused; Pusher answers in plain text.
pub(super) struct Refusal(StatusCode, String);

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
    info: Option<String>,
}

#[derive(Deserialize)]
struct Batch {
    batch: Vec<Event>,
}

/// What can be told of a channel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    SubscriptionCount,
    UserCount,
}

pub(super) async fn events(
    State(sim): State<PusherSim>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    authenticate(&sim, &method, &uri, &body)?;
    let event: Event = read(&body)?;
    let wanted = check(&event)?;
    let channels = sim.lock();
    publish(&channels, &event);
    if event.info.is_none() {
        return Ok(Json(json!({})));
    }
    let described: Map<String, Value> = event
        .all_channels()
        .map(|name| (name.clone(), describe(&channels, name, &wanted).into()))
        .collect();
    Ok(Json(json!({ "channels": described })))
}

pub(super) async fn batch_events(
    State(sim): State<PusherSim>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    authenticate(&sim, &method, &uri, &body)?;
    let Batch { batch } = read(&body)?;
    if batch.len() > MOST_EVENTS {
        return Err(bad(format!("Batch too large (> {MOST_EVENTS} events)")));
    }
    let channels = sim.lock();
    let mut described = Vec::new();
    // All of them are checked before the first is published.
    for event in &batch {
        let wanted = check(event)?;
        let (Some(channel), []) = (&event.channel, event.channels.as_slice()) else {
            return Err(bad("An event of a batch goes to one channel".to_owned()));
        };
        described.push(describe(&channels, channel, &wanted));
    }
    for event in &batch {
        publish(&channels, event);
    }
    if batch.iter().all(|event| event.info.is_none()) {
        return Ok(Json(json!({})));
    }
    Ok(Json(json!({ "batch": described })))
}

pub(super) async fn channels(
    State(sim): State<PusherSim>,
    method: Method,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    let query = authenticate(&sim, &method, &uri, b"")?;
    let prefix = query.get("filter_by_prefix").map_or("", String::as_str);
    let wanted = attributes(query.get("info"))?;
    if wanted.contains(&Attribute::SubscriptionCount) {
        let message = "subscription_count is told of one channel only".to_owned();
        return Err(bad(message));
    }
    if wanted.contains(&Attribute::UserCount) && !is_presence(prefix) {
        let message = "user_count is told of presence channels only: filter_by_prefix=presence-";
        return Err(bad(message.to_owned()));
    }
    let channels = sim.lock();
    let found = channels.occupied().into_keys();
    let described: Map<String, Value> = found
        .filter(|name| name.starts_with(prefix))
        .map(|name| {
            let info = describe(&channels, &name, &wanted);
            (name, info.into())
        })
        .collect();
    Ok(Json(json!({ "channels": described })))
}

pub(super) async fn channel(
    State(sim): State<PusherSim>,
    Path((_, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    let query = authenticate(&sim, &method, &uri, b"")?;
    let wanted = attributes(query.get("info"))?;
    if wanted.contains(&Attribute::UserCount) && !is_presence(&name) {
        let message = "user_count is told of presence channels only".to_owned();
        return Err(bad(message));
    }
    let channels = sim.lock();
    let mut info = describe(&channels, &name, &wanted);
    let occupied = channels.occupied().contains_key(&name);
    info.insert("occupied".to_owned(), occupied.into());
    Ok(Json(info.into()))
}

pub(super) async fn users(
    State(sim): State<PusherSim>,
    Path((_, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    authenticate(&sim, &method, &uri, b"")?;
    if !is_presence(&name) {
        let message = "Users can only be retrieved for presence channels".to_owned();
        return Err(bad(message));
    }
    let users: Vec<Value> = sim
        .lock()
        .users(&name)
        .iter()
        .map(|id| json!({ "id": id }))
        .collect();
    Ok(Json(json!({ "users": users })))
}

impl Event {
    /// The channels it goes to.
    fn all_channels(&self) -> impl Iterator<Item = &String> {
        self.channels.iter().chain(&self.channel)
    }
}

fn bad(message: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message)
}

fn is_presence(channel: &str) -> bool {
    channel.starts_with("presence-")
}

/// The attributes that are asked for, by their names with commas between them.
fn attributes(info: Option<&String>) -> Result<Vec<Attribute>, Refusal> {
    let names = info.iter().flat_map(|info| info.split(','));
    names
        .map(|name| match name {
            "subscription_count" => Ok(Attribute::SubscriptionCount),
            "user_count" => Ok(Attribute::UserCount),
            _ => Err(bad(format!("Unknown attribute: {name}"))),
        })
        .collect()
}

/// Those attributes that a channel of this kind has.
fn describe(channels: &Channels, name: &str, wanted: &[Attribute]) -> Map<String, Value> {
    let mut info = Map::new();
    for attribute in wanted {
        match attribute {
            Attribute::SubscriptionCount => {
                let count = channels.occupied().get(name).copied().unwrap_or(0);
                info.insert("subscription_count".to_owned(), count.into());
            }
            Attribute::UserCount if is_presence(name) => {
                let count = channels.users(name).len();
                info.insert("user_count".to_owned(), count.into());
            }
            Attribute::UserCount => {}
        }
    }
    info
}

/// Whether an event can be published; what is to be told of its channels.
fn check(event: &Event) -> Result<Vec<Attribute>, Refusal> {
    if event.data.len() > MOST_DATA {
        let message = format!(
            "The data content of this event exceeds the allowed maximum ({MOST_DATA} bytes)"
        );
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    if !(1..=MOST_CHANNELS).contains(&event.all_channels().count()) {
        let message = format!("An event goes to 1 to {MOST_CHANNELS} channels");
        return Err(bad(message));
    }
    if let Some(name) = event.all_channels().find(|name| !is_channel_name(name)) {
        return Err(bad(format!("Invalid channel name: {name}")));
    }
    attributes(event.info.as_ref())
}

fn publish(channels: &Channels, event: &Event) {
    for channel in event.all_channels() {
        channels.publish(
            channel,
            &event.name,
            &event.data,
            event.socket_id.as_deref(),
        );
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
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
    let expected = app.sign(&to_sign(method, uri.path(), &query));
    if !bool::from(expected.as_bytes().ct_eq(text("auth_signature").as_bytes())) {
        return refuse(
            "Invalid signature: you should have sent HmacSHA256Hex of the request".to_owned(),
        );
    }
    Ok(query)
}

/// What a request's signature is made of: its parameters by their names in small letters.
fn to_sign(method: &Method, path: &str, query: &BTreeMap<String, String>) -> String {
    let mut signed: Vec<(String, &String)> = query
        .iter()
        .filter(|(name, _)| *name != "auth_signature")
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    signed.sort();
    let signed: Vec<String> = signed
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{method}\n{path}\n{}", signed.join("&"))
}

/// Requests are signed by the real clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the signed time is read by a real process"
)]
fn real_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Pusher's documentation.
    #[test]
    fn parameters_are_signed_in_the_order_of_their_small_letters() {
        let query = [("Name", "Something else"), ("auth_key", "foo")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            to_sign(&Method::GET, "/some/resource", &query.into()),
            "GET\n/some/resource\nauth_key=foo&name=Something else"
        );
    }
}
