//! Calendar months in UTC: what manual plans are billed by.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A calendar month in UTC, written `2026-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month(Date);

/// The text is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month, e.g. 2026-01")]
pub struct InvalidMonth;

/// A span of time that is billed: from `start`, up to but without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Month {
    /// The month that `at` is in.
    pub fn containing(at: Timestamp) -> Self {
        Self(Offset::UTC.to_datetime(at).date().first_of_month())
    }

    /// The month after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(Span::new().months(1))
                .unwrap_or(self.0)
                .first_of_month(),
        )
    }

    /// From its first moment to that of the next month, UTC.
    pub fn period(self) -> Period {
        Period {
            start: self.start(),
            end: self.next().start(),
        }
    }

    fn start(self) -> Timestamp {
        let midnight = self.0.at(0, 0, 0, 0);
        Offset::UTC.to_timestamp(midnight).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 7 {
            return Err(InvalidMonth);
        }
        let first = format!("{text}-01").parse().map_err(|_| InvalidMonth)?;
        Ok(Self(first))
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidMonth;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_its_days_in_utc() {
        let month = Month::containing("2025-12-31T23:59:59Z".parse().unwrap());
        assert_eq!(month.to_string(), "2025-12");
        assert_eq!(month.next().to_string(), "2026-01");
        let period = month.period();
        assert_eq!(period.start.to_string(), "2025-12-01T00:00:00Z");
        assert_eq!(period.end.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(Month::containing(period.end), month.next());
        assert!(month < month.next());
    }

    #[test]
    fn months_are_written_one_way() {
        assert_eq!("2026-01".parse::<Month>().unwrap().to_string(), "2026-01");
        for wrong in ["", "2026", "2026-13", "2026-1", "2026-01-01", "january"] {
            assert_eq!(wrong.parse::<Month>(), Err(InvalidMonth), "{wrong}");
        }
    }
}
