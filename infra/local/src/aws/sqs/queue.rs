//! One standard queue. Time is an argument, so every rule can be tested without waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Depth, SqsError};
use crate::template::model;

/// Largest message: body and attributes, bytes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const MAX_BYTES: usize = 1024 * 1024;

/// A message to be sent.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    /// The body.
    pub body: String,
    /// Attributes that travel with it.
    pub attributes: BTreeMap<String, Attribute>,
    /// Instead of the queue's own delay.
    pub delay: Option<Duration>,
    /// `AWSTraceHeader`: the X-Ray trace that it is part of.
    pub trace_header: Option<String>,
}

impl NewMessage {
    /// The same with these attributes, of type `String`.
    #[must_use]
    pub fn with_texts<const N: usize>(mut self, texts: [(&str, String); N]) -> Self {
        self.attributes.extend(texts.map(|(name, value)| {
            let attribute = Attribute {
                data_type: "String".to_owned(),
                string_value: Some(value),
                binary_value: None,
            };
            (name.to_owned(), attribute)
        }));
        self
    }
}

/// One message attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a custom suffix.
    pub data_type: String,
    /// Text or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Given when it was sent.
    pub message_id: String,
    /// The body.
    pub body: String,
    /// Attributes that travel with it.
    pub attributes: BTreeMap<String, Attribute>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was received first.
    pub first_received_at: Option<Timestamp>,
    /// How often it was received.
    pub receive_count: u32,
    /// Given when it was received last.
    pub receipt_handle: Option<String>,
    /// Nobody gets it before.
    pub visible_at: Timestamp,
    /// `DeadLetterQueueSourceArn`: the queue that gave it up.
    #[serde(default)]
    pub dead_letter_source_arn: Option<String>,
    /// `AWSTraceHeader`: the X-Ray trace that it is part of.
    #[serde(default)]
    pub trace_header: Option<String>,
    /// A poller of the stack is working on it.
    #[serde(skip)]
    pub held: bool,
}

impl Message {
    /// MD5 of the body, hex.
    pub fn body_md5(&self) -> String {
        hex::encode(Md5::digest(self.body.as_bytes()))
    }

    /// MD5 of the attributes, hex, as the developer guide defines it; none without attributes.
    pub fn attributes_md5(&self) -> Option<String> {
        attributes_md5(&self.attributes)
    }

    /// The same of the system attributes that it was sent with.
    pub fn system_attributes_md5(&self) -> Option<String> {
        let trace = self.trace_header.clone().map(|value| {
            let attribute = Attribute {
                data_type: "String".to_owned(),
                string_value: Some(value),
                binary_value: None,
            };
            ("AWSTraceHeader".to_owned(), attribute)
        });
        attributes_md5(&trace.into_iter().collect())
    }
}

fn attributes_md5(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        let (transport, value) = match (&attribute.string_value, &attribute.binary_value) {
            (Some(text), _) => (1_u8, text.as_bytes().to_vec()),
            (None, binary) => {
                let encoded = binary.as_deref().unwrap_or_default();
                (2, BASE64.decode(encoded).unwrap_or_default())
            }
        };
        for part in [name.as_bytes(), attribute.data_type.as_bytes()] {
            digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            digest.update(part);
        }
        digest.update([transport]);
        digest.update(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(value);
    }
    Some(hex::encode(digest.finalize()))
}

/// A queue and what it holds, in the order it was sent.
#[derive(Debug)]
pub struct Queue {
    declared: model::Queue,
    messages: Vec<Message>,
}

impl Queue {
    /// The queue as declared, holding `messages`.
    pub fn new(declared: model::Queue, messages: Vec<Message>) -> Self {
        Self { declared, messages }
    }

    /// What the template says of it.
    pub fn declared(&self) -> &model::Queue {
        &self.declared
    }

