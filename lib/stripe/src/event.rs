//! Webhook events, of any API version. <https://docs.stripe.com/api/events/object>

use bitflow_fault::{Class, Fault};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::object::{Charge, Customer, Dispute, Invoice, Subscription, seconds};

/// A verified event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `evt_…`; the same on every delivery.
    pub id: String,
    /// The `type`, e.g. `invoice.payment_failed`.
    pub kind: String,
    /// When it happened; whole seconds.
    pub created: Timestamp,
    /// The object as it was then.
    pub object: Object,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `invoice`.
    Invoice(Box<Invoice>),
    /// `subscription`.
    Subscription(Box<Subscription>),
    /// `charge`.
    Charge(Box<Charge>),
    /// `dispute`.
    Dispute(Box<Dispute>),
    /// `customer`.
    Customer(Box<Customer>),
    /// Something we do not follow.
    Other,
}

/// A verified body is not an event we can read.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not an event at all.
    #[error("the body is not a Stripe event")]
    Event(#[source] serde_json::Error),
    /// An event we follow, without what we need of its object.
    #[error("the object of event {id} ({kind}) could not be read")]
    Object {
        /// The event.
        id: String,
        /// Its type.
        kind: String,
        /// What is missing.
        #[source]
        source: serde_json::Error,
    },
}

impl Fault for ParseError {
    fn class(&self) -> Class {
        Class::Invalid
    }
}

/// Reads an event. Unknown types, unknown fields and other API versions are fine. The object is read
/// for the types that the caller `follows` only, so that no other event can be refused for it.
///
/// # Errors
/// [`ParseError::Object`] for an event that the caller follows, without what we need: it is worth
/// another delivery, since a later build may read it. [`ParseError::Event`] for what is none, which
/// no delivery mends.
pub fn parse(body: &[u8], follows: impl FnOnce(&str) -> bool) -> Result<Event, ParseError> {
    let wire: Wire = serde_json::from_slice(body).map_err(ParseError::Event)?;
    let named = wire
        .data
        .object
        .get("object")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let object = match named {
        _ if !follows(&wire.kind) => Ok(Object::Other),
        "invoice" => {
            Invoice::deserialize(&wire.data.object).map(|it| Object::Invoice(Box::new(it)))
        }
        "subscription" => Subscription::deserialize(&wire.data.object)
            .map(|it| Object::Subscription(Box::new(it))),
        "charge" => Charge::deserialize(&wire.data.object).map(|it| Object::Charge(Box::new(it))),
        "dispute" => {
            Dispute::deserialize(&wire.data.object).map(|it| Object::Dispute(Box::new(it)))
        }
        "customer" => {
            Customer::deserialize(&wire.data.object).map(|it| Object::Customer(Box::new(it)))
        }
        _ => Ok(Object::Other),
    };
    match object {
        Ok(object) => Ok(Event {
            id: wire.id,
            kind: wire.kind,
            created: wire.created,
            object,
        }),
        Err(source) => Err(ParseError::Object {
            id: wire.id,
            kind: wire.kind,
            source,
        }),
    }
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "seconds")]
    created: Timestamp,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}
