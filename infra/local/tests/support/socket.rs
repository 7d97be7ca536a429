//! A client of the Pusher protocol, as bare as it can be.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A browser's connection.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What its subscriptions are signed for.
    pub(crate) socket_id: String,
}

impl Client {
    pub(crate) async fn connect(address: &str, key: &str) -> Self {
        let url = format!("ws://{address}/app/{key}?protocol=7&client=js&version=8.4.0");
        let (socket, _) = connect_async(url).await.expect("connected");
        let mut client = Self {
            socket,
            socket_id: String::new(),
        };
        let hello = client.next().await;
        assert_eq!(hello["event"], "pusher:connection_established");
        let data: Value =
            serde_json::from_str(hello["data"].as_str().expect("text")).expect("JSON");
        data["socket_id"]
            .as_str()
            .expect("an id")
            .clone_into(&mut client.socket_id);
        client
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.socket
            .send(Message::Text(message.to_string().into()))
            .await
            .expect("sent");
    }

    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.socket.next().await.expect("open").expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Close(frame) => {
                    return json!({ "closed": frame.map(|it| u16::from(it.code)) });
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, channel: &str, auth: &str) -> Value {
        self.subscribe_as(channel, &json!({ "auth": auth })).await
    }

    /// Subscribes with what the authorization endpoint answered.
    pub(crate) async fn subscribe_as(&mut self, channel: &str, answer: &Value) -> Value {
        let mut data = answer.clone();
        data["channel"] = channel.into();
        self.send(json!({ "event": "pusher:subscribe", "data": data }))
            .await;
        self.next().await
    }
}
