//! Typed identifiers. An id of one kind never passes for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::billing::month::Month;

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID")]
pub struct InvalidId;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID for an id of this kind. New ids are version 7, so that they sort by
            /// time; derived ones version 5.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// Reads the hyphenated form; a UUID in any other is refused.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form: one id has one spelling.
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    )+};
}

uuid_ids! {
    /// A university.
    UniversityId,
    /// A subscription of a university.
    SubscriptionId,
    /// An invoice of a university.
    InvoiceId,
    /// A payment of an invoice.
    PaymentId,
    /// An alert.
    AlertId,
    /// A maintenance notification.
    NotificationId,
    /// A logo of a university.
    LogoId,
    /// A file that a browser uploads.
    UploadId,
    /// A report of a month.
    ReportId,
}

/// Namespace of every derived id (a random UUID, fixed for ever).
const DERIVED: Uuid = Uuid::from_u128(0x8f0e_4b52_6d2c_4c1e_9a55_3f1b_72c0_9e11);

impl InvoiceId {
    /// The id of an invoice that Stripe made and we adopt: whoever sees it first and however
    /// often, it is the same row.
    pub fn of_stripe_invoice(stripe_invoice_id: &str) -> Self {
        Self(Uuid::new_v5(
            &DERIVED,
            format!("stripe-invoice:{stripe_invoice_id}").as_bytes(),
        ))
    }
}

impl InvoiceId {
    /// The id of the invoice of a manual plan for one month: whoever bills that month and however
    /// often, it is the same row.
    pub fn of_month(subscription: SubscriptionId, month: Month) -> Self {
        Self(Uuid::new_v5(
            &DERIVED,
            format!("month:{subscription}:{month}").as_bytes(),
        ))
    }
}

impl SubscriptionId {
    /// The id of a subscription that Stripe made and we adopt.
    pub fn of_stripe_subscription(stripe_subscription_id: &str) -> Self {
        Self(Uuid::new_v5(
            &DERIVED,
            format!("stripe-subscription:{stripe_subscription_id}").as_bytes(),
        ))
    }
}

impl PaymentId {
    /// The id of the payment that settled `invoice`: an invoice is paid once.
    pub fn of_invoice(invoice: InvoiceId) -> Self {
        Self(Uuid::new_v5(
            &DERIVED,
            format!("payment:{invoice}").as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "018f3b5e-7c1a-7d1e-8f00-0123456789ab";
        assert_eq!(UniversityId::parse(text).unwrap().to_string(), text);
        for wrong in [
            "",
            "x",
            "018f3b5e7c1a7d1e8f000123456789ab",
            "{018f3b5e-7c1a-7d1e-8f00-0123456789ab}",
        ] {
            assert_eq!(UniversityId::parse(wrong), Err(InvalidId), "{wrong}");
        }
    }

    #[test]
    fn derived_ids_depend_on_kind_and_source() {
        let invoice = InvoiceId::of_stripe_invoice("in_1");
        assert_eq!(invoice, InvoiceId::of_stripe_invoice("in_1"));
        assert_ne!(invoice, InvoiceId::of_stripe_invoice("in_2"));
        assert_ne!(
            invoice.as_uuid(),
            SubscriptionId::of_stripe_subscription("in_1").as_uuid()
        );
        // Stored ids: a change here would make second rows for old invoices.
        assert_eq!(invoice.to_string(), "2249b8b6-65d6-58b7-b7fc-f491015e28db");
        assert_eq!(
            PaymentId::of_invoice(invoice).to_string(),
            "b186e1f1-4686-5e06-a572-d5940c250df8"
        );
    }
}
