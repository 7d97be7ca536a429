//! A university comes near its storage quota.

use super::templates::{Mail, templates};
use crate::format::Bytes;

/// `StorageQuotaWarningMail` (contract section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageWarning {
    /// Percent of the quota, e.g. `91.5`.
    pub usage_percentage: String,
    /// What is in use.
    pub used: Bytes,
    /// What may be.
    pub quota: Bytes,
}

templates!(
    StorageWarning,
    "storage_warning/email.html",
    "storage_warning/email.txt"
);

impl Mail for StorageWarning {
    const CATEGORY: &str = "storage_warning";

    fn subject(&self, university: &str) -> String {
        format!(
            "{university} uses {} % of its storage",
            self.usage_percentage
        )
    }
}
