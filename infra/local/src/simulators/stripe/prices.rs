//! Products and prices. <https://docs.stripe.com/api/prices>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::State;

pub(super) fn create_product(
    state: &mut State,
    mut params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    let product = json!({
        "id": State::new_id("prod"),
        "object": "product",
        "active": true,
        "created": now,
        "description": params.text("description"),
        "livemode": false,
        "metadata": params.metadata(&Value::Null),
        "name": params.required("name")?,
    });
    params.finish()?;
    state.put(product.clone());
    state.raise("product.created", &product, None, now);
    Ok(product)
}

pub(super) fn create(state: &mut State, mut params: Params, now: i64) -> Result<Value, ApiError> {
    params.required("currency")?;
    let currency = params.currency("currency")?;
    let unit_amount = params.amount("unit_amount")?;
    let product = match (params.text("product"), params.nested("product_data")) {
        (Some(id), _) => state.find("product", &id, Some("product"))?["id"].clone(),
        (None, Some(data)) => create_product(state, data, now)?["id"].clone(),
        (None, None) => {
            return Err(ApiError::coded(
                "parameter_missing",
                Some("product"),
                "Missing required param: product.",
            ));
        }
    };
    let recurring = match params.nested("recurring") {
        None => Value::Null,
        Some(mut recurring) => {
            let interval = recurring.required("interval")?;
            if !matches!(interval.as_str(), "day" | "week" | "month" | "year") {
                return Err(ApiError::coded(
                    "parameter_invalid",
                    Some("recurring[interval]"),
                    format!(
                        "Invalid recurring[interval]: must be one of day, week, month, or year, not {interval}"
                    ),
                ));
            }
            let count = recurring.integer("interval_count")?.unwrap_or(1);
            recurring.finish()?;
            json!({ "interval": interval, "interval_count": count, "usage_type": "licensed" })
        }
    };
    let kind = if recurring.is_null() {
        "one_time"
    } else {
        "recurring"
    };
    let price = json!({
        "id": State::new_id("price"),
        "object": "price",
        "active": true,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "livemode": false,
        "metadata": params.metadata(&Value::Null),
        "nickname": params.text("nickname"),
        "product": product,
        "recurring": recurring,
        "type": kind,
        "unit_amount": unit_amount,
    });
    params.finish()?;
    state.put(price.clone());
    state.raise("price.created", &price, None, now);
    Ok(price)
}
