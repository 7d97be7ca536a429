//! The clock of a function, read at its edge and passed on as `now`.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// Now, in whole milliseconds: what is stored and what is answered are the same text.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now() -> Timestamp {
    let whole = TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(RoundMode::Trunc);
    let now = Timestamp::now();
    now.round(whole).unwrap_or(now)
}
