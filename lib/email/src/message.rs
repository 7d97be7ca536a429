//! One type for each e-mail (contract section 1.3, "Email Types"), each in a module of its own.

mod invoice_generated;
mod invoice_voided;
mod payment_action_required;
mod payment_failed;
mod payment_received;
mod payment_reminder;
mod storage_warning;
mod subscription_cancelled;
mod subscription_expiring;
mod subscription_past_due;
mod system_downtime;
mod templates;
mod welcome;

pub use invoice_generated::InvoiceGenerated;
pub use invoice_voided::InvoiceVoided;
pub use payment_action_required::PaymentActionRequired;
pub use payment_failed::PaymentFailed;
pub use payment_received::PaymentReceived;
pub use payment_reminder::PaymentReminder;
pub use storage_warning::StorageWarning;
pub use subscription_cancelled::{End, SubscriptionCancelled};
pub use subscription_expiring::{Expiring, SubscriptionExpiring};
pub use subscription_past_due::SubscriptionPastDue;
pub use system_downtime::SystemDowntime;
pub use welcome::Welcome;

/// Any e-mail we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A university was onboarded.
    Welcome(Welcome),
    /// There is an invoice.
    InvoiceGenerated(InvoiceGenerated),
    /// An invoice was withdrawn.
    InvoiceVoided(InvoiceVoided),
    /// An invoice was paid.
    PaymentReceived(PaymentReceived),
    /// A payment failed.
    PaymentFailed(PaymentFailed),
    /// A payment waits for its payer.
    PaymentActionRequired(PaymentActionRequired),
    /// An invoice is not paid.
    PaymentReminder(PaymentReminder),
    /// A subscription has ended or will.
    SubscriptionCancelled(SubscriptionCancelled),
    /// The last invoice of a subscription is not paid.
    SubscriptionPastDue(SubscriptionPastDue),
    /// A subscription, or its trial, ends soon.
    SubscriptionExpiring(SubscriptionExpiring),
    /// The storage is nearly full.
    StorageWarning(StorageWarning),
    /// The system will be down.
    SystemDowntime(SystemDowntime),
}

/// An e-mail as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject.
    pub subject: String,
    /// For clients that show HTML.
    pub html: String,
    /// For those that do not.
    pub text: String,
    /// SendGrid's category, for its statistics.
    pub category: &'static str,
}

impl Message {
    /// Subject, both bodies and category, for the university of that name.
    pub fn render(&self, university: &str) -> Rendered {
        let university = &one_line(university);
        match self {
            Self::Welcome(mail) => mail.render(university),
            Self::InvoiceGenerated(mail) => mail.render(university),
            Self::InvoiceVoided(mail) => mail.render(university),
            Self::PaymentReceived(mail) => mail.render(university),
            Self::PaymentFailed(mail) => mail.render(university),
            Self::PaymentActionRequired(mail) => mail.render(university),
            Self::PaymentReminder(mail) => mail.render(university),
            Self::SubscriptionCancelled(mail) => mail.render(university),
            Self::SubscriptionPastDue(mail) => mail.render(university),
            Self::SubscriptionExpiring(mail) => mail.render(university),
            Self::StorageWarning(mail) => mail.render(university),
            Self::SystemDowntime(mail) => mail.render(university),
        }
    }
}

/// `text` on one line: a line break in a subject or a name would start another header.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|it: char| it.is_whitespace() || it.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
