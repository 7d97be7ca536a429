//! What paths mean, and what `expand[]` adds.

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::shape::Shape;
use super::state::State;
use super::{charges, customers, invoice_items, invoices, lists, payments, prices, subscriptions};

/// What a request does.
pub(super) fn route(
    state: &mut State,
    method: &str,
    segments: &[&str],
    params: Params,
    now: i64,
) -> Result<Value, ApiError> {
    match (method, segments) {
        ("POST", ["customers"]) => customers::create(state, params, now),
        ("POST", ["customers", id]) => customers::update(state, id, params, now),
        ("DELETE", ["customers", id]) => customers::delete(state, id, now),
        ("POST", ["products"]) => prices::create_product(state, params, now),
        ("POST", ["prices"]) => prices::create(state, params, now),
        ("POST", ["subscriptions"]) => subscriptions::create(state, params, now),
        ("POST", ["subscriptions", id]) => subscriptions::update(state, id, params, now),
        ("DELETE", ["subscriptions", id]) => subscriptions::cancel(state, id, params, now),
        ("POST", ["invoices"]) => invoices::create(state, params, now),
        ("POST", ["invoices", id]) => invoices::update(state, id, params, now),
        ("POST", ["invoices", id, "finalize"]) => {
            invoices::finalize_as_asked(state, id, params, now)
        }
        ("POST", ["invoices", id, "pay"]) => payments::pay_as_asked(state, id, params, now),
        ("POST", ["invoices", id, "void"]) => invoices::close(state, id, "void", now),
        ("POST", ["invoices", id, "mark_uncollectible"]) => {
            invoices::close(state, id, "uncollectible", now)
        }
        ("POST", ["invoiceitems"]) => invoice_items::create(state, params, now),
        ("POST", ["refunds"]) => charges::refund(state, params, now),
        ("GET", segments) => read(state, segments, params),
        _ => Err(ApiError::no_path(method, &segments.join("/"))),
    }
}

fn read(state: &State, segments: &[&str], params: Params) -> Result<Value, ApiError> {
    let page = |kind, url, filters: &[&str], params| lists::page(state, kind, url, params, filters);
    let of_payment = ["charge", "payment_intent"];
    match segments {
        ["customers", "search"] => customers::search(state, params),
        ["customers"] => page("customer", "/v1/customers", &["email"], params),
        ["products"] => page("product", "/v1/products", &[], params),
        ["prices"] => page("price", "/v1/prices", &["product"], params),
        ["subscriptions"] => lists::subscriptions(state, params),
        ["invoices"] => lists::invoices(state, params),
        ["invoices", id, "lines"] => lists::invoice_lines(state, id, params),
        ["invoiceitems"] => {
            let filters = ["customer", "invoice"];
            page("invoiceitem", "/v1/invoiceitems", &filters, params)
        }
        ["invoice_payments"] => lists::invoice_payments(state, params),
        ["payment_intents"] => {
            let url = "/v1/payment_intents";
            page("payment_intent", url, &["customer"], params)
        }
        ["payment_methods"] => {
            let filters = ["customer", "type"];
            page("payment_method", "/v1/payment_methods", &filters, params)
        }
        ["charges"] => {
            let filters = ["customer", "payment_intent"];
            page("charge", "/v1/charges", &filters, params)
        }
        ["refunds"] => page("refund", "/v1/refunds", &of_payment, params),
        ["disputes"] => page("dispute", "/v1/disputes", &of_payment, params),
        ["events"] => page("event", "/v1/events", &["type"], params),
        ["customers", id] => {
            params.finish()?;
            customers::retrieve(state, id)
        }
        [resource, id] => {
            let kind =
                kind_of(resource).ok_or_else(|| ApiError::no_path("GET", &segments.join("/")))?;
            params.finish()?;
            state.find(kind, id, None)
        }
        _ => Err(ApiError::no_path("GET", &segments.join("/"))),
    }
}

fn kind_of(resource: &str) -> Option<&'static str> {
    Some(match resource {
        "products" => "product",
        "prices" => "price",
        "subscriptions" => "subscription",
        "invoices" => "invoice",
        "invoiceitems" => "invoiceitem",
        "invoice_payments" => "invoice_payment",
        "payment_intents" => "payment_intent",
        "payment_methods" => "payment_method",
        "charges" => "charge",
        "refunds" => "refund",
        "disputes" => "dispute",
        "events" => "event",
        _ => return None,
    })
}

/// Replaces the id at a path by the object it names. <https://docs.stripe.com/expand>
pub(super) fn expand(
    state: &State,
    value: &mut Value,
    path: &[&str],
    shape: Shape,
) -> Result<(), ApiError> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if *first == "data"
        && let Some(items) = value.get_mut("data").and_then(Value::as_array_mut)
    {
        return items
            .iter_mut()
            .try_for_each(|item| expand(state, item, rest, shape));
    }
    if *first == "payments" && value["object"] == "invoice" && shape == Shape::Newer {
        value["payments"] = payments_of(state, &value["id"], shape);
    }
    let Some(field) = value.get_mut(*first) else {
        let message = format!("This property cannot be expanded ({first}).");
        return Err(ApiError::param("expand", message));
    };
    if let Some(object) = field.as_str().and_then(|id| state.get(id)) {
        *field = shape.render(object);
    }
    if field.is_null() {
        Ok(())
    } else {
        expand(state, field, rest, shape)
    }
}

/// "There is an includable payments property containing the first handful of those items."
/// <https://docs.stripe.com/api/invoice-payment/list>
fn payments_of(state: &State, invoice: &Value, shape: Shape) -> Value {
    let of = ("invoice", invoice.as_str().unwrap_or_default());
    let payments: Vec<Value> = state
        .of_kind("invoice_payment", Some(of))
        .rev()
        .map(|payment| shape.render(payment))
        .collect();
    json!({ "object": "list", "has_more": false, "url": "/v1/invoice_payments", "data": payments })
}
