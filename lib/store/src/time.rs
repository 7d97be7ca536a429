//! Times as index keys need them: RFC 3339 in UTC with a fixed number of digits, so that text
//! order is time order.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Always six digits of a second.
pub(crate) fn fixed(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Epoch seconds, as DynamoDB's TTL reads them.
pub(crate) fn ttl(at: Timestamp) -> i64 {
    at.as_second()
}

/// A time in a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored(pub(crate) Timestamp);

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&fixed(self.0))
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order() {
        let second = Timestamp::from_second(1_700_000_000).unwrap();
        let later = Timestamp::from_microsecond(1_700_000_000_000_001).unwrap();
        assert_eq!(fixed(second), "2023-11-14T22:13:20.000000Z");
        assert!(fixed(second) < fixed(later));
    }
}