    /// What it holds.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    /// Takes a new message.
    pub fn send(&mut self, new: NewMessage, now: Timestamp) -> Result<Message, SqsError> {
        let attributes: usize = new
            .attributes
            .iter()
            .map(|(name, it)| {
                let value = it.string_value.as_ref().or(it.binary_value.as_ref());
                name.len() + it.data_type.len() + value.map_or(0, String::len)
            })
            .sum();
        if new.body.is_empty() {
            return Err(SqsError::Invalid(
                "The request must contain the parameter MessageBody.".into(),
            ));
        }
        if new.body.len() + attributes > MAX_BYTES {
            return Err(SqsError::Invalid(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {MAX_BYTES} bytes."
            )));
        }
        let message = Message {
            message_id: Uuid::new_v4().to_string(),
            body: new.body,
            attributes: new.attributes,
            sent_at: now,
            first_received_at: None,
            receive_count: 0,
            receipt_handle: None,
            visible_at: later(now, new.delay.unwrap_or(self.declared.delay)),
            dead_letter_source_arn: None,
            trace_header: new.trace_header,
            held: false,
        };
        self.messages.push(message.clone());
        Ok(message)
    }

    /// Takes over a message that the queue `from` gave up. It stays the one it was: its id, its age
    /// and how often it was received.
    pub fn take_in(&mut self, message: Message, from: String, now: Timestamp) {
        self.messages.push(Message {
            receipt_handle: None,
            visible_at: now,
            dead_letter_source_arn: Some(from),
            held: false,
            ..message
        });
    }

    /// Takes a message that was redriven. It is a new one, with a new id and age.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html>
    pub fn take_redriven(&mut self, message: Message, now: Timestamp) -> Message {
        let message = Message {
            message_id: Uuid::new_v4().to_string(),
            sent_at: now,
            first_received_at: None,
            receive_count: 0,
            receipt_handle: None,
            visible_at: now,
            dead_letter_source_arn: None,
            held: false,
            ..message
        };
        self.messages.push(message.clone());
        message
    }

    /// Gives away up to `most` visible messages, in their order, up to the first that `may` not go;
    /// and whether there was such a one.
    pub fn give_away(
        &mut self,
        most: usize,
        now: Timestamp,
        may: impl Fn(&Message) -> bool,
    ) -> (Vec<Message>, bool) {
        let (mut given, mut stopped) = (Vec::new(), false);
        let mut kept = Vec::new();
        for message in std::mem::take(&mut self.messages) {
            let goes = message.visible_at <= now && !stopped && given.len() < most;
            if goes && may(&message) {
                given.push(message);
            } else {
                stopped |= goes;
                kept.push(message);
            }
        }
        self.messages = kept;
        (given, stopped)
    }

    /// Up to `most` (10 at the most) visible messages; and those that were received too often, with
    /// the queue they go to instead.
    pub fn receive(
        &mut self,
        most: usize,
        visibility: Option<Duration>,
        now: Timestamp,
    ) -> (Vec<Message>, Vec<(String, Message)>) {
        let keep_since = now - self.declared.retention;
        self.messages.retain(|message| message.sent_at > keep_since);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        let timeout = visibility.unwrap_or(self.declared.visibility_timeout);
        let mut kept = Vec::with_capacity(self.messages.len());
        for mut message in std::mem::take(&mut self.messages) {
            if message.visible_at > now || received.len() == most.min(10) {
                kept.push(message);
                continue;
            }
            if let Some(redrive) = &self.declared.redrive
                && message.receive_count >= redrive.max_receive_count
            {
                dead.push((redrive.dead_letter_queue.clone(), message));
                continue;
            }
            message.receive_count += 1;
            message.first_received_at.get_or_insert(now);
            message.receipt_handle = Some(Uuid::new_v4().to_string());
            message.visible_at = later(now, timeout);
            message.held = true;
            received.push(message.clone());
            kept.push(message);
        }
        self.messages = kept;
        (received, dead)
    }

    /// Forgets a received message.
    pub fn delete(&mut self, receipt_handle: &str) -> Result<(), SqsError> {
        if Uuid::try_parse(receipt_handle).is_err() {
            return Err(SqsError::ReceiptHandle);
        }
        self.messages
            .retain(|message| message.receipt_handle.as_deref() != Some(receipt_handle));
        Ok(())
    }

    /// Makes a received message visible again after `timeout`.
    pub fn change_visibility(
        &mut self,
        receipt_handle: &str,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<(), SqsError> {
        let message = self
            .messages
            .iter_mut()
            .find(|message| message.receipt_handle.as_deref() == Some(receipt_handle))
            .ok_or(SqsError::ReceiptHandle)?;
        message.visible_at = later(now, timeout);
        Ok(())
    }

    /// Nobody works on a received message any more; it stays invisible until its timeout.
    pub fn let_go(&mut self, receipt_handle: &str) {
        for message in &mut self.messages {
            if message.receipt_handle.as_deref() == Some(receipt_handle) {
                message.held = false;
            }
        }
    }

    /// Forgets everything.
    pub fn purge(&mut self) {
        self.messages.clear();
    }

    /// How many messages there are of each kind.
    pub fn depth(&self, now: Timestamp) -> Depth {
        let mut depth = Depth::default();
        for message in &self.messages {
            match (message.visible_at <= now, message.receive_count) {
                (true, _) => depth.visible += 1,
                (false, 0) => depth.delayed += 1,
                (false, _) => depth.in_flight += 1,
            }
        }
        depth
    }

    /// When the next message becomes visible by itself.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.messages
            .iter()
            .map(|message| message.visible_at)
            .filter(|at| *at > now)
            .min()
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let declared = model::Queue {
            logical_id: "Q".to_owned(),
            name: "q".to_owned(),
            visibility_timeout: Duration::from_secs(30),
            delay: Duration::ZERO,
            retention: Duration::from_hours(1),
            redrive: Some(model::Redrive {
                dead_letter_queue: "d".to_owned(),
                max_receive_count: 2,
            }),
        };
        Queue::new(declared, Vec::new())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn send(queue: &mut Queue, body: &str, now: Timestamp) {
        queue
            .send(
                NewMessage {
                    body: body.to_owned(),
                    ..Default::default()
                },
                now,
            )
            .unwrap();
    }

    #[test]
    fn a_received_message_is_invisible_until_its_timeout() {
        let mut queue = queue();
        send(&mut queue, "a", at(0));
        let (first, _) = queue.receive(10, None, at(0));
        assert_eq!((first.len(), first[0].receive_count), (1, 1));
        assert!(queue.receive(10, None, at(29)).0.is_empty());
        assert_eq!(queue.next_change(at(29)), Some(at(30)));
        let (second, _) = queue.receive(10, None, at(30));
        assert_eq!(second[0].receive_count, 2);
        assert_ne!(second[0].receipt_handle, first[0].receipt_handle);
        // The old handle deletes nothing any more.
        queue
            .delete(first[0].receipt_handle.as_ref().unwrap())
            .unwrap();
        assert_eq!(queue.depth(at(30)).in_flight, 1);
        queue
            .delete(second[0].receipt_handle.as_ref().unwrap())
            .unwrap();
        assert_eq!(queue.depth(at(30)), Depth::default());
    }

    #[test]
    fn after_its_last_receive_a_message_is_dead() {
        let mut queue = queue();
        send(&mut queue, "a", at(0));
        for turn in 0..2 {
            assert_eq!(queue.receive(10, None, at(turn * 30)).0.len(), 1);
        }
        let (received, dead) = queue.receive(10, None, at(60));
        assert!(received.is_empty());
        assert_eq!((dead[0].0.as_str(), dead[0].1.receive_count), ("d", 2));
    }

    #[test]
    fn delays_retention_and_visibility() {
        let mut queue = queue();
        let delayed = NewMessage {
            body: "a".into(),
            delay: Some(Duration::from_secs(5)),
            ..Default::default()
        };
        queue.send(delayed, at(0)).unwrap();
        assert_eq!(queue.depth(at(0)).delayed, 1);
        assert!(queue.receive(1, None, at(4)).0.is_empty());
        let (received, _) = queue.receive(1, None, at(5));
        let handle = received[0].receipt_handle.clone().unwrap();
        queue
            .change_visibility(&handle, Duration::ZERO, at(6))
            .unwrap();
        assert_eq!(queue.receive(1, None, at(6)).0.len(), 1);
        assert!(
            queue.receive(1, None, at(4000)).0.is_empty(),
            "kept past its retention"
        );
        assert_eq!(queue.delete("nonsense"), Err(SqsError::ReceiptHandle));
    }

    #[test]
    fn digests_are_what_the_sdk_expects() {
        let mut queue = queue();
        let attribute = |value: &str| Attribute {
            data_type: "String".into(),
            string_value: Some(value.into()),
            binary_value: None,
        };
        let attributes = BTreeMap::from([("k".to_owned(), attribute("v"))]);
        let sent = queue
            .send(
                NewMessage {
                    body: "hello".into(),
                    attributes,
                    delay: None,
                    trace_header: None,
                },
                at(0),
            )
            .unwrap();
        assert_eq!(sent.body_md5(), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(
            sent.attributes_md5().as_deref(),
            Some("0a77b0642718c3d9dd47090567d11e0d")
        );
    }
}
