//! The system will be down.

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format;

/// "System downtime notification" (contract section 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemDowntime {
    /// What people read first.
    pub title: String,
    /// What it is about; a blank line begins another paragraph.
    pub message: String,
    /// When it begins.
    pub scheduled_at: Timestamp,
}

templates!(
    SystemDowntime,
    "system_downtime/email.html",
    "system_downtime/email.txt"
);

impl Mail for SystemDowntime {
    const CATEGORY: &str = "system_downtime";

    fn subject(&self, _: &str) -> String {
        format!("{}: {}", self.title, format::time(&self.scheduled_at))
    }
}

impl SystemDowntime {
    /// The message without its blank lines.
    fn paragraphs(&self) -> Vec<String> {
        let lines = self.message.lines().map(str::trim_end).collect::<Vec<_>>();
        lines
            .split(|line| line.is_empty())
            .filter(|paragraph| !paragraph.is_empty())
            .map(|paragraph| paragraph.join("\n"))
            .collect()
    }
}
