//! New ids and secrets: the randomness of the use cases, in one place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitflow_events::envelope::EventId;
use jiff::Timestamp;
use secrecy::SecretString;
use ulid::Ulid;
use uuid::Uuid;

/// A version 7 UUID of `now`.
pub(crate) fn uuid(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// A ULID of `now`.
pub(crate) fn event_id(now: Timestamp) -> EventId {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    EventId::from_ulid(Ulid::from_parts(millis, rand::random()))
}

/// A portal's secret: 32 random bytes.
pub(crate) fn portal_secret() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    format!("psk_{}", URL_SAFE_NO_PAD.encode(bytes)).into()
}
