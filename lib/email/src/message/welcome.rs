//! A university was onboarded.

use super::templates::{Mail, templates};

/// "University welcome email".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Where its portal is.
    pub domain: String,
    /// What it may store, bytes.
    pub storage_quota: u64,
}

templates!(Welcome, "welcome/email.html", "welcome/email.txt");

impl Mail for Welcome {
    const CATEGORY: &str = "welcome";

    fn subject(&self, university: &str) -> String {
        format!("Welcome to Bitflow, {university}")
    }
}

impl Welcome {
    /// `500 GB`, as people count storage.
    fn quota(&self) -> String {
        const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
        let mut unit = 0;
        let (mut whole, mut rest) = (self.storage_quota, 0);
        while whole >= 1000 && unit + 1 < UNITS.len() {
            (whole, rest) = (whole / 1000, whole % 1000);
            unit += 1;
        }
        match (rest / 100, whole) {
            (0, _) | (_, 100..) => format!("{whole} {}", UNITS[unit]),
            (tenth, _) => format!("{whole}.{tenth} {}", UNITS[unit]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        for (bytes, expect) in [
            (1, "1 bytes"),
            (1500, "1.5 kB"),
            (500_000_000_000, "500 GB"),
            (1_099_511_627_776, "1 TB"),
            (1 << 50, "1.1 PB"),
        ] {
            let mail = Welcome {
                domain: String::new(),
                storage_quota: bytes,
            };
            assert_eq!(mail.quota(), expect);
        }
    }
}
