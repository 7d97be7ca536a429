//! Lists: newest first, in pages, narrowed by filters. <https://docs.stripe.com/api/pagination>

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::{Params, Range};
use super::state::{State, field};

/// `draft` and so on, as Stripe names them where another is asked for.
const INVOICE_STATUSES: [&str; 5] = ["draft", "open", "void", "paid", "uncollectible"];
const SUBSCRIPTION_STATUSES: [&str; 10] = [
    "active",
    "past_due",
    "unpaid",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "trialing",
    "paused",
    "all",
    "ended",
];
const PAYMENT_STATUSES: [&str; 3] = ["open", "paid", "canceled"];

/// A page of a list, filtered by equality of these fields and by `created`.
pub(super) fn page(
    state: &State,
    kind: &str,
    url: &str,
    params: Params,
    filters: &[&str],
) -> Result<Value, ApiError> {
    narrowed(state, kind, url, params, filters, |_| true)
}

/// `GET /v1/invoices`. <https://docs.stripe.com/api/invoices/list>
pub(super) fn invoices(state: &State, mut params: Params) -> Result<Value, ApiError> {
    one_of(&mut params, "status", &INVOICE_STATUSES)?;
    let filters = ["customer", "subscription", "status", "collection_method"];
    page(state, "invoice", "/v1/invoices", params, &filters)
}

/// `GET /v1/subscriptions`: those that are not canceled, where no status is asked for.
/// <https://docs.stripe.com/api/subscriptions/list>
pub(super) fn subscriptions(state: &State, mut params: Params) -> Result<Value, ApiError> {
    let status = one_of(&mut params, "status", &SUBSCRIPTION_STATUSES)?;
    let keep = |subscription: &Value| match status.as_deref() {
        None => subscription["status"] != "canceled",
        Some("all") => true,
        Some("ended") => matches!(
            subscription["status"].as_str(),
            Some("canceled" | "incomplete_expired")
        ),
        Some(status) => subscription["status"] == status,
    };
    let filters = ["customer", "collection_method"];
    let url = "/v1/subscriptions";
    narrowed(state, "subscription", url, params, &filters, keep)
}

/// `GET /v1/invoices/{id}/lines`. <https://docs.stripe.com/api/invoice-line-item/retrieve>
pub(super) fn invoice_lines(
    state: &State,
    id: &str,
    mut params: Params,
) -> Result<Value, ApiError> {
    let invoice = state.find("invoice", id, None)?;
    let limit = limit(&mut params)?;
    let after = params.text("starting_after");
    params.finish()?;
    let all = invoice["lines"]["data"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let start = match &after {
        None => 0,
        Some(after) => {
            let at = all.iter().position(|line| line["id"] == **after);
            at.ok_or_else(|| ApiError::no_such("line_item", after, Some("starting_after")))? + 1
        }
    };
    let data: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    Ok(json!({
        "object": "list",
        "url": format!("/v1/invoices/{id}/lines"),
        "has_more": start + data.len() < all.len(),
        "data": data,
    }))
}

/// `GET /v1/invoice_payments`: by invoice, or by what paid.
/// <https://docs.stripe.com/api/invoice-payment/list>
pub(super) fn invoice_payments(state: &State, mut params: Params) -> Result<Value, ApiError> {
    one_of(&mut params, "status", &PAYMENT_STATUSES)?;
    let intent = match params.nested("payment") {
        None => None,
        Some(mut payment) => {
            let kind = payment.required("type")?;
            if kind != "payment_intent" {
                let message = format!("Invalid payment[type]: must be payment_intent, not {kind}");
                return Err(ApiError::param("payment[type]", message));
            }
            let intent = payment.required("payment_intent")?;
            payment.finish()?;
            Some(intent)
        }
    };
    if let Some(intent) = intent {
        params.set("payment_intent", intent);
    }
    let filters = ["invoice", "payment_intent", "status"];
    let url = "/v1/invoice_payments";
    page(state, "invoice_payment", url, params, &filters)
}

fn narrowed(
    state: &State,
    kind: &str,
    url: &str,
    mut params: Params,
    filters: &[&str],
    keep: impl Fn(&Value) -> bool,
) -> Result<Value, ApiError> {
    let limit = limit(&mut params)?;
    let created = params.range("created")?;
    let after = params.text("starting_after");
    let mut wanted = Vec::new();
    for name in filters {
        if let Some(value) = params.text(name) {
            wanted.push((*name, value));
        }
    }
    params.finish()?;
    // A customer that was deleted still has a history.
    if let Some((_, customer)) = wanted.iter().find(|(name, _)| *name == "customer")
        && state
            .get(customer)
            .is_none_or(|it| it["object"] != "customer")
    {
        return Err(ApiError::no_such("customer", customer, Some("customer")));
    }
    let before = match &after {
        None => u64::MAX,
        Some(id) => state
            .order(id)
            .ok_or_else(|| ApiError::no_such(kind, id, Some("starting_after")))?,
    };
    let by = wanted
        .iter()
        .find(|(name, _)| State::is_indexed(name))
        .map(|(name, value)| (*name, value.as_str()));
    let fits = |object: &&Value| {
        object["deleted"] != true
            && created.holds(object["created"].as_i64())
            && keep(object)
            && wanted
                .iter()
                .all(|(name, value)| field(object, name) == Some(value))
    };
    let mut found: Vec<&Value> = state
        .before(kind, by, before)
        .rev()
        .filter(fits)
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": found }))
}

/// How many are wanted; ten by default.
fn limit(params: &mut Params) -> Result<usize, ApiError> {
    let limit = params.integer("limit")?.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::coded(
            "parameter_invalid_integer",
            Some("limit"),
            "limit must be from 1 to 100",
        ));
    }
    Ok(usize::try_from(limit).unwrap_or(10))
}

/// A parameter that may be there, and is then one of these.
fn one_of(params: &mut Params, name: &str, known: &[&str]) -> Result<Option<String>, ApiError> {
    let given = params.text(name);
    if let Some(given) = &given
        && !known.contains(&given.as_str())
    {
        let (last, others) = known.split_last().unwrap_or((&"", &[]));
        let others = others.join(", ");
        let message = format!("Invalid {name}: must be one of {others}, or {last}");
        return Err(ApiError::param(name, message));
    }
    Ok(given)
}

impl Range {
    /// Whether a time is in it.
    fn holds(&self, at: Option<i64>) -> bool {
        let at = at.unwrap_or(0);
        self.bounds.iter().all(|(bound, limit)| match *bound {
            "gt" => at > *limit,
            "gte" => at >= *limit,
            "lt" => at < *limit,
            "lte" => at <= *limit,
            _ => at == *limit,
        })
    }
}
