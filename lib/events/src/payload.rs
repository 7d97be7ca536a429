//! What each event tells.

use bitflow_domain::alert::{AlertMessage, AlertType, Severity};
use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::{AlertId, InvoiceId, NotificationId, PaymentId, SubscriptionId};
use bitflow_domain::money::Money;
use bitflow_domain::notification::{Notice, NoticeTitle};
use bitflow_domain::university::usage::UsagePercentage;
use bitflow_domain::university::{StorageQuota, UniversityField, UniversityName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident = $version:literal),+ $(,)?) => {
        /// The data of an event; the variant's name is the event's `type` and the bus's `detail-type`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(tag = "type", content = "data")]
        pub enum Payload {
            $($(#[$doc])* $name($name)),+
        }

        impl Payload {
            /// Every event type there is.
            pub const KINDS: &[&str] = &[$(stringify!($name)),+];

            /// The event's `type`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name)),+
                }
            }

            /// The version of the data's shape that this build writes.
            pub fn version(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $version),+
                }
            }

            /// Reads `data`; `None` where this build does not know the type or the version.
            pub(crate) fn decode(
                kind: &str,
                version: u16,
                data: serde_json::Value,
            ) -> Result<Option<Self>, serde_json::Error> {
                match (kind, version) {
                    $((stringify!($name), $version) => {
                        serde_json::from_value(data).map(|data| Some(Self::$name(data)))
                    })+
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$name> for Payload {
            fn from(data: $name) -> Self {
                Self::$name(data)
            }
        })+
    };
}

payloads! {
    /// A university was onboarded.
    UniversityCreated = 1,
    /// Something of a university changed.
    UniversityUpdated = 1,
    /// A university was deleted.
    UniversityDeleted = 1,
    /// A university that was deleted is back.
    UniversityRestored = 1,
    /// A university's portal got a new secret.
    PortalSecretRotated = 1,
    /// A university came near its storage quota.
    StorageQuotaExceeded = 1,
    /// A subscription changed.
    SubscriptionStatusChanged = 1,
    /// There is an invoice that there was not.
    InvoiceGenerated = 1,
    /// An invoice was paid.
    PaymentProcessed = 1,
    /// A payment of an invoice was tried and failed.
    PaymentFailed = 1,
    /// A payment of an invoice waits for the customer.
    PaymentActionRequired = 1,
    /// Money of a payment went back.
    PaymentRefunded = 1,
    /// A payment was disputed.
    PaymentDisputed = 1,
    /// An overdue invoice is to be reminded of.
    PaymentReminderDue = 1,
    /// An invoice was withdrawn.
    InvoiceVoided = 1,
    /// An invoice was given up on.
    InvoiceMarkedUncollectible = 1,
    /// A subscription, or its trial, ends soon.
    SubscriptionExpiring = 1,
    /// A university's customer was deleted at Stripe.
    StripeCustomerDeleted = 1,
    /// The owner is alerted.
    AlertCreated = 1,
    /// Somebody has seen an alert.
    AlertAcknowledged = 1,
    /// All universities are to be told of maintenance.
    MaintenanceScheduled = 1,
    /// Maintenance is taken back.
    MaintenanceCancelled = 1,
    /// One university is to be told of maintenance.
    MaintenanceAnnounced = 1,
    /// A portal could not be told of something.
    PortalUnreachable = 1,
}

/// A university was onboarded (contract section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversityCreated {
    /// Its name.
    pub name: UniversityName,
    /// Where mail about it goes.
    pub primary_email: EmailAddress,
    /// Where its portal is.
    pub domain: DomainName,
    /// What it may store, bytes.
    pub storage_quota: StorageQuota,
}

/// Something of a university changed (contract section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversityUpdated {
    /// What changed; at least one.
    pub changes: Vec<UniversityChange>,
}

/// One field of a university before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversityChange {
    /// Which field.
    pub field: UniversityField,
    /// Before, as the API shows it.
    pub old: serde_json::Value,
    /// After, likewise.
    pub new: serde_json::Value,
}

impl UniversityUpdated {
    /// Whether one of `fields` changed.
    pub fn touches(&self, fields: &[UniversityField]) -> bool {
        self.changes.iter().any(|it| fields.contains(&it.field))
    }
}

