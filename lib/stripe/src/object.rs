//! Stripe's objects, as far as we follow them, in both shapes.
//!
//! API 2025-03-31 moved things: `invoice.subscription` to `parent.subscription_details`,
//! `invoice.payment_intent` to `payments.data[].payment`, a subscription's period to its items.
//! Webhooks come in the version of the account or the endpoint, so both are read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Name/value pairs that we or others put on an object.
pub type Metadata = BTreeMap<String, String>;

/// An invoice. <https://docs.stripe.com/api/invoices/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// `in_…`.
    pub id: String,
    /// `draft`, `open`, `paid`, `void`, `uncollectible`.
    pub status: Option<String>,
    /// The number people read; none on a draft.
    pub number: Option<String>,
    /// `cus_…`.
    pub customer: Option<String>,
    /// `sub_…`, where it bills a subscription.
    pub subscription: Option<String>,
    /// The subscription's metadata, as of when the invoice was finalized.
    pub subscription_metadata: Metadata,
    /// Its own metadata.
    pub metadata: Metadata,
    /// ISO code, lower case.
    pub currency: String,
    /// Minor units to be paid.
    pub amount_due: i64,
    /// Minor units paid.
    pub amount_paid: i64,
    /// What it bills; the first ten where there are more.
    pub lines: Vec<Line>,
    /// There are more.
    pub has_more_lines: bool,
    /// Attempts to pay it so far.
    pub attempt_count: u64,
    /// When Stripe tries next.
    pub next_payment_attempt: Option<Timestamp>,
    /// Where it can be paid.
    pub hosted_invoice_url: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it is to be paid, where it is sent and not charged.
    pub due_date: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// `pi_…` of its payment, where the payload tells.
    pub payment_intent: Option<String>,
    /// `card` and so on, where the payload holds the expanded payment method.
    pub payment_method_type: Option<String>,
}

/// A line of an invoice. <https://docs.stripe.com/api/invoice-line-item/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub description: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// From when to when.
    pub period: Option<(Timestamp, Timestamp)>,
}

/// A charge. <https://docs.stripe.com/api/charges/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// `ch_…`.
    pub id: String,
    /// `cus_…`.
    pub customer: Option<String>,
    /// `pi_…` of the payment it belongs to.
    pub payment_intent: Option<String>,
    /// `in_…` of what it paid, in the older shape.
    pub invoice: Option<String>,
    /// Minor units that went back, in all.
    pub amount_refunded: i64,
}

/// A dispute. <https://docs.stripe.com/api/disputes/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// `dp_…`.
    pub id: String,
    /// `pi_…` of the payment that is disputed.
    pub payment_intent: Option<String>,
    /// Minor units that are disputed.
    pub amount: i64,
    /// `fraudulent` and so on.
    pub reason: Option<String>,
    /// When it was opened.
    pub created: Timestamp,
}

/// A customer. <https://docs.stripe.com/api/customers/object>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Customer {
    /// `cus_…`.
    pub id: String,
    /// Its metadata.
    #[serde(default)]
    pub metadata: Metadata,
    /// It was deleted; only its id is left.
    #[serde(default)]
    pub deleted: bool,
}

/// How an invoice was paid. <https://docs.stripe.com/api/invoice-payment/object>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentDetails {
    /// `pi_…`.
    pub payment_intent: Option<String>,
    /// `card` and so on.
    pub method: Option<String>,
}

/// A page of a list. <https://docs.stripe.com/api/pagination>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

/// A subscription. <https://docs.stripe.com/api/subscriptions/object>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `sub_…`.
    pub id: String,
    /// `cus_…`.
    pub customer: String,
    /// `active` and so on; Stripe may add words.
    pub status: String,
    /// Its metadata.
    pub metadata: Metadata,
    /// It ends with the period.
    pub cancel_at_period_end: bool,
    /// When its end was asked for.
    pub canceled_at: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its trial ends.
    pub trial_end: Option<Timestamp>,
    /// `price_…` of its first item.
    pub price: Option<String>,
    /// Start of the period that is paid for.
    pub current_period_start: Timestamp,
    /// End of the period that is paid for.
    pub current_period_end: Timestamp,
}

