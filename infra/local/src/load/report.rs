//! What a load shows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Kind, Sent};

/// How it was answered, and whether all that was accepted is there.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each thing that was accepted and is missing, in words; none where all is well.
    pub missing: Vec<String>,
    lines: Vec<Line>,
    lasted: Duration,
    settled_after: Duration,
}

/// One kind of request, or all.
#[derive(Debug, Clone)]
struct Line {
    what: &'static str,
    requests: usize,
    refused: usize,
    /// In order.
    took: Vec<Duration>,
}

impl Report {
    pub(super) fn new(
        sent: &[Sent],
        lasted: Duration,
        settled_after: Duration,
        missing: Vec<String>,
    ) -> Self {
        let mut kinds = BTreeMap::<Kind, Vec<&Sent>>::new();
        for it in sent {
            kinds.entry(it.kind).or_default().push(it);
        }
        let mut lines: Vec<_> = kinds
            .iter()
            .map(|(kind, sent)| Line::of(words(*kind), sent))
            .collect();
        lines.push(Line::of("all", &sent.iter().collect::<Vec<_>>()));
        Self {
            missing,
            lines,
            lasted,
            settled_after,
        }
    }
}

impl Report {
    /// How many requests were sent.
    pub fn requests(&self) -> usize {
        self.lines.last().map_or(0, |all| all.requests)
    }
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Read => "reads",
        Kind::Sync => "syncs",
        Kind::Webhook => "webhooks",
        Kind::Alert => "alerts",
    }
}

impl Line {
    fn of(what: &'static str, sent: &[&Sent]) -> Self {
        let mut took: Vec<_> = sent.iter().map(|it| it.took).collect();
        took.sort_unstable();
        Self {
            what,
            requests: sent.len(),
            refused: sent.iter().filter(|it| !it.is_accepted()).count(),
            took,
        }
    }

    /// The time within which that many of a thousand were answered.
    fn within(&self, per_mille: usize) -> Duration {
        let at = (self.took.len() * per_mille).div_ceil(1000);
        let at = at.saturating_sub(1);
        self.took.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs_f64();
        writeln!(
            f,
            "  {:<10} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9}",
            "", "requests", "refused", "per s", "p50 ms", "p99 ms", "p99.9 ms"
        )?;
        for line in &self.lines {
            let requests = u32::try_from(line.requests).unwrap_or(u32::MAX);
            let ms = |per_mille| line.within(per_mille).as_secs_f64() * 1000.0;
            writeln!(
                f,
                "  {:<10} {:>9} {:>8} {:>8.1} {:>9.1} {:>9.1} {:>9.1}",
                line.what,
                line.requests,
                line.refused,
                f64::from(requests) / seconds,
                ms(500),
                ms(990),
                ms(999),
            )?;
        }
        writeln!(
            f,
            "\n  sent for {seconds:.1} s, and worked off {:.1} s later",
            self.settled_after.as_secs_f64()
        )?;
        match self.missing.len() {
            0 => write!(f, "\nNothing that was accepted is missing."),
            count => {
                writeln!(f, "\nMissing, {count} times:")?;
                let lines = self.missing.iter().map(|line| format!("  {line}"));
                write!(f, "{}", lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_answered() {
        let line = |count: u64| Line {
            what: "all",
            requests: 0,
            refused: 0,
            took: (1..=count).map(Duration::from_millis).collect(),
        };
        assert_eq!(line(1000).within(500), Duration::from_millis(500));
        assert_eq!(line(1000).within(999), Duration::from_millis(999));
        assert_eq!(line(10).within(990), Duration::from_millis(10));
        assert_eq!(line(0).within(500), Duration::ZERO);
    }
}
