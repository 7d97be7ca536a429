//! Protocol 7 over WebSocket.
//! <https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/>

use std::collections::BTreeMap;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::PusherSim;
use super::channels::{Member, is_channel_name};

/// Seconds of silence after which a client pings.
const ACTIVITY_TIMEOUT: u32 = 120;

/// An error in the protocol's own terms.
struct Refusal {
    code: u16,
    message: String,
}

pub(super) async fn accept(
    State(sim): State<PusherSim>,
    Path(key): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refusal = match query.get("protocol").map(String::as_str) {
        _ if key != sim.app().key => Some(Refusal {
            code: 4001,
            message: format!("App key {key} not in this cluster."),
        }),
        None => Some(Refusal {
            code: 4008,
            message: "No protocol version supplied".to_owned(),
        }),
        Some("5" | "6" | "7") => None,
        Some(_) => Some(Refusal {
            code: 4007,
            message: "Unsupported protocol version".to_owned(),
        }),
    };
    upgrade.on_upgrade(async move |socket| match refusal {
        Some(refusal) => refuse(socket, refusal).await,
        None => talk(socket, sim).await,
    })
}

/// An error, then the end with the same code.
async fn refuse(mut socket: WebSocket, refusal: Refusal) {
    let frame = CloseFrame {
        code: refusal.code,
        reason: refusal.message.clone().into(),
    };
    // A client that is gone already needs no answer.
    let _ = socket.send(Message::Text(error(&refusal).into())).await;
    let _ = socket.send(Message::Close(Some(frame))).await;
}

async fn talk(socket: WebSocket, sim: PusherSim) {
    let socket_id = format!("{}.{}", rand::random::<u32>(), rand::random::<u32>());
    let (outbox, mut outgoing) = mpsc::unbounded_channel::<String>();
    let (mut sink, mut incoming) = socket.split();
    let established =
        json!({ "socket_id": socket_id, "activity_timeout": ACTIVITY_TIMEOUT }).to_string();
    let hello = json!({ "event": "pusher:connection_established", "data": established });
    let _ = outbox.send(hello.to_string());
    sim.lock().connect(&socket_id, outbox.clone());
    loop {
        tokio::select! {
            Some(text) = outgoing.recv() => {
                if sink.send(Message::Text(text.into())).await.is_err() {
                    break;
                }
            }
            message = incoming.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(answer) = heard(&sim, &socket_id, &text) {
                        let _ = outbox.send(answer);
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    sim.lock().disconnect(&socket_id);
}

/// What a message is answered with.
fn heard(sim: &PusherSim, socket_id: &str, text: &str) -> Option<String> {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Some(error(&Refusal {
            code: 4200,
            message: "Invalid JSON".to_owned(),
        }));
    };
    let data = &message["data"];
    match message["event"].as_str().unwrap_or_default() {
        "pusher:ping" => Some(json!({ "event": "pusher:pong", "data": "{}" }).to_string()),
        "pusher:subscribe" => match subscribe(sim, socket_id, data) {
            Ok(answer) => Some(answer),
            Err(refusal) => Some(error(&refusal)),
        },
        "pusher:unsubscribe" => {
            sim.lock()
                .unsubscribe(socket_id, data["channel"].as_str().unwrap_or_default());
            None
        }
        event if event.starts_with("client-") => {
            let channel = message["channel"].as_str().unwrap_or_default();
            let may = channel.starts_with("private-") || channel.starts_with("presence-");
            if may && sim.lock().client_event(socket_id, channel, event, data) {
                return None;
            }
            let message =
                "Client events are for subscribers of private and presence channels".to_owned();
            Some(error(&Refusal {
                code: 4301,
                message,
            }))
        }
        _ => None,
    }
}

fn subscribe(sim: &PusherSim, socket_id: &str, data: &Value) -> Result<String, Refusal> {
    let channel = data["channel"].as_str().unwrap_or_default();
    if !is_channel_name(channel) {
        return Err(Refusal {
            code: 4200,
            message: format!("Invalid channel name: {channel}"),
        });
    }
    let presence = channel.starts_with("presence-");
    let channel_data = data["channel_data"].as_str().filter(|_| presence);
    if presence || channel.starts_with("private-") {
        let expected = sim
            .app()
            .sign_subscription(socket_id, channel, channel_data);
        let given = data["auth"].as_str().unwrap_or_default();
        if !bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
            let message = format!("Connection is unauthorized for {channel}: invalid signature");
            return Err(Refusal {
                code: 4009,
                message,
            });
        }
    }
    let member = match channel_data.map(serde_json::from_str::<Value>) {
        None if presence => {
            let message = "A presence channel needs channel_data".to_owned();
            return Err(Refusal {
                code: 4009,
                message,
            });
        }
        None => None,
        Some(Ok(data)) if !data["user_id"].is_null() => Some(Member {
            user_id: data["user_id"]
                .as_str()
                .map_or_else(|| data["user_id"].to_string(), str::to_owned),
            user_info: data["user_info"].clone(),
        }),
        Some(_) => {
            let message = "channel_data needs a user_id".to_owned();
            return Err(Refusal {
                code: 4009,
                message,
            });
        }
    };
    let data = sim.lock().subscribe(socket_id, channel, member);
    let answer = json!({
        "event": "pusher_internal:subscription_succeeded",
        "channel": channel,
        "data": data.to_string(),
    });
    Ok(answer.to_string())
}

fn error(refusal: &Refusal) -> String {
    let data = json!({ "code": refusal.code, "message": refusal.message });
    json!({ "event": "pusher:error", "data": data }).to_string()
}
