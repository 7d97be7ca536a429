//! A university was onboarded.

use super::templates::{Mail, templates};
use crate::format::Bytes;

/// "University welcome email" (contract section 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Where its portal is.
    pub domain: String,
    /// What it may store.
    pub storage_quota: Bytes,
}

templates!(Welcome, "welcome/email.html", "welcome/email.txt");

impl Mail for Welcome {
    const CATEGORY: &str = "welcome";

    fn subject(&self, university: &str) -> String {
        format!("Welcome to Bitflow, {university}")
    }
}
