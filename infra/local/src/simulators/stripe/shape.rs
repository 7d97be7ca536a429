//! Two shapes of the same objects: before API 2025-03-31 and since.
//! <https://docs.stripe.com/changelog/basil>

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// 2025-03-31 and later: `invoice.parent`, `invoice.payments`, periods on items.
    #[default]
    Newer,
    /// Before: `invoice.subscription`, `invoice.payment_intent`, the period on the subscription.
    Older,
}

impl Shape {
    /// The shape of an API version (`2025-03-31.basil`).
    pub(super) fn of_version(version: &str) -> Self {
        if version.get(..10).is_some_and(|date| date < "2025-03-31") {
            Self::Older
        } else {
            Self::Newer
        }
    }

    /// A version of this shape, for `event.api_version`.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Newer => "2025-03-31.basil",
            Self::Older => "2022-11-15",
        }
    }

    /// The object in this shape, and all objects in it.
    pub(super) fn render(self, object: &Value) -> Value {
        let mut object = object.clone();
        if self == Self::Older {
            older(&mut object);
        }
        object
    }
}

fn older(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(older),
        Value::Object(map) => {
            map.values_mut().for_each(older);
            match map.get("object").and_then(Value::as_str) {
                Some("invoice") => invoice(value),
                Some("subscription") => subscription(value),
                _ => {}
            }
        }
        _ => {}
    }
}

fn invoice(invoice: &mut Value) {
    let details = invoice
        .pointer("/parent/subscription_details")
        .cloned()
        .unwrap_or_default();
    let payment = invoice
        .pointer("/payments/data/0/payment/payment_intent")
        .cloned();
    invoice["subscription"] = details["subscription"].clone();
    invoice["subscription_details"] = json!({ "metadata": details["metadata"] });
    invoice["payment_intent"] = payment.unwrap_or_default();
    invoice["paid"] = (invoice["status"] == "paid").into();
    invoice["charge"] = Value::Null;
    if let Some(map) = invoice.as_object_mut() {
        map.remove("parent");
        map.remove("payments");
    }
}

fn subscription(subscription: &mut Value) {
    let item = subscription
        .pointer("/items/data/0")
        .cloned()
        .unwrap_or_default();
    subscription["current_period_start"] = item["current_period_start"].clone();
    subscription["current_period_end"] = item["current_period_end"].clone();
    for item in subscription
        .pointer_mut("/items/data")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(map) = item.as_object_mut() {
            map.remove("current_period_start");
            map.remove("current_period_end");
        }
    }
}