impl<'de> Deserialize<'de> for Invoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = wire::Invoice::deserialize(deserializer)?;
        let details = wire.parent.and_then(|parent| parent.subscription_details);
        let (newer_subscription, newer_metadata) = details.map_or((None, None), |details| {
            (details.subscription, details.metadata)
        });
        let older_metadata = wire
            .subscription_details
            .and_then(|details| details.metadata);
        let newer_intent = wire
            .payments
            .into_iter()
            .flat_map(|list| list.data)
            .find_map(|payment| payment.payment?.payment_intent);
        let intent = wire.payment_intent.or(newer_intent);
        Ok(Self {
            payment_method_type: intent
                .as_ref()
                .and_then(wire::Reference::payment_method_type),
            payment_intent: intent.map(wire::Reference::into_id),
            id: wire.id,
            status: wire.status,
            number: wire.number,
            has_more_lines: wire.lines.as_ref().is_some_and(|list| list.has_more),
            lines: wire.lines.map(|list| list.data).unwrap_or_default(),
            customer: wire.customer.map(wire::Reference::into_id),
            subscription: wire
                .subscription
                .or(newer_subscription)
                .map(wire::Reference::into_id),
            subscription_metadata: newer_metadata.or(older_metadata).unwrap_or_default(),
            metadata: wire.metadata.unwrap_or_default(),
            currency: wire.currency,
            amount_due: wire.amount_due,
            amount_paid: wire.amount_paid,
            attempt_count: wire.attempt_count,
            next_payment_attempt: wire.next_payment_attempt,
            hosted_invoice_url: wire.hosted_invoice_url,
            created: wire.created,
            due_date: wire.due_date,
            paid_at: wire
                .status_transitions
                .and_then(|transitions| transitions.paid_at),
        })
    }
}

impl<'de> Deserialize<'de> for Subscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = wire::Subscription::deserialize(deserializer)?;
        let item = wire.items.into_iter().flat_map(|list| list.data).next();
        let (item_start, item_end, price) = item.map_or((None, None, None), |item| {
            (
                item.current_period_start,
                item.current_period_end,
                item.price,
            )
        });
        let missing = |field| serde::de::Error::missing_field(field);
        Ok(Self {
            id: wire.id,
            customer: wire.customer.into_id(),
            status: wire.status,
            metadata: wire.metadata.unwrap_or_default(),
            // In the flexible billing mode an end at the period's is told as its time.
            cancel_at_period_end: wire.cancel_at_period_end || wire.cancel_at.is_some(),
            canceled_at: wire.canceled_at,
            created: wire.created,
            trial_end: wire.trial_end,
            price: price.map(wire::Reference::into_id),
            current_period_start: wire
                .current_period_start
                .or(item_start)
                .ok_or_else(|| missing("current_period_start"))?,
            current_period_end: wire
                .current_period_end
                .or(item_end)
                .ok_or_else(|| missing("current_period_end"))?,
        })
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = wire::Line::deserialize(deserializer)?;
        Ok(Self {
            description: wire.description,
            amount: wire.amount,
            period: wire.period.map(|period| (period.start, period.end)),
        })
    }
}

impl<'de> Deserialize<'de> for Charge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = wire::Charge::deserialize(deserializer)?;
        Ok(Self {
            id: wire.id,
            customer: wire.customer.map(wire::Reference::into_id),
            payment_intent: wire.payment_intent.map(wire::Reference::into_id),
            invoice: wire.invoice.map(wire::Reference::into_id),
            amount_refunded: wire.amount_refunded,
        })
    }
}

impl<'de> Deserialize<'de> for Dispute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = wire::Dispute::deserialize(deserializer)?;
        Ok(Self {
            id: wire.id,
            payment_intent: wire.payment_intent.map(wire::Reference::into_id),
            amount: wire.amount,
            reason: wire.reason,
            created: wire.created,
        })
    }
}

/// One element of `GET /v1/invoice_payments`.
pub(crate) use wire::InvoicePayment;

impl InvoicePayment {
    /// `in_…` of what was paid.
    pub(crate) fn invoice(self) -> Option<String> {
        self.invoice.map(wire::Reference::into_id)
    }

    /// How it was paid.
    pub(crate) fn details(self) -> PaymentDetails {
        let intent = self.payment.and_then(|payment| payment.payment_intent);
        PaymentDetails {
            method: intent
                .as_ref()
                .and_then(wire::Reference::payment_method_type),
            payment_intent: intent.map(wire::Reference::into_id),
        }
    }
}

/// Stripe's times: whole seconds since 1970.
pub(crate) mod seconds {
    use jiff::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_second(i64::deserialize(from)?).map_err(D::Error::custom)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Error, Timestamp};

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let seconds = Option::<i64>::deserialize(from)?;
            seconds
                .map(Timestamp::from_second)
                .transpose()
                .map_err(D::Error::custom)
        }
    }
}

/// The payloads as they come, both shapes side by side.
mod wire {
    use jiff::Timestamp;
    use serde::Deserialize;

    use super::{List, Metadata, seconds};

