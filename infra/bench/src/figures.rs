//! Durations and counts, as tables show them.

use std::collections::BTreeMap;
use std::time::Duration;

/// Durations of the same thing, sorted.
#[derive(Debug, Clone, Default)]
pub struct Durations(Vec<Duration>);

impl FromIterator<Duration> for Durations {
    fn from_iter<I: IntoIterator<Item = Duration>>(all: I) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }
}

impl Durations {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The one that so many percent are below; none of none.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        Some(self.0[(self.0.len() * percent / 100).min(last)])
    }

    /// The one in the middle; none of none.
    pub fn median(&self) -> Option<Duration> {
        self.percentile(50)
    }

    /// The longest; none of none.
    pub fn longest(&self) -> Option<Duration> {
        self.0.last().copied()
    }

    /// All of them together over how many there are; none of none.
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.0.len()).ok()?;
        self.0.iter().sum::<Duration>().checked_div(count)
    }
}

/// Milliseconds with two decimals; a dash where nothing was measured.
pub fn milliseconds(took: Option<Duration>) -> String {
    took.map_or_else(dash, |it| format!("{:.2}", it.as_secs_f64() * 1000.0))
}

/// Whole microseconds; a dash where nothing was measured.
pub fn microseconds(took: Option<Duration>) -> String {
    took.map_or_else(dash, |it| it.as_micros().to_string())
}

/// Millions of bytes with one decimal.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1_000_000.0)
}

/// How often on average, with as many decimals as it needs, two at most.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn average(sum: f64, of: usize) -> String {
    let text = format!("{:.2}", sum / of as f64);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// What was counted between two looks.
pub fn since(
    before: &BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let counted = after.into_iter().filter_map(|(name, count)| {
        let count = count - before.get(&name).copied().unwrap_or_default();
        (count > 0).then_some((name, count))
    });
    counted.collect()
}

/// A bar of `#` for a share of the longest one, `width` characters.
pub fn bar(value: Duration, longest: Duration, width: usize) -> String {
    let share = value.as_secs_f64() / longest.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of the width"
    )]
    let length = (share * width as f64).round() as usize;
    "#".repeat(length)
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted() {
        let all: Durations = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |percent| all.percentile(percent).map(|it| it.as_millis());
        assert_eq!((at(0), at(50), at(99)), (Some(1), Some(101), Some(199)));
        assert_eq!(all.mean(), Some(Duration::from_micros(100_500)));
        assert_eq!(Durations::default().median(), None);
    }

    #[test]
    fn averages_have_no_more_decimals_than_they_need() {
        let averages = [(3.0, 3), (1.0, 2), (1.0, 3)].map(|(sum, of)| average(sum, of));
        assert_eq!(averages, ["1", "0.5", "0.33"]);
    }
}
