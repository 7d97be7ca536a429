//! Two shapes of the same objects: before API 2025-03-31 and since.
//! <https://docs.stripe.com/changelog/basil>
//!
//! Objects are stored in the newer shape; what only the older one has is under `_older`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Which shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// 2025-03-31 and later: `invoice.parent`, periods on items, and how an invoice is paid in
    /// objects of its own.
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
    fn version(self) -> &'static str {
        match self {
            Self::Newer => "2025-03-31.basil",
            Self::Older => "2022-11-15",
        }
    }

    /// The object in this shape, and all objects in it.
    pub(super) fn render(self, object: &Value) -> Value {
        let mut object = object.clone();
        self.convert(&mut object);
        object
    }

    fn convert(self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.convert(item)),
            Value::Object(map) => {
                let kind = map.get("object").and_then(Value::as_str);
                if kind == Some("event") {
                    return self.event(value);
                }
                let kind = kind.unwrap_or_default().to_owned();
                let only_older = map.remove("_older");
                if kind == "invoice"
                    && let Some(lines) = map.get_mut("lines")
                {
                    first_lines(lines);
                }
                map.values_mut().for_each(|value| self.convert(value));
                if self == Self::Older {
                    if let Some(Value::Object(only_older)) = only_older {
                        map.extend(only_older);
                    }
                    match kind.as_str() {
                        "invoice" => invoice(value),
                        "line_item" => line(value),
                        "subscription" => subscription(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Both the object and what it was before are shown in the event's version.
    fn event(self, event: &mut Value) {
        event["api_version"] = self.version().into();
        if let Some(data) = event["data"].as_str() {
            event["data"] = serde_json::from_str(data).unwrap_or_default();
        }
        let after = self.render(&event["data"]["object"]);
        let Some(data) = event["data"].as_object_mut() else {
            return;
        };
        if let Some(Value::Object(replaced)) = data.remove("previous_attributes") {
            let mut before = data.get("object").cloned().unwrap_or_default();
            if let Value::Object(before) = &mut before {
                before.extend(replaced);
            }
            let before = self.render(&before);
            data.insert(
                "previous_attributes".to_owned(),
                previous(&before, &after).unwrap_or_else(|| json!({})),
            );
        }
        data.insert("object".to_owned(), after);
    }
}

/// An invoice shows its first ten lines.
/// <https://docs.stripe.com/api/invoice-line-item/retrieve>
fn first_lines(lines: &mut Value) {
    if let Some(data) = lines["data"].as_array_mut() {
        let has_more = data.len() > 10;
        data.truncate(10);
        lines["has_more"] = has_more.into();
    }
}

/// The attributes that differ, with their values from before; null for what was not there.
fn previous(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return Some(before.clone());
    };
    let mut differing = Map::new();
    for name in old.keys().chain(new.keys()) {
        let (old, new) = (old.get(name), new.get(name));
        if let Some(value) = previous(old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null)) {
            differing.insert(name.clone(), value);
        }
    }
    Some(Value::Object(differing))
}

fn invoice(invoice: &mut Value) {
    let details = invoice
        .pointer("/parent/subscription_details")
        .cloned()
        .unwrap_or_default();
    invoice["subscription"] = details["subscription"].clone();
    invoice["subscription_details"] = json!({ "metadata": details["metadata"] });
    invoice["paid"] = (invoice["status"] == "paid").into();
    if let Some(map) = invoice.as_object_mut() {
        for newer in ["parent", "payments", "amount_overpaid"] {
            map.remove(newer);
        }
    }
}

fn line(line: &mut Value) {
    let of = |line: &Value, path: &str| line.pointer(path).cloned().unwrap_or_default();
    let item = of(line, "/parent/invoice_item_details/invoice_item");
    let details = of(line, "/parent/subscription_item_details");
    line["type"] = if item.is_null() {
        "subscription".into()
    } else {
        "invoiceitem".into()
    };
    line["invoice_item"] = item;
    line["subscription"] = details["subscription"].clone();
    line["subscription_item"] = details["subscription_item"].clone();
    if let Some(map) = line.as_object_mut() {
        map.remove("parent");
        map.remove("pricing");
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