/// A university was deleted (contract section 2.1): its domain is free, its subscriptions end, its
/// history and its invoices stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversityDeleted {
    /// Its name.
    pub name: UniversityName,
    /// The domain that it had.
    pub domain: DomainName,
}

/// A university that was deleted is back, with the domain that it had; its subscriptions are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversityRestored {
    /// Its name.
    pub name: UniversityName,
    /// Its domain.
    pub domain: DomainName,
}

/// A university's portal got a new secret, which this does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalSecretRotated {
    /// Until when the one before it verifies.
    pub previous_expires_at: Timestamp,
}

/// A university uses more than 90 % of its storage quota, and did not before (contract section 2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageQuotaExceeded {
    /// Percent of the quota.
    pub usage_percentage: UsagePercentage,
    /// Bytes in use.
    pub storage_used: u64,
    /// What it may store, bytes.
    pub storage_quota: StorageQuota,
}

/// A subscription's status or terms changed (contract section 1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionStatusChanged {
    /// The subscription.
    pub subscription_id: SubscriptionId,
    /// Stripe's id of it; nothing for a manual plan.
    pub stripe_subscription_id: Option<String>,
    /// Before; nothing where it was not known.
    pub from: Option<SubscriptionStatus>,
    /// After.
    pub to: SubscriptionStatus,
    /// It ends with the period.
    pub cancel_at_period_end: bool,
    /// End of the period that is paid for.
    pub current_period_end: Timestamp,
}

/// There is an invoice that there was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceGenerated {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What is asked for.
    pub amount_due: Money,
    /// When it is to be paid.
    pub due_at: Timestamp,
    /// Stripe's page on which it can be paid.
    pub hosted_invoice_url: Option<String>,
}

/// An invoice was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentProcessed {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was paid.
    pub invoice_id: InvoiceId,
    /// Stripe's id of the invoice.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What came in.
    pub amount: Money,
    /// Stripe's payment method type, where Stripe told.
    pub method: Option<String>,
    /// Stripe's payment intent, where Stripe told.
    pub stripe_payment_intent_id: Option<String>,
}

/// A payment of an invoice was tried and failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// What was not paid.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What is still to be paid.
    pub amount_due: Money,
    /// Which attempt it was, from 1.
    pub attempt_count: u64,
    /// When Stripe tries again, where it does.
    pub next_attempt_at: Option<Timestamp>,
    /// Stripe's page on which it can be paid.
    pub hosted_invoice_url: Option<String>,
}

/// A payment of an invoice waits for the customer to confirm it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentActionRequired {
    /// What is to be paid.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// How much.
    pub amount_due: Money,
    /// Stripe's page on which it can be confirmed.
    pub hosted_invoice_url: Option<String>,
}

/// Money of a payment went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The payment.
    pub payment_id: PaymentId,
    /// What it had paid.
    pub invoice_id: InvoiceId,
    /// What had come in.
    pub amount: Money,
    /// What went back of it in all, minor units.
    pub amount_refunded: i64,
}

/// The payer's bank takes a payment back, unless it is contested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDisputed {
    /// The payment.
    pub payment_id: PaymentId,
    /// What it had paid.
    pub invoice_id: InvoiceId,
    /// What is disputed.
    pub amount: Money,
    /// Stripe's word for why.
    pub reason: Option<String>,
}

/// An overdue invoice is to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReminderDue {
    /// What is not paid.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// How much.
    pub amount_due: Money,
    /// When it was to be paid.
    pub due_at: Timestamp,
    /// Which reminder it is, in days after `due_at`; nothing where an admin asked for it.
    pub step_days: Option<u16>,
    /// Stripe's page on which it can be paid.
    pub hosted_invoice_url: Option<String>,
}

/// An invoice was withdrawn; it is not to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceVoided {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What had been asked for.
    pub amount_due: Money,
}

/// An invoice was given up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceMarkedUncollectible {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Stripe's id of it.
    pub stripe_invoice_id: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What is not expected any more.
    pub amount_due: Money,
}

