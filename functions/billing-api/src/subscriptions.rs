//! Subscribing, cancelling, and looking.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bitflow_domain::billing::item::{self, Charge, Description};
use bitflow_domain::billing::subscription::ManualPlan;
use bitflow_domain::id::SubscriptionId;
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::{Expected, Version};
use bitflow_portal::billing::admin::Plan;
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag::IfMatch;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::repeat::IdempotencyKey;
use futures_util::FutureExt;

use crate::answer::{self, SubscriptionView};
use crate::{Cx, READ, WRITE, context, page, university};

#[utoipa::path(
    post,
    path = "/api/admin/universities/{university_id}/subscriptions",
    operation_id = "createSubscription",
    summary = "Subscribe a university.",
    tag = "Subscriptions",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    request_body = crate::openapi::NewSubscription,
    responses((status = 201, description = "Subscribed.", body = SubscriptionView)),
    security(("admin" = ["billing:write"])),
)]
pub(crate) async fn create(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let university_id = university(&university_id)?;
    let fingerprint = fields.fingerprint().to_owned();
    let plan = plan(fields)?;
    let now = clock::now();
    let path = format!("/api/admin/universities/{university_id}/subscriptions");
    let scope = format!("{} {path}", admin.subject);
    let context = context(admin, request);
    let creation = Creation {
        scope: &scope,
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let (billing, plan, context, path) = (&cx.billing, &plan, &context, &path);
    let answer = repeats::once(&cx.keys, creation, now, |attempt| {
        async move {
            let subscription = billing
                .subscribe(university_id, plan, &attempt, context, now)
                .await?;
            let location = format!("{path}/{}", subscription.id);
            let version = subscription.version;
            let view = SubscriptionView::of(subscription);
            Ok(answer::of(StatusCode::CREATED, location, version, &view))
        }
        .boxed()
    });
    Ok(answer::repeated(answer.await?))
}

/// The fields of a plan of ours.
const PLAN: [&str; 4] = ["amount", "currency", "description", "days_until_due"];

/// A price of Stripe's, or a plan of ours.
fn plan(mut fields: Fields) -> Result<Plan, Problem> {
    if fields.has("stripe_price_id") || !PLAN.iter().any(|field| fields.names(field)) {
        let price = fields.text("stripe_price_id", price);
        return fields.finish(|| Some(Plan::Price(price?)));
    }
    let amount = fields.integer("amount", Charge::new);
    let currency = fields.optional_text("currency", Currency::parse_billable);
    let description = fields.text("description", Description::parse);
    let days_until_due = fields.optional_count("days_until_due", item::days_until_due);
    fields.finish(|| {
        Some(Plan::Manual(ManualPlan {
            amount: Money::new(amount?.get(), currency.unwrap_or(Currency::USD)),
            description: description?.into(),
            days_until_due,
        }))
    })
}

/// <https://docs.stripe.com/api/prices>
fn price(text: &str) -> Result<String, &'static str> {
    let right = text.strip_prefix("price_").is_some_and(|rest| {
        (1..=250).contains(&rest.len()) && rest.bytes().all(|it| it.is_ascii_alphanumeric())
    });
    right
        .then(|| text.to_owned())
        .ok_or("must be a Stripe price, e.g. price_1MowQVLkdIwHu7ix")
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/subscriptions",
    operation_id = "listSubscriptions",
    summary = "Subscriptions of a university.",
    tag = "Subscriptions",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "All there are and were.", body = crate::openapi::SubscriptionPage)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(university_id): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let page = page(parameters)?;
    let subscriptions = cx.billing.subscriptions(university(&university_id)?, &page);
    Ok(answer::list(subscriptions.await?, SubscriptionView::of))
}

#[utoipa::path(
    get,
    path = "/api/admin/universities/{university_id}/subscriptions/{subscription_id}",
    operation_id = "getSubscription",
    summary = "A subscription.",
    tag = "Subscriptions",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("subscription_id" = String, Path, format = "uuid", description = "The subscription's id."),
    ),
    responses((status = 200, description = "The subscription.", body = SubscriptionView)),
    security(("admin" = ["billing:read"])),
)]
pub(crate) async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path((university_id, subscription_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    admin.needs(READ)?;
    let (university_id, id) = (university(&university_id)?, subscription(&subscription_id)?);
    let subscription = cx.billing.subscription(university_id, id).await?;
    let version = subscription.version;
    Ok(answer::one(version, SubscriptionView::of(subscription)))
}

/// `?at_period_end=true`: with its period; otherwise now.
#[utoipa::path(
    delete,
    path = "/api/admin/universities/{university_id}/subscriptions/{subscription_id}",
    operation_id = "cancelSubscription",
    summary = "Cancel a subscription.",
    tag = "Subscriptions",
    params(
        ("university_id" = String, Path, format = "uuid", description = "The university's id."),
        ("subscription_id" = String, Path, format = "uuid", description = "The subscription's id."),
        ("If-Match" = Option<String>, Header, description = "Only if this is its ETag."),
        ("at_period_end" = Option<bool>, Query, description = "With its period; otherwise now."),
    ),
    responses((status = 200, description = "As it is now.", body = SubscriptionView)),
    security(("admin" = ["billing:write"])),
)]
pub(crate) async fn cancel(
    admin: Admin,
    request: Requested,
    if_match: IfMatch,
    State(cx): State<Arc<Cx>>,
    Path((university_id, subscription_id)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let (university_id, id) = (university(&university_id)?, subscription(&subscription_id)?);
    let at_period_end = parameters.optional("at_period_end", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    });
    parameters.finish()?;
    let context = context(admin, request);
    let how = (at_period_end.unwrap_or(false), &expected(if_match));
    let cancelled = cx
        .billing
        .cancel(university_id, id, how, &context, clock::now());
    let subscription = cancelled.await?;
    let version = subscription.version;
    Ok(answer::one(version, SubscriptionView::of(subscription)))
}

fn expected(if_match: IfMatch) -> Expected {
    match if_match {
        IfMatch::Any => Expected::Any,
        IfMatch::OneOf(versions) => {
            Expected::OneOf(versions.into_iter().map(Version::from_stored).collect())
        }
    }
}

fn subscription(text: &str) -> Result<SubscriptionId, Problem> {
    SubscriptionId::parse(text).map_err(|_| Problem::missing("subscription"))
}