    #[derive(Deserialize)]
    pub(super) struct Invoice {
        pub(super) id: String,
        pub(super) status: Option<String>,
        pub(super) lines: Option<List<super::Line>>,
        pub(super) number: Option<String>,
        pub(super) customer: Option<Reference>,
        pub(super) subscription: Option<Reference>,
        pub(super) subscription_details: Option<Details>,
        pub(super) parent: Option<Parent>,
        pub(super) metadata: Option<Metadata>,
        pub(super) currency: String,
        #[serde(default)]
        pub(super) amount_due: i64,
        #[serde(default)]
        pub(super) amount_paid: i64,
        #[serde(default)]
        pub(super) attempt_count: u64,
        #[serde(default, with = "seconds::option")]
        pub(super) next_payment_attempt: Option<Timestamp>,
        pub(super) hosted_invoice_url: Option<String>,
        #[serde(with = "seconds")]
        pub(super) created: Timestamp,
        #[serde(default, with = "seconds::option")]
        pub(super) due_date: Option<Timestamp>,
        pub(super) status_transitions: Option<Transitions>,
        pub(super) payment_intent: Option<Reference>,
        pub(super) payments: Option<List<InvoicePayment>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Parent {
        pub(super) subscription_details: Option<Details>,
    }

    #[derive(Deserialize)]
    pub(super) struct Details {
        pub(super) subscription: Option<Reference>,
        pub(super) metadata: Option<Metadata>,
    }

    #[derive(Deserialize)]
    pub(super) struct Transitions {
        #[serde(default, with = "seconds::option")]
        pub(super) paid_at: Option<Timestamp>,
    }

    #[derive(Deserialize)]
    pub(super) struct Line {
        pub(super) description: Option<String>,
        #[serde(default)]
        pub(super) amount: i64,
        pub(super) period: Option<Period>,
    }

    #[derive(Deserialize)]
    pub(super) struct Period {
        #[serde(with = "seconds")]
        pub(super) start: Timestamp,
        #[serde(with = "seconds")]
        pub(super) end: Timestamp,
    }

    #[derive(Deserialize)]
    pub(super) struct Charge {
        pub(super) id: String,
        pub(super) customer: Option<Reference>,
        pub(super) payment_intent: Option<Reference>,
        pub(super) invoice: Option<Reference>,
        pub(super) amount_refunded: i64,
    }

    #[derive(Deserialize)]
    pub(super) struct Dispute {
        pub(super) id: String,
        pub(super) payment_intent: Option<Reference>,
        pub(super) amount: i64,
        pub(super) reason: Option<String>,
        #[serde(with = "seconds")]
        pub(super) created: Timestamp,
    }

    #[derive(Deserialize)]
    pub(crate) struct InvoicePayment {
        pub(super) invoice: Option<Reference>,
        pub(super) payment: Option<PaymentOf>,
    }

    #[derive(Deserialize)]
    pub(crate) struct PaymentOf {
        pub(super) payment_intent: Option<Reference>,
    }

    #[derive(Deserialize)]
    pub(super) struct Subscription {
        pub(super) id: String,
        pub(super) customer: Reference,
        pub(super) status: String,
        pub(super) metadata: Option<Metadata>,
        #[serde(default)]
        pub(super) cancel_at_period_end: bool,
        #[serde(default, with = "seconds::option")]
        pub(super) cancel_at: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) canceled_at: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) created: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) trial_end: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) current_period_start: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) current_period_end: Option<Timestamp>,
        pub(super) items: Option<List<Item>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Item {
        pub(super) price: Option<Reference>,
        #[serde(default, with = "seconds::option")]
        pub(super) current_period_start: Option<Timestamp>,
        #[serde(default, with = "seconds::option")]
        pub(super) current_period_end: Option<Timestamp>,
    }

    /// A field that holds an id, or the object itself where it was expanded.
    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(crate) enum Reference {
        Id(String),
        Object {
            id: String,
            payment_method: Option<Box<Method>>,
        },
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(crate) enum Method {
        Object {
            #[serde(rename = "type")]
            kind: String,
        },
        Id(#[expect(dead_code, reason = "tells an id from an object")] String),
    }

    impl Reference {
        pub(super) fn into_id(self) -> String {
            match self {
                Self::Id(id) | Self::Object { id, .. } => id,
            }
        }

        pub(super) fn payment_method_type(&self) -> Option<String> {
            match self {
                Self::Object {
                    payment_method: Some(method),
                    ..
                } => match method.as_ref() {
                    Method::Object { kind } => Some(kind.clone()),
                    Method::Id(_) => None,
                },
                _ => None,
            }
        }
    }
}
