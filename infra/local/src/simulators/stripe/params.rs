//! Form parameters with brackets, as Stripe reads them: `items[0][price]=…`, `expand[]=…`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::ApiError;

/// The parameters of a request, taken one by one; what is left over is refused.
#[derive(Debug, Clone)]
pub(super) struct Params {
    map: Map<String, Value>,
    seen: BTreeSet<String>,
}

/// The largest amount: eight digits.
/// <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>
const LARGEST_AMOUNT: i64 = 99_999_999;

/// A time, or limits that it keeps: `created=…`, `created[gte]=…`.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    pub(super) bounds: Vec<(&'static str, i64)>,
}

/// Reads a form or a query; and the `expand[]` in it, which every request may have.
pub(super) fn parse(form: &str) -> (Params, Vec<String>) {
    let mut root = Value::Object(Map::new());
    for (name, value) in url::form_urlencoded::parse(form.as_bytes()) {
        let path: Vec<&str> = name
            .split(['[', ']'])
            .filter(|part| !part.is_empty())
            .collect();
        let list = name.ends_with("[]");
        put(&mut root, &path, list, value.into_owned());
    }
    let Value::Object(mut map) = root else {
        unreachable!("the root is an object")
    };
    let expand = match map.remove("expand") {
        Some(Value::Object(items)) => items
            .into_iter()
            .filter_map(|(_, item)| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    (
        Params {
            map,
            seen: BTreeSet::new(),
        },
        expand,
    )
}

/// Lists become objects keyed by position; [`Params::list`] reads both.
fn put(into: &mut Value, path: &[&str], list: bool, value: String) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(map) = into else { return };
    if rest.is_empty() && !list {
        map.insert((*first).to_owned(), Value::String(value));
        return;
    }
    let inner = map
        .entry(*first)
        .or_insert_with(|| Value::Object(Map::new()));
    if rest.is_empty() {
        let at = inner.as_object().map_or(0, Map::len);
        put(inner, &[&at.to_string()], false, value);
    } else {
        put(inner, rest, list, value);
    }
}

impl Params {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.seen.insert(name.to_owned());
        self.map.get(name).cloned()
    }

    /// A text that may be there; an empty one unsets.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name)?.as_str().map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                ApiError::coded(
                    "parameter_missing",
                    Some(name),
                    format!("Missing required param: {name}."),
                )
            })
    }

    /// A whole number that may be there.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            ApiError::coded(
                "parameter_invalid_integer",
                Some(name),
                format!("Invalid integer: {text}"),
            )
        })
    }

    /// An amount in minor units that must be there.
    pub(super) fn amount(&mut self, name: &str) -> Result<i64, ApiError> {
        self.required(name)?;
        let amount = self.integer(name)?.unwrap_or_default();
        within_limits(name, amount)?;
        Ok(amount)
    }

    /// A currency, in lower case, that may be there.
    pub(super) fn currency(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(currency) = self.text(name).map(|text| text.to_lowercase()) else {
            return Ok(None);
        };
        if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Ok(Some(currency));
        }
        Err(ApiError::param(
            name,
            format!("Invalid currency: {currency}"),
        ))
    }

    /// Limits on a time.
    pub(super) fn range(&mut self, name: &str) -> Result<Range, ApiError> {
        let mut bounds = Vec::new();
        if let Some(exact) = self.text(name).and(self.integer(name)?) {
            bounds.push(("", exact));
        }
        if let Some(mut given) = self.nested(name) {
            for bound in ["gt", "gte", "lt", "lte"] {
                if let Some(limit) = given.integer(bound)? {
                    bounds.push((bound, limit));
                }
            }
            given.finish()?;
        }
        Ok(Range { bounds })
    }

    /// Sets a parameter, as if it had been sent.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.map.insert(name.to_owned(), Value::String(value));
    }

    /// A truth value that may be there.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(ApiError::coded(
                "parameter_invalid",
                Some(name),
                format!("Invalid boolean: {other}"),
            )),
        }
    }

    /// Nested parameters that may be there.
    pub(super) fn nested(&mut self, name: &str) -> Option<Params> {
        match self.take(name)? {
            Value::Object(map) => Some(Params {
                map,
                seen: BTreeSet::new(),
            }),
            _ => None,
        }
    }

    /// A list of nested parameters, in order of their positions.
    pub(super) fn list(&mut self, name: &str) -> Vec<Params> {
        let Some(Value::Object(items)) = self.take(name) else {
            return Vec::new();
        };
        let mut items: Vec<_> = items.into_iter().collect();
        items.sort_by_key(|(at, _)| at.parse::<u64>().unwrap_or(u64::MAX));
        items
            .into_iter()
            .filter_map(|(_, item)| match item {
                Value::Object(map) => Some(Params {
                    map,
                    seen: BTreeSet::new(),
                }),
                _ => None,
            })
            .collect()
    }

    /// Merges `metadata` into what an object has; an empty value unsets a key.
    pub(super) fn metadata(&mut self, current: &Value) -> Value {
        let mut merged = current.as_object().cloned().unwrap_or_default();
        if let Some(given) = self.nested("metadata") {
            for (key, value) in given.map {
                if value.as_str() == Some("") {
                    merged.remove(&key);
                } else {
                    merged.insert(key, value);
                }
            }
        }
        Value::Object(merged)
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.map.keys().find(|name| !self.seen.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(ApiError::coded(
                "parameter_unknown",
                Some(name),
                format!("Received unknown parameter: {name}"),
            )),
        }
    }
}

/// Refuses an amount of more than eight digits.
pub(super) fn within_limits(name: &str, amount: i64) -> Result<(), ApiError> {
    if amount.abs() <= LARGEST_AMOUNT {
        return Ok(());
    }
    let message = "Amount must be no more than $999,999.99";
    Err(ApiError::coded("amount_too_large", Some(name), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_nest_and_lists_keep_their_order() {
        let (mut params, expand) = parse(
            "items[1][price]=b&items[0][price]=a&metadata[k]=v%20w&expand[]=x&expand[]=y.z&n=7",
        );
        let prices: Vec<_> = params
            .list("items")
            .iter_mut()
            .filter_map(|item| item.text("price"))
            .collect();
        assert_eq!(prices, ["a", "b"]);
        assert_eq!(params.metadata(&Value::Null)["k"], "v w");
        assert_eq!(params.integer("n").unwrap(), Some(7));
        assert_eq!(expand, ["x", "y.z"]);
        assert!(params.finish().is_ok());
    }

    #[test]
    fn what_is_left_over_is_refused() {
        let (mut params, _) = parse("a=1&b=2");
        params.text("a");
        assert_eq!(
            params.finish().unwrap_err().to_string(),
            "Received unknown parameter: b"
        );
    }
}
