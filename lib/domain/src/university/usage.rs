//! What a university has and uses: the numbers that its portal reports, the bytes that are measured,
//! and the warning when they come near its quota.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StorageQuota, University, UniversityField};

/// Of a quota, in percent: whoever uses more is warned (contract section 2.2).
const WARNED_ABOVE: u128 = 90;

/// Of a quota, in percent: whoever was warned and uses less may be warned again.
const CALM_BELOW: u128 = 85;

/// Numbers that a portal reports about itself (contract section 4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Students enrolled.
    pub students: u64,
    /// Members of the faculty.
    pub faculty: u64,
    /// Bytes stored at the portal.
    pub storage: u64,
}

/// One of [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// See [`Metrics::students`].
    Students,
    /// See [`Metrics::faculty`].
    Faculty,
    /// See [`Metrics::storage`].
    Storage,
}

/// The text names no metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be students, faculty or storage")]
pub struct UnknownMetric;

/// What a portal reports: whole, not negative, and exact in every reader of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricValue(u64);

/// The number is too large to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be at most 9007199254740991")]
pub struct MetricTooLarge;

/// How much of a quota is used, in hundredths of a percent, rounded down; a number of percent on
/// the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsagePercentage(u64);

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 3] = [Self::Students, Self::Faculty, Self::Storage];

    /// Reads the contract's word: `students`, `faculty` or `storage`.
    pub fn parse(text: &str) -> Result<Self, UnknownMetric> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == text);
        known.ok_or(UnknownMetric)
    }

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Students => "students",
            Self::Faculty => "faculty",
            Self::Storage => "storage",
        }
    }

    /// The university's field that it is.
    pub fn field(self) -> UniversityField {
        match self {
            Self::Students => UniversityField::Students,
            Self::Faculty => UniversityField::Faculty,
            Self::Storage => UniversityField::Storage,
        }
    }

    /// The metric that a university's field is.
    pub fn of_field(field: UniversityField) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.field() == field)
    }
}

impl Metrics {
    /// The number of one metric.
    pub fn get(&self, metric: Metric) -> u64 {
        match metric {
            Metric::Students => self.students,
            Metric::Faculty => self.faculty,
            Metric::Storage => self.storage,
        }
    }

    fn with(mut self, metric: Metric, value: MetricValue) -> Self {
        let number = match metric {
            Metric::Students => &mut self.students,
            Metric::Faculty => &mut self.faculty,
            Metric::Storage => &mut self.storage,
        };
        *number = value.0;
        self
    }
}

impl MetricValue {
    /// Largest value: 2^53 - 1, the last whole number that JavaScript counts to.
    pub const MAX: u64 = (1 << 53) - 1;

    /// Takes a number, of whatever the metric counts: at most [`MAX`](Self::MAX).
    pub fn new(number: u64) -> Result<Self, MetricTooLarge> {
        if number <= Self::MAX {
            Ok(Self(number))
        } else {
            Err(MetricTooLarge)
        }
    }
}

impl University {
    /// The university after its portal reported `value`; a new version even where it is the old
    /// value, since every report is told (contract section 4.1).
    #[must_use]
    pub fn reported(&self, metric: Metric, value: MetricValue, now: Timestamp) -> Self {
        let next = Self {
            metrics: self.metrics.with(metric, value),
            ..self.clone()
        };
        next.weighed().written(now)
    }

    /// The university after its files were measured as `bytes`; `None` where that was known.
    #[must_use]
    pub fn measured(&self, bytes: u64, now: Timestamp) -> Option<Self> {
        let next = Self {
            measured_storage: bytes,
            ..self.clone()
        };
        let next = next.weighed();
        (next != *self).then(|| next.written(now))
    }

    /// Bytes that count against its quota: what its portal reported and what was measured.
    pub fn storage_used(&self) -> u64 {
        self.metrics.storage.saturating_add(self.measured_storage)
    }

    /// How much of its quota it uses.
    pub fn storage_usage(&self) -> UsagePercentage {
        UsagePercentage::of(self.storage_used(), self.storage_quota)
    }

    /// Whether it came near its quota by becoming `next`, which is when it is warned.
    pub fn is_to_be_warned(&self, next: &Self) -> bool {
        !self.quota_warned && next.quota_warned
    }

    /// Remembers whether it is near its quota. Between the two bounds it stays what it was, so that
    /// use that goes up and down around one of them warns once.
    #[must_use]
    pub(super) fn weighed(self) -> Self {
        let (used, quota) = (
            u128::from(self.storage_used()) * 100,
            u128::from(self.storage_quota.bytes()),
        );
        let quota_warned = if self.quota_warned {
            used >= quota * CALM_BELOW
        } else {
            used > quota * WARNED_ABOVE
        };
        Self {
            quota_warned,
            ..self
        }
    }
}

impl UsagePercentage {
    /// `used` bytes of `quota`.
    pub fn of(used: u64, quota: StorageQuota) -> Self {
        let hundredths = u128::from(used) * 10_000 / u128::from(quota.bytes());
        Self(u64::try_from(hundredths).unwrap_or(u64::MAX))
    }

    /// Hundredths of a percent.
    pub fn hundredths(self) -> u64 {
        self.0
    }
}