/// A subscription, or its trial, ends soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionExpiring {
    /// The subscription.
    pub subscription_id: SubscriptionId,
    /// Stripe's id of it; nothing for a manual plan.
    pub stripe_subscription_id: Option<String>,
    /// What ends.
    pub what: Expiring,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiring {
    /// The subscription: it was cancelled for the end of its period.
    Subscription,
    /// The trial: then the subscription is paid for.
    Trial,
}

/// A university's customer was deleted at Stripe; its next bill makes another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeCustomerDeleted {
    /// The customer (`cus_…`).
    pub stripe_customer_id: String,
}

/// The owner is alerted of something (contract sections 3.1, 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCreated {
    /// The alert.
    pub alert_id: AlertId,
    /// What kind of thing happened.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// How bad that is.
    pub severity: Severity,
    /// What happened, for people.
    pub message: AlertMessage,
}

/// An admin has seen an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertAcknowledged {
    /// The alert.
    pub alert_id: AlertId,
    /// What kind of thing had happened.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// Who has seen it: the admin's subject.
    pub acknowledged_by: String,
}

/// All universities are to be told of maintenance (contract section 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceScheduled {
    /// The notification.
    pub notification_id: NotificationId,
    /// What is told.
    #[serde(flatten)]
    pub notice: Notice,
}

/// Maintenance is taken back: whoever was not told yet is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceCancelled {
    /// The notification.
    pub notification_id: NotificationId,
    /// What had been told.
    #[serde(flatten)]
    pub notice: Notice,
}

/// One university is to be told of maintenance, by mail and at its portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceAnnounced {
    /// The notification.
    pub notification_id: NotificationId,
    /// What is told.
    #[serde(flatten)]
    pub notice: Notice,
}

