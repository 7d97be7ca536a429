//! A subscription, or its trial, ends soon.

use std::fmt;

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format;

/// "Subscription expiration warning" (contract section 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionExpiring {
    /// What ends.
    pub what: Expiring,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    /// The subscription: it was cancelled.
    Subscription,
    /// The trial: then the subscription is paid for.
    Trial,
}

templates!(
    SubscriptionExpiring,
    "subscription_expiring/email.html",
    "subscription_expiring/email.txt"
);

impl Mail for SubscriptionExpiring {
    const CATEGORY: &str = "subscription_expiring";

    fn subject(&self, _: &str) -> String {
        format!(
            "Your Bitflow {} ends on {}",
            self.what,
            format::date(&self.ends_at)
        )
    }
}

impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscription => "subscription",
            Self::Trial => "trial",
        })
    }
}
