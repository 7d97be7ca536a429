//! The Pusher server over its own protocols.

#[path = "support/socket.rs"]
mod socket;

use bitflow_local::simulators::pusher::PusherSim;
use bitflow_realtime::auth::App;
use futures_util::StreamExt;
use jiff::Timestamp;
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
    let sim = PusherSim::start(listener, app.clone());
    (address, app, sim)
}

async fn trigger(address: &str, app: &App, channel: &str, at: Timestamp) -> u16 {
    let body =
        json!({ "name": "alert.created", "channels": [channel], "data": "{\"a\":1}" }).to_string();
    let query = app.sign_request("POST", "/apps/1/events", body.as_bytes(), at);
    let url = format!("http://{address}/apps/1/events?{query}");
    let answer = reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .expect("answered");
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
