//! A subscription was cancelled.

use jiff::Timestamp;

use super::templates::{Mail, templates};
use crate::format;

/// A subscription was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionCancelled {
    /// When it ends.
    pub end: End,
}

/// The end of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is over since.
    Was(Timestamp),
    /// It goes on until.
    WillBe(Timestamp),
}

templates!(
    SubscriptionCancelled,
    "subscription_cancelled/email.html",
    "subscription_cancelled/email.txt"
);

impl Mail for SubscriptionCancelled {
    const CATEGORY: &str = "subscription_cancelled";

    fn subject(&self, _: &str) -> String {
        match &self.end {
            End::Was(_) => "Your Bitflow subscription has ended".to_owned(),
            End::WillBe(at) => {
                format!("Your Bitflow subscription will end on {}", format::date(at))
            }
        }
    }
}
