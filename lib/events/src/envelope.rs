//! What every event has in common.

use std::fmt;

use bitflow_domain::id::UniversityId;
use bitflow_domain::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::payload::Payload;

/// An event, as it is stored in the outbox and carried by the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// Unique for ever; sorts by time.
    pub event_id: EventId,
    /// Version of the payload's shape.
    pub version: u16,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The entity it is about.
    pub aggregate_id: String,
    /// The university it belongs to; nothing where it is of the whole platform.
    pub university_id: Option<UniversityId>,
    /// The entity's version after it: neither the stream nor the bus promises order, so a consumer
    /// to whom order matters drops what is older than what it has.
    pub aggregate_version: Version,
    /// Who did it.
    pub actor: Actor,
    /// The request that began it all.
    pub correlation_id: CorrelationId,
    /// `type` and `data`.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What a use case knows before it knows which events it raises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Who asks.
    pub actor: Actor,
    /// The request's id.
    pub correlation_id: CorrelationId,
}

impl Envelope {
    /// The event `payload` about the entity `aggregate_id`, now at `aggregate_version`.
    pub fn new(
        event_id: EventId,
        occurred_at: Timestamp,
        context: &Context,
        university_id: impl Into<Option<UniversityId>>,
        (aggregate_id, aggregate_version): (impl fmt::Display, Version),
        payload: Payload,
    ) -> Self {
        Self {
            event_id,
            version: payload.version(),
            occurred_at,
            aggregate_id: aggregate_id.to_string(),
            university_id: university_id.into(),
            aggregate_version,
            actor: context.actor.clone(),
            correlation_id: context.correlation_id.clone(),
            payload,
        }
    }

    /// The university it belongs to, for those who handle nothing else.
    ///
    /// # Errors
    /// [`DecodeError::OfNoUniversity`] for an event of the platform's. It stays so: a rule sent it
    /// to the wrong listener.
    pub fn university(&self) -> Result<UniversityId, DecodeError> {
        self.university_id.ok_or(DecodeError::OfNoUniversity {
            kind: self.payload.kind(),
        })
    }

    /// The JSON of an EventBridge `detail`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an envelope holds nothing that JSON cannot")
    }

    /// Reads an EventBridge `detail`.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for a type, or a version of one, that this build does not know: a
    /// newer build wrote it, and one that knows it reads it when it comes again. What is no
    /// envelope, or lacks what its type needs, stays unreadable.
    pub fn from_json(json: &str) -> Result<Self, DecodeError> {
        let wire: Wire = serde_json::from_str(json).map_err(DecodeError::Envelope)?;
        let kind = wire.kind.clone();
        let payload = Payload::decode(&wire.kind, wire.version, wire.data)
            .map_err(|source| DecodeError::Payload { kind, source })?
            .ok_or(DecodeError::Unknown {
                kind: wire.kind,
                version: wire.version,
            })?;
        Ok(Self {
            event_id: wire.event_id,
            version: wire.version,
            occurred_at: wire.occurred_at,
            aggregate_id: wire.aggregate_id,
            university_id: wire.university_id,
            aggregate_version: wire.aggregate_version,
            actor: wire.actor,
            correlation_id: wire.correlation_id,
            payload,
        })
    }
}

/// Id of an event: a ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Ulid);

impl EventId {
    /// Takes a ULID for an event's id.
    pub const fn from_ulid(ulid: Ulid) -> Self {
        Self(ulid)
    }

    /// The bare ULID.
    pub const fn as_ulid(self) -> Ulid {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who did it. Travels in the envelope, because queued work has no user of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The admin's subject, the Stripe event's id, the job's or function's name.
    pub id: String,
}

/// What kind of actor did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person with an admin token.
    Admin,
    /// Stripe, through its webhook.
    Stripe,
    /// A university's portal.
    Portal,
    /// A scheduled job or a listener.
    System,
}

impl ActorKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Stripe => "stripe",
            Self::Portal => "portal",
            Self::System => "system",
        }
    }
}

/// The id of the request that began it all; every log line, event and outgoing call carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(String);

impl CorrelationId {
    /// Takes a request's id.
    pub fn new(request_id: impl Into<String>) -> Self {
        Self(request_id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an event we know.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not an envelope.
    #[error("the event's envelope could not be read")]
    Envelope(#[source] serde_json::Error),
    /// An envelope of a known type, but not its data.
    #[error("the data of the {kind} event could not be read")]
    Payload {
        /// The event's type.
        kind: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An event of a university that names none.
    #[error("the {kind} event belongs to no university")]
    OfNoUniversity {
        /// The event's type.
        kind: &'static str,
    },
    /// A type, or a version of it, that this build does not know.
    #[error("no event {kind} version {version} is known")]
    Unknown {
        /// The event's type.
        kind: String,
        /// The payload's version.
        version: u16,
    },
}

/// The envelope before its data is understood.
#[derive(Deserialize)]
struct Wire {
    event_id: EventId,
    #[serde(rename = "type")]
    kind: String,
    version: u16,
    occurred_at: Timestamp,
    aggregate_id: String,
    university_id: Option<UniversityId>,
    aggregate_version: Version,
    actor: Actor,
    correlation_id: CorrelationId,
    data: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::payload::tests::one_of_each;

    fn envelope(payload: Payload) -> Envelope {
        Envelope::new(
            EventId::from_ulid(Ulid::from_parts(1_700_000_000_000, 7)),
            Timestamp::from_second(1_700_000_000).unwrap(),
            &Context {
                actor: Actor {
                    kind: ActorKind::Admin,
                    id: "auth0|7".to_owned(),
                },
                correlation_id: CorrelationId::new("req-1"),
            },
            UniversityId::from_uuid(Uuid::from_u128(1)),
            (Uuid::from_u128(1), Version::FIRST),
            payload,
        )
    }

    /// The wire contract, pinned: a change here is a change for every consumer.
    #[test]
    fn every_event_on_the_wire() {
        for payload in one_of_each() {
            let event = envelope(payload);
            let name = event.payload.kind();
            insta::assert_json_snapshot!(name, serde_json::to_value(&event).unwrap());
            assert_eq!(Envelope::from_json(&event.to_json()).unwrap(), event);
        }
    }

    fn check(change: impl FnOnce(&mut serde_json::Value), expect: &str) {
        let event = envelope(one_of_each().remove(0));
        let mut json = serde_json::to_value(&event).unwrap();
        change(&mut json);
        let error = Envelope::from_json(&json.to_string()).unwrap_err();
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn what_is_not_an_event_says_why() {
        check(
            |json| json["event_id"] = "x".into(),
            "the event's envelope could not be read",
        );
        check(
            |json| json["type"] = "Nonsense".into(),
            "no event Nonsense version 1 is known",
        );
        check(
            |json| json["version"] = 2.into(),
            "no event UniversityCreated version 2 is known",
        );
        check(
            |json| json["data"]["primary_email"] = "nobody".into(),
            "the data of the UniversityCreated event could not be read",
        );
    }

    #[test]
    fn a_reader_ignores_what_a_newer_writer_adds() {
        let event = envelope(one_of_each().remove(0));
        let mut json = serde_json::to_value(&event).unwrap();
        json["data"]["later"] = 1.into();
        json["later"] = 1.into();
        assert_eq!(Envelope::from_json(&json.to_string()).unwrap(), event);
    }
}
