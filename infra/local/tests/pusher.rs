//! The Pusher server over its own protocols.

#[path = "support/socket.rs"]
mod socket;

use bitflow_local::console::witness::Witness;
use bitflow_local::simulators::pusher::PusherSim;
use bitflow_realtime::auth::App;
use futures_util::StreamExt;
use jiff::Timestamp;
use reqwest::Response;
use serde_json::{Value, json};
use socket::Client;
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

async fn server() -> (String, App, PusherSim) {
    let app = App {
        id: "1".into(),
        key: "key".into(),
        secret: "secret".to_owned().into(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let sim = PusherSim::start(listener, app.clone(), Witness::default());
    (address, app, sim)
}

async fn post(address: &str, app: &App, to: &str, body: &Value, at: Timestamp) -> Response {
    let path = format!("/apps/1/{to}");
    let body = body.to_string();
    let query = app.sign_request("POST", &path, body.as_bytes(), at);
    let url = format!("http://{address}{path}?{query}");
    let sent = reqwest::Client::new().post(url).body(body).send().await;
    sent.expect("answered")
}

/// Asks with parameters that come after those of every request.
async fn get(address: &str, app: &App, what: &str, parameters: &str) -> (u16, Value) {
    let path = format!("/apps/1/{what}");
    let query = format!(
        "auth_key={}&auth_timestamp={}&auth_version=1.0{parameters}",
        app.key,
        now().as_second()
    );
    let signature = app.sign(&format!("GET\n{path}\n{query}"));
    let url = format!("http://{address}{path}?{query}&auth_signature={signature}");
    let answer = reqwest::get(url).await.expect("answered");
    let status = answer.status().as_u16();
    let body = answer.text().await.expect("a body");
    let value = serde_json::from_str(&body).unwrap_or_else(|_| body.into());
    (status, value)
}

async fn trigger(address: &str, app: &App, channel: &str, at: Timestamp) -> u16 {
    let event = json!({ "name": "alert.created", "channels": [channel], "data": "{\"a\":1}" });
    let answer = post(address, app, "events", &event, at).await;
    answer.status().as_u16()
}

#[expect(
    clippy::disallowed_methods,
    reason = "requests are signed by the real clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn a_private_channel_hears_what_is_triggered() {
    let (address, app, _sim) = server().await;
    let channel = "private-bitflow-admin";
    let mut client = Client::connect(&address, &app.key).await;
    let refused = client.subscribe(channel, "key:wrong").await;
    assert_eq!(
        (&refused["event"], &refused["data"]["code"]),
        (&json!("pusher:error"), &json!(4009))
    );

    let auth = app.sign_subscription(&client.socket_id, channel, None);
    let taken = client.subscribe(channel, &auth).await;
    assert_eq!(taken["event"], "pusher_internal:subscription_succeeded");
    assert_eq!(trigger(&address, &app, channel, now()).await, 200);
    assert_eq!(
        client.next().await,
        json!({ "event": "alert.created", "channel": channel, "data": "{\"a\":1}" })
    );
    client
        .send(json!({ "event": "pusher:ping", "data": {} }))
        .await;
    assert_eq!(client.next().await["event"], "pusher:pong");

    let mut other = Client::connect(&address, &app.key).await;
    let auth = app.sign_subscription(&other.socket_id, channel, None);
    other.subscribe(channel, &auth).await;
    other
        .send(json!({ "event": "client-typing", "channel": channel, "data": { "x": 1 } }))
        .await;
    assert_eq!(client.next().await["event"], "client-typing");
}

#[tokio::test]
async fn members_of_a_presence_channel_know_each_other() {
    let (address, app, _sim) = server().await;
    let channel = "presence-bitflow-admin";
    let join = async |client: &mut Client, id: &str| {
        let data = json!({ "user_id": id, "user_info": { "name": id } }).to_string();
        let auth = app.sign_subscription(&client.socket_id, channel, Some(&data));
        let data = json!({ "channel": channel, "auth": auth, "channel_data": data });
        client
            .send(json!({ "event": "pusher:subscribe", "data": data }))
            .await;
        client.next().await
    };
    let mut first = Client::connect(&address, &app.key).await;
    join(&mut first, "a").await;
    let mut second = Client::connect(&address, &app.key).await;
    let seen = join(&mut second, "b").await;
    let presence: Value = serde_json::from_str(seen["data"].as_str().expect("text")).expect("JSON");
    assert_eq!(presence["presence"]["ids"], json!(["a", "b"]));
    assert_eq!(first.next().await["event"], "pusher_internal:member_added");
    drop(second);
    assert_eq!(
        first.next().await["event"],
        "pusher_internal:member_removed"
    );
}

#[tokio::test]
async fn who_listens_is_told_with_an_event() {
    let (address, app, _sim) = server().await;
    let mut client = Client::connect(&address, &app.key).await;
    client.subscribe("news", "").await;
    let event = json!({
        "name": "alert.created",
        "channels": ["news", "presence-owners"],
        "data": "{}",
        "info": "user_count,subscription_count",
    });
    let answer = post(&address, &app, "events", &event, now()).await;
    let told: Value = answer.json().await.expect("JSON");
    let channels = json!({
        "news": { "subscription_count": 1 },
        "presence-owners": { "subscription_count": 0, "user_count": 0 },
    });
    assert_eq!(told, json!({ "channels": channels }));

    let unknown = json!({ "name": "a", "channel": "news", "data": "{}", "info": "mood" });
    let answer = post(&address, &app, "events", &unknown, now()).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn channels_are_asked_for_what_they_have() {
    let (address, app, _sim) = server().await;
    let mut client = Client::connect(&address, &app.key).await;
    client.subscribe("news", "").await;
    let ask = async |what: &str, parameters: &str| get(&address, &app, what, parameters).await;
    assert_eq!(
        ask("channels", "").await,
        (200, json!({ "channels": { "news": {} } }))
    );
    assert_eq!(
        ask("channels", "&filter_by_prefix=presence-&info=user_count").await,
        (200, json!({ "channels": {} }))
    );
    assert_eq!(
        ask("channels/news", "&info=subscription_count").await,
        (200, json!({ "occupied": true, "subscription_count": 1 }))
    );
    assert_eq!(
        ask("channels/presence-a", "&info=user_count").await,
        (200, json!({ "occupied": false, "user_count": 0 }))
    );
    for (what, parameters) in [
        ("channels", "&info=user_count"),
        ("channels", "&filter_by_prefix=n&info=user_count"),
        ("channels", "&info=subscription_count"),
        ("channels/news", "&info=user_count"),
        ("channels/news", "&info=mood"),
        ("channels/news/users", ""),
    ] {
        let (status, why) = ask(what, parameters).await;
        assert_eq!(status, 400, "{what} {parameters}: {why}");
        assert!(why.is_string(), "{what} {parameters}: {why}");
    }
}

#[tokio::test]
async fn a_batch_with_a_wrong_event_is_not_published() {
    let (address, app, _sim) = server().await;
    let mut client = Client::connect(&address, &app.key).await;
    client.subscribe("news", "").await;
    let good = json!({ "name": "good", "channel": "news", "data": "{}" });
    let of_two = json!({ "name": "of two", "channels": ["news", "other"], "data": "{}" });
    let nowhere = json!({ "name": "nowhere", "channel": "no spaces", "data": "{}" });
    for wrong in [of_two, nowhere] {
        let batch = json!({ "batch": [good, wrong] });
        let answer = post(&address, &app, "batch_events", &batch, now()).await;
        assert_eq!(answer.status(), 400, "{batch}");
    }
    assert_eq!(trigger(&address, &app, "news", now()).await, 200);
    assert_eq!(client.next().await["event"], "alert.created");
}

#[tokio::test]
async fn strangers_are_refused() {
    let (address, app, _sim) = server().await;
    let late = now() - jiff::SignedDuration::from_mins(11);
    assert_eq!(
        trigger(&address, &app, "public", late).await,
        401,
        "an old request"
    );
    let other = App {
        secret: "other".to_owned().into(),
        ..app.clone()
    };
    assert_eq!(
        trigger(&address, &other, "public", now()).await,
        401,
        "another secret"
    );
    assert_eq!(
        trigger(&address, &app, "no spaces", now()).await,
        400,
        "no channel name"
    );

    let (mut socket, _) = connect_async(format!("ws://{address}/app/nobody?protocol=7"))
        .await
        .expect("connected");
    let first = socket.next().await.expect("open").expect("a message");
    assert!(first.to_string().contains("4001"), "{first}");
    let last = socket.next().await.expect("open").expect("a message");
    let Message::Close(Some(frame)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(u16::from(frame.code), 4001);
}
