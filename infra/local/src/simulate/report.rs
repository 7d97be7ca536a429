//! What a simulation shows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::Settings;
use super::books::{Books, repeated_mails};

/// What was lived, and whether the books hold.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was simulated.
    pub settings: Settings,
    /// Each difference in the books, in words; none where all is well.
    pub differences: Vec<String>,
    /// How long it took.
    pub took: Duration,
    counts: Vec<(&'static str, String)>,
    money: Vec<[String; 4]>,
    tampering: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(
        settings: Settings,
        books: &Books,
        tampering: BTreeMap<String, u64>,
        took: Duration,
        differences: Vec<String>,
    ) -> Self {
        let of = |rows: &[Value], field: &str| {
            let mut counts = BTreeMap::<String, usize>::new();
            for row in rows {
                let value = row[field].as_str().unwrap_or_default();
                *counts.entry(value.to_owned()).or_default() += 1;
            }
            let shown = counts
                .iter()
                .map(|(value, count)| format!("{count} {value}"));
            let shown: Vec<_> = shown.collect();
            format!("{} ({})", rows.len(), shown.join(", "))
        };
        let mails = format!(
            "{} ({} came again)",
            books.mails.len(),
            repeated_mails(books)
        );
        let counts = vec![
            ("universities", books.universities.len().to_string()),
            ("subscriptions", of(&books.subscriptions, "billing")),
            ("  as they are now", of(&books.subscriptions, "status")),
            ("invoices", of(&books.invoices, "status")),
            ("payments", of(&books.payments, "status")),
            ("events", of(&books.events, "type")),
            ("mails", mails),
            ("requests to Stripe", books.stripe_requests.to_string()),
        ];
        let sums = books.sums();
        let cell = |sums: &BTreeMap<String, i64>, currency: &str| {
            let minor = sums.get(currency).copied().unwrap_or_default();
            format!("{}.{:02}", minor / 100, minor % 100)
        };
        let money = sums.billed.keys().map(|currency| {
            [
                currency.clone(),
                cell(&sums.billed, currency),
                cell(&sums.paid, currency),
                cell(&sums.refunded, currency),
            ]
        });
        Self {
            settings,
            differences,
            took,
            counts,
            money: money.collect(),
            tampering,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            universities,
            months,
            seed,
        } = self.settings;
        writeln!(
            f,
            "{universities} universities, {months} months, seed {seed}\n"
        )?;
        for (what, count) in &self.counts {
            writeln!(f, "  {what:<20} {count}")?;
        }
        writeln!(
            f,
            "\n  {:<8} {:>16} {:>16} {:>16}",
            "", "billed", "paid", "refunded"
        )?;
        for [currency, billed, paid, refunded] in &self.money {
            writeln!(f, "  {currency:<8} {billed:>16} {paid:>16} {refunded:>16}")?;
        }
        writeln!(f, "\n  broken on purpose")?;
        for (what, count) in &self.tampering {
            writeln!(f, "  {count:>6} × {what}")?;
        }
        writeln!(f, "\n  {:.1} s", self.took.as_secs_f64())?;
        match self.differences.len() {
            0 => write!(f, "\nThe books hold."),
            count => {
                writeln!(f, "\nThe books differ, {count} times:")?;
                let lines = self.differences.iter().map(|line| format!("  {line}"));
                write!(f, "{}", lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}