/// A portal could not be told of something, and is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalUnreachable {
    /// The notification.
    pub notification_id: NotificationId,
    /// Its title.
    pub title: NoticeTitle,
    /// How often it was tried.
    pub attempts: u32,
    /// What the portal answered last, if anything: an HTTP status.
    pub last_status: Option<u16>,
    /// Why it failed, for people.
    pub reason: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use bitflow_domain::money::Currency;
    use bitflow_domain::notification::NoticeMessage;
    use uuid::Uuid;

    use super::*;

    fn of_universities(at: Timestamp) -> Vec<Payload> {
        vec![
            Payload::from(UniversityCreated {
                name: UniversityName::parse("Uppsala").unwrap(),
                primary_email: EmailAddress::parse("it@uu.example").unwrap(),
                domain: DomainName::parse("portal.uu.example").unwrap(),
                storage_quota: StorageQuota::from_bytes(1 << 30).unwrap(),
            }),
            Payload::from(UniversityUpdated {
                changes: vec![
                    UniversityChange {
                        field: UniversityField::PrimaryEmail,
                        old: "it@uu.example".into(),
                        new: "registrar@uu.example".into(),
                    },
                    UniversityChange {
                        field: UniversityField::StorageQuota,
                        old: (1 << 30).into(),
                        new: (1_u64 << 31).into(),
                    },
                ],
            }),
            Payload::from(UniversityDeleted {
                name: UniversityName::parse("Uppsala").unwrap(),
                domain: DomainName::parse("portal.uu.example").unwrap(),
            }),
            Payload::from(UniversityRestored {
                name: UniversityName::parse("Uppsala").unwrap(),
                domain: DomainName::parse("portal.uu.example").unwrap(),
            }),
            Payload::from(PortalSecretRotated {
                previous_expires_at: at,
            }),
            Payload::from(StorageQuotaExceeded {
                usage_percentage: UsagePercentage::of(
                    9157,
                    StorageQuota::from_bytes(10_000).unwrap(),
                ),
                storage_used: 9157,
                storage_quota: StorageQuota::from_bytes(10_000).unwrap(),
            }),
        ]
    }

    fn of_alerts() -> Vec<Payload> {
        let alert_id = AlertId::from_uuid(Uuid::from_u128(4));
        let kind = AlertType::parse("storage_exceeded").unwrap();
        vec![
            Payload::from(AlertCreated {
                alert_id,
                kind: kind.clone(),
                severity: Severity::High,
                message: AlertMessage::parse("Storage quota exceeded").unwrap(),
            }),
            Payload::from(AlertAcknowledged {
                alert_id,
                kind,
                acknowledged_by: "auth0|7".to_owned(),
            }),
        ]
    }

    fn of_notifications(at: Timestamp) -> Vec<Payload> {
        let notification_id = NotificationId::from_uuid(Uuid::from_u128(5));
        let notice = Notice {
            title: NoticeTitle::parse("Scheduled Maintenance").unwrap(),
            message: NoticeMessage::parse("System will be down for 2 hours").unwrap(),
            scheduled_at: at,
        };
        vec![
            Payload::from(MaintenanceScheduled {
                notification_id,
                notice: notice.clone(),
            }),
            Payload::from(MaintenanceCancelled {
                notification_id,
                notice: notice.clone(),
            }),
            Payload::from(MaintenanceAnnounced {
                notification_id,
                notice: notice.clone(),
            }),
            Payload::from(PortalUnreachable {
                notification_id,
                title: notice.title,
                attempts: 7,
                last_status: Some(503),
                reason: "the portal answered 503 for now".to_owned(),
            }),
        ]
    }

    pub(crate) fn one_of_each() -> Vec<Payload> {
        let invoice_id = InvoiceId::from_uuid(Uuid::from_u128(2));
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let others = vec![
            Payload::from(SubscriptionStatusChanged {
                subscription_id: SubscriptionId::from_uuid(Uuid::from_u128(3)),
                stripe_subscription_id: Some("sub_1".to_owned()),
                from: Some(SubscriptionStatus::Active),
                to: SubscriptionStatus::PastDue,
                cancel_at_period_end: false,
                current_period_end: at,
            }),
            Payload::from(InvoiceGenerated {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
                due_at: at,
                hosted_invoice_url: None,
            }),
            Payload::from(PaymentProcessed {
                payment_id: PaymentId::of_invoice(invoice_id),
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount: Money::new(5000, Currency::USD),
                method: Some("card".to_owned()),
                stripe_payment_intent_id: Some("pi_1".to_owned()),
            }),
            Payload::from(PaymentFailed {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
                attempt_count: 1,
                next_attempt_at: Some(at),
                hosted_invoice_url: Some("https://invoice.stripe.com/i/1".to_owned()),
            }),
            Payload::from(PaymentActionRequired {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
                hosted_invoice_url: Some("https://invoice.stripe.com/i/1".to_owned()),
            }),
            Payload::from(PaymentRefunded {
                payment_id: PaymentId::of_invoice(invoice_id),
                invoice_id,
                amount: Money::new(5000, Currency::USD),
                amount_refunded: 2000,
            }),
            Payload::from(PaymentDisputed {
                payment_id: PaymentId::of_invoice(invoice_id),
                invoice_id,
                amount: Money::new(5000, Currency::USD),
                reason: Some("fraudulent".to_owned()),
            }),
            Payload::from(PaymentReminderDue {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
                due_at: at,
                step_days: Some(7),
                hosted_invoice_url: Some("https://invoice.stripe.com/i/1".to_owned()),
            }),
            Payload::from(InvoiceVoided {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
            }),
            Payload::from(InvoiceMarkedUncollectible {
                invoice_id,
                stripe_invoice_id: "in_1".to_owned(),
                invoice_number: Some("UU-0001".to_owned()),
                amount_due: Money::new(5000, Currency::USD),
            }),
            Payload::from(SubscriptionExpiring {
                subscription_id: SubscriptionId::from_uuid(Uuid::from_u128(3)),
                stripe_subscription_id: Some("sub_1".to_owned()),
                what: Expiring::Subscription,
                ends_at: at,
            }),
            Payload::from(StripeCustomerDeleted {
                stripe_customer_id: "cus_1".to_owned(),
            }),
        ];
        let all = [
            of_universities(at),
            others,
            of_alerts(),
            of_notifications(at),
        ]
        .concat();
        let kinds: Vec<_> = all.iter().map(Payload::kind).collect();
        assert_eq!(kinds, Payload::KINDS, "one of each, in order");
        all
    }
}