/// Without a fraction that is nothing: `91`, `91.5`, `91.57`.
impl fmt::Display for UsagePercentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 100, self.0 % 100);
        match fraction {
            0 => write!(f, "{whole}"),
            tenths if tenths % 10 == 0 => write!(f, "{whole}.{}", tenths / 10),
            _ => write!(f, "{whole}.{fraction:02}"),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a percentage above 2^53 hundredths is beyond any store there is"
)]
impl Serialize for UsagePercentage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float to integer saturates"
)]
impl<'de> Deserialize<'de> for UsagePercentage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        Ok(Self((percent * 100.0).round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::university;
    use super::*;

    /// A university with a quota of 1,000 bytes.
    fn with_quota() -> University {
        University {
            storage_quota: StorageQuota::from_bytes(1000).unwrap(),
            ..university()
        }
    }

    fn storage(bytes: u64) -> (Metric, MetricValue) {
        (Metric::Storage, MetricValue::new(bytes).unwrap())
    }

    /// Goes through what is used, as the portal reports it or as it is measured, and says after
    /// which steps there is a warning.
    fn check(used: &[u64], expect: &[usize]) {
        let now = Timestamp::UNIX_EPOCH;
        for measured in [false, true] {
            let mut at = with_quota();
            let mut warned = Vec::new();
            for (step, &bytes) in used.iter().enumerate() {
                let next = if measured {
                    at.measured(bytes, now).unwrap_or_else(|| at.clone())
                } else {
                    let (metric, value) = storage(bytes);
                    at.reported(metric, value, now)
                };
                if at.is_to_be_warned(&next) {
                    warned.push(step);
                }
                at = next;
            }
            assert_eq!(warned, expect, "{used:?}, measured: {measured}");
        }
    }

    #[test]
    fn one_warning_for_each_crossing() {
        check(&[900], &[]);
        check(&[901], &[0]);
        check(&[901, 950, 2000, 901], &[0]);
        check(&[901, 890, 905], &[0]);
        check(&[901, 850, 905], &[0]);
        check(&[901, 849, 900, 905], &[0, 3]);
        check(&[0, 899, 850, 0], &[]);
    }

    #[test]
    fn what_is_reported_and_what_is_measured_add_up() {
        let now = Timestamp::UNIX_EPOCH;
        let (metric, value) = storage(500);
        let half = with_quota().reported(metric, value, now);
        assert!(!half.quota_warned);
        let near = half.measured(401, now).unwrap();
        assert!(half.is_to_be_warned(&near));
        assert_eq!(near.storage_usage().to_string(), "90.1");
        assert_eq!(near.measured(401, now), None, "it is known");
    }

    #[test]
    fn a_smaller_quota_warns_too() {
        let now = Timestamp::UNIX_EPOCH;
        let used = with_quota().measured(500, now).unwrap();
        let quota = |bytes| super::super::UniversityChanges {
            storage_quota: Some(StorageQuota::from_bytes(bytes).unwrap()),
            ..Default::default()
        };
        let less = used.changed(quota(500), now).unwrap();
        assert!(used.is_to_be_warned(&less));
        let more = less.changed(quota(1000), now).unwrap();
        assert!(!more.quota_warned);
    }

    #[test]
    fn every_report_is_a_write() {
        let now = Timestamp::UNIX_EPOCH;
        let value = MetricValue::new(15_000).unwrap();
        let mut at = university();
        for (metric, version) in Metric::ALL.into_iter().zip(2..) {
            at = at.reported(metric, value, now);
            assert_eq!(at.metrics.get(metric), 15_000);
            assert_eq!(at.version.get(), version);
        }
        let again = at.reported(Metric::Faculty, value, now);
        assert_eq!(again.version.get(), 5);
        assert_eq!(at.differences(&again), []);
    }

    #[test]
    fn words_and_bounds() {
        for metric in Metric::ALL {
            assert_eq!(Metric::parse(metric.as_str()), Ok(metric));
            assert_eq!(Metric::of_field(metric.field()), Some(metric));
        }
        assert!(Metric::parse("Students").is_err());
        assert_eq!(Metric::of_field(UniversityField::Name), None);
        assert!(MetricValue::new(MetricValue::MAX).is_ok());
        assert!(MetricValue::new(MetricValue::MAX + 1).is_err());
    }

    #[test]
    fn percentages_for_people_and_programs() {
        for (used, text, json) in [
            (910, "91", "91.0"),
            (915, "91.5", "91.5"),
            (2_000_000, "200000", "200000.0"),
            (0, "0", "0.0"),
        ] {
            let quota = StorageQuota::from_bytes(1000).unwrap();
            let usage = UsagePercentage::of(used, quota);
            assert_eq!(usage.to_string(), text);
            assert_eq!(serde_json::to_string(&usage).unwrap(), json);
        }
        let fine = UsagePercentage::of(90_019, StorageQuota::from_bytes(100_000).unwrap());
        assert_eq!(fine.to_string(), "90.01", "rounded down");
    }

    proptest! {
        #[test]
        fn a_percentage_comes_back_as_it_was(hundredths in 0_u64..1_000_000_000) {
            let usage = UsagePercentage(hundredths);
            let json = serde_json::to_string(&usage).unwrap();
            prop_assert_eq!(serde_json::from_str::<UsagePercentage>(&json).unwrap(), usage);
        }
    }
}
