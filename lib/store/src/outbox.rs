//! Table `outbox`: key `event_id`; sparse index `by_pending` (pending, occurred_at); stream.
//!
//! A row is an event that was committed with the change it tells of. While it has `pending` it has
//! not been seen to reach the bus; once relayed it loses that and expires after
//! [`KEPT_AFTER_RELAY`].

use aws_sdk_dynamodb::Client;
use bitflow_events::envelope::{Envelope, EventId};
use bitflow_trace::Trace;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, n, s, to_item};
use crate::time::{Stored, fixed, ttl};
use crate::transaction::{Guard, Transaction};

/// How long a relayed event can still be looked at.
pub const KEPT_AFTER_RELAY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// `pending` has this many values: one partition of the index takes about 1,000 writes a second.
pub const PENDING_SHARDS: u8 = 4;

const TABLE: &str = "outbox";

/// The table `outbox`: events on their way to the bus.
#[derive(Debug, Clone)]
pub struct Outbox {
    client: Client,
    table: String,
}

/// An event that waits for the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its id.
    pub event_id: EventId,
    /// EventBridge's `DetailType`.
    pub detail_type: String,
    /// EventBridge's `Detail`: the envelope's JSON.
    pub detail: String,
    /// When it happened, which is when the row was written.
    pub occurred_at: Timestamp,
    /// What it was part of.
    pub trace: Option<Trace>,
}

impl Outbox {
    /// What a [`CommitError::Conflict`](crate::transaction::CommitError) names where an event with
    /// the same id was committed before.
    pub const ENTITY: &'static str = "event";

    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// Adds an event to the transaction of the change it tells of, with the trace that this is part
    /// of: whatever follows from the event is part of it, too.
    pub fn put(&self, transaction: &mut Transaction, event: &Envelope) {
        let item = to_item(&Record::of(event));
        transaction.insert(&self.table, "event_id", item, Guard::Version(Self::ENTITY));
    }

    /// Notes that the bus has the event. Again changes nothing but the time. A row that has expired
    /// stays away, which is no error.
    pub async fn mark_relayed(&self, event_id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("event_id", s(event_id))
            .update_expression("SET relayed_at = :now, expires_at = :expires REMOVE pending")
            // Expired in between: do not bring half a row back.
            .condition_expression("attribute_exists(event_id)")
            .expression_attribute_values(":now", s(fixed(now)))
            .expression_attribute_values(":expires", n(ttl(now + KEPT_AFTER_RELAY)))
            .send()
            .await
            .map(drop)
            .or_else(|error| match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(()),
                _ => Err(StoreError::dynamo("UpdateItem outbox", error)),
            })
    }

    /// Up to `limit` events of one shard that happened before `before` and still wait, oldest
    /// first.
    pub async fn pending(
        &self,
        shard: u8,
        before: Timestamp,
        limit: u16,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_pending")
            .key_condition_expression("pending = :shard AND occurred_at < :before")
            .expression_attribute_values(":shard", s(shard))
            .expression_attribute_values(":before", s(fixed(before)))
            .limit(i32::from(limit))
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query outbox.by_pending", error))?;
        answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_event))
            .collect()
    }
}

impl OutboxEvent {
    /// The request that began it all, as its envelope has it.
    pub fn correlation_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Correlated {
            correlation_id: String,
        }
        let envelope = serde_json::from_str::<Correlated>(&self.detail);
        envelope.ok().map(|it| it.correlation_id)
    }

    /// Reads the `NewImage` of a stream record, as the Lambda event has it.
    ///
    /// # Errors
    /// [`StoreError::Row`] for what is no row of the outbox as this build writes it. It is so again
    /// when the stream gives it again.
    pub fn from_stream_image(image: &serde_json::Value) -> Result<Self, StoreError> {
        let unreadable = |source| StoreError::Row {
            table: TABLE,
            source,
        };
        let item = serde_dynamo::Item::deserialize(image)
            .map_err(|error| unreadable(serde::de::Error::custom(error)))?;
        serde_dynamo::from_item::<_, Record>(item)
            .map(Record::into_event)
            .map_err(unreadable)
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    event_id: EventId,
    occurred_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    detail_type: String,
    detail: String,
    /// Of rows that were written before it was kept, and where nothing is traced, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl Record {
    fn of(event: &Envelope) -> Self {
        let shard = event.event_id.as_ulid().random() % u128::from(PENDING_SHARDS);
        Self {
            event_id: event.event_id,
            occurred_at: Stored(event.occurred_at),
            pending: Some(shard.to_string()),
            detail_type: event.payload.kind().to_owned(),
            detail: event.to_json(),
            trace: bitflow_trace::current().map(|trace| trace.to_string()),
        }
    }

    fn into_event(self) -> OutboxEvent {
        OutboxEvent {
            event_id: self.event_id,
            detail_type: self.detail_type,
            detail: self.detail,
            occurred_at: self.occurred_at.0,
            trace: self.trace.as_deref().and_then(Trace::parse),
        }
    }
}
