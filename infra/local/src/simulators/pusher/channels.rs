//! Connections and the channels they listen to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

/// Everybody who is connected.
#[derive(Debug, Default)]
pub(super) struct Channels {
    connections: BTreeMap<String, Connection>,
}

#[derive(Debug)]
struct Connection {
    outbox: UnboundedSender<String>,
    /// By channel; on a presence channel with who it is.
    subscriptions: BTreeMap<String, Option<Member>>,
}

/// Who is on a presence channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) user_id: String,
    pub(super) user_info: Value,
}

impl Channels {
    pub(super) fn connect(&mut self, socket_id: &str, outbox: UnboundedSender<String>) {
        let connection = Connection {
            outbox,
            subscriptions: BTreeMap::new(),
        };
        self.connections.insert(socket_id.to_owned(), connection);
    }

    /// Forgets a connection; those on its presence channels hear of it.
    pub(super) fn disconnect(&mut self, socket_id: &str) {
        let channels: Vec<String> = self
            .connections
            .get(socket_id)
            .map(|connection| connection.subscriptions.keys().cloned().collect())
            .unwrap_or_default();
        for channel in channels {
            self.unsubscribe(socket_id, &channel);
        }
        self.connections.remove(socket_id);
    }

    /// Subscribes; the data of `subscription_succeeded`.
    pub(super) fn subscribe(
        &mut self,
        socket_id: &str,
        channel: &str,
        member: Option<Member>,
    ) -> Value {
        if let Some(member) = &member
            && !self.users(channel).contains(&member.user_id)
        {
            let data = json!({ "user_id": member.user_id, "user_info": member.user_info });
            self.publish(
                channel,
                "pusher_internal:member_added",
                &data.to_string(),
                None,
            );
        }
        let presence = member.is_some();
        if let Some(connection) = self.connections.get_mut(socket_id) {
            connection.subscriptions.insert(channel.to_owned(), member);
        }
        if !presence {
            return json!({});
        }
        let members: BTreeMap<&str, &Value> = self
            .members(channel)
            .map(|member| (member.user_id.as_str(), &member.user_info))
            .collect();
        let ids: Vec<&&str> = members.keys().collect();
        json!({ "presence": { "count": members.len(), "ids": ids, "hash": members } })
    }

    pub(super) fn unsubscribe(&mut self, socket_id: &str, channel: &str) {
        let removed = self
            .connections
            .get_mut(socket_id)
            .and_then(|connection| connection.subscriptions.remove(channel));
        if let Some(Some(member)) = removed
            && !self.users(channel).contains(&member.user_id)
        {
            let data = json!({ "user_id": member.user_id });
            self.publish(
                channel,
                "pusher_internal:member_removed",
                &data.to_string(),
                None,
            );
        }
    }

    /// Sends an event to all who listen to `channel`, but for one.
    pub(super) fn publish(&self, channel: &str, event: &str, data: &str, except: Option<&str>) {
        let message = json!({ "event": event, "channel": channel, "data": data });
        self.send(channel, &message, except);
    }

    /// A client's event, to all others on its channel; false where the client is not on it.
    pub(super) fn client_event(
        &self,
        from: &str,
        channel: &str,
        event: &str,
        data: &Value,
    ) -> bool {
        let own = self
            .connections
            .get(from)
            .and_then(|it| it.subscriptions.get(channel));
        let Some(member) = own else { return false };
        let mut message = json!({ "event": event, "channel": channel, "data": data });
        if let Some(member) = member {
            message["user_id"] = member.user_id.as_str().into();
        }
        self.send(channel, &message, Some(from));
        true
    }

    /// The channels that somebody listens to, with how many connections do.
    pub(super) fn occupied(&self) -> BTreeMap<String, usize> {
        let mut occupied = BTreeMap::new();
        for channel in self
            .connections
            .values()
            .flat_map(|it| it.subscriptions.keys())
        {
            *occupied.entry(channel.clone()).or_insert(0) += 1;
        }
        occupied
    }

    /// Every connection, with the channels that it listens to.
    pub(super) fn connections(&self) -> BTreeMap<String, Vec<String>> {
        let connections = self.connections.iter().map(|(socket_id, connection)| {
            let channels = connection.subscriptions.keys().cloned();
            (socket_id.clone(), channels.collect())
        });
        connections.collect()
    }

    /// The users on a presence channel.
    pub(super) fn users(&self, channel: &str) -> BTreeSet<String> {
        self.members(channel)
            .map(|member| member.user_id.clone())
            .collect()
    }

    fn members(&self, channel: &str) -> impl Iterator<Item = &Member> {
        let subscriptions = self
            .connections
            .values()
            .filter_map(move |it| it.subscriptions.get(channel));
        subscriptions.filter_map(Option::as_ref)
    }

    fn send(&self, channel: &str, message: &Value, except: Option<&str>) {
        let text = message.to_string();
        for (socket_id, connection) in &self.connections {
            let listens = connection.subscriptions.contains_key(channel);
            if listens && except != Some(socket_id.as_str()) {
                // A connection that is going away hears nothing more.
                let _ = connection.outbox.send(text.clone());
            }
        }
    }
}

/// Channel names: up to 200 of these characters.
/// <https://pusher.com/docs/channels/using_channels/channels/#channel-naming-conventions>
pub(super) fn is_channel_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte);
    (1..=200).contains(&name.len()) && name.bytes().all(known)
}
