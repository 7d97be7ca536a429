//! The last invoice of a subscription is not paid.

use super::templates::{Mail, templates};

/// The last invoice of a subscription is not paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionPastDue {
    /// The payment is not tried again.
    pub given_up: bool,
}

templates!(
    SubscriptionPastDue,
    "subscription_past_due/email.html",
    "subscription_past_due/email.txt"
);

impl Mail for SubscriptionPastDue {
    const CATEGORY: &str = "subscription_past_due";

    fn subject(&self, _: &str) -> String {
        format!("Your Bitflow subscription is {}", self.state())
    }
}

impl SubscriptionPastDue {
    fn state(&self) -> &'static str {
        if self.given_up { "unpaid" } else { "past due" }
    }
}
