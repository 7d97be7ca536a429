//! HTTP, admin JWT: all active universities are told of maintenance, and who was (contract section
//! 3.2).
//!
//! Promise: a notification that is answered 201 is stored, with the event that has it announced.
//!
//! On a retry: a POST with the same `Idempotency-Key` is answered the same, and tells nobody twice.
//! Cancelling twice is cancelling once.

mod answer;
pub mod openapi;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bitflow_domain::id::NotificationId;
use bitflow_domain::notification::delivery::DeliveryState;
use bitflow_domain::notification::{Notice, NoticeMessage, NoticeTitle, Notification};
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId};
use bitflow_portal::maintenance::Maintenance;
use bitflow_portal::repeats::{self, Creation};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::Requested;
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::etag;
use bitflow_runtime::http::fields::Fields;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::list::{List, Wanted};
use bitflow_runtime::http::problem::Problem;
use bitflow_runtime::http::query::Parameters;
use bitflow_runtime::http::repeat::IdempotencyKey;
use bitflow_store::deliveries::Deliveries;
use bitflow_store::idempotency::{Answer, IdempotencyKeys};
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{Page, PageRequest};
use bitflow_store::rate_limits::RateLimits;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::answer::{DeliveryView, NotificationView, ReportView};

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::NOTIFICATIONS_TABLE,
    config::DELIVERIES_TABLE,
    config::OUTBOX_TABLE,
    config::IDEMPOTENCY_KEYS_TABLE,
    config::RATE_LIMITS_TABLE,
    config::ADMIN_REQUESTS_PER_MINUTE,
];

/// How long a client may repeat a creation under its key.
const KEYS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

const PATH: &str = "/api/admin/notifications";
const WRITE: &str = "notifications:write";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    maintenance: Maintenance,
    keys: IdempotencyKeys,
    limiter: Limiter,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = config.count(config::ADMIN_REQUESTS_PER_MINUTE);
        let keys = config.text(config::IDEMPOTENCY_KEYS_TABLE);
        Self {
            limiter: Limiter::new(limit, limits.counter()),
            keys: IdempotencyKeys::new(&dynamo, keys, KEYS_ARE_KEPT),
            maintenance: Maintenance {
                notifications: Notifications::new(
                    &dynamo,
                    config.text(config::NOTIFICATIONS_TABLE),
                ),
                deliveries: Deliveries::new(&dynamo, config.text(config::DELIVERIES_TABLE)),
                outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
                dynamo,
            },
        }
    }
}

/// How many requests an admin may make.
pub fn limiter(cx: &Cx) -> &Limiter {
    &cx.limiter
}

/// The routes, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    let one = |path: &str| format!("{PATH}/{{notification_id}}{path}");
    Router::new()
        .route(PATH, get(list).post(create))
        .route(&one(""), get(read))
        .route(&one("/cancel"), post(cancel))
        .route(&one("/deliveries"), get(deliveries))
}

#[utoipa::path(
    post,
    path = "/api/admin/notifications",
    operation_id = "createNotification",
    summary = "Tell all active universities of maintenance.",
    tag = "Notifications",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "What makes a repeat the same request."),
    ),
    request_body = openapi::NewNotification,
    responses((status = 201, description = "It will be mailed, and told to each portal.", body = NotificationView)),
    security(("admin" = ["notifications:write"])),
)]
async fn create(
    admin: Admin,
    request: Requested,
    IdempotencyKey(key): IdempotencyKey,
    State(cx): State<Arc<Cx>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let now = clock::now();
    let fingerprint = fields.fingerprint().to_owned();
    let kind = fields.text("type", |text| match text {
        "maintenance" => Ok(()),
        _ => Err("must be maintenance"),
    });
    let title = fields.text("title", NoticeTitle::parse);
    let message = fields.text("message", NoticeMessage::parse);
    let scheduled_at = fields.text("scheduled_at", begins_at);
    let notice = fields.finish(|| {
        kind?;
        Some(Notice {
            title: title?,
            message: message?,
            scheduled_at: scheduled_at?,
        })
    })?;
    let scope = format!("{} {PATH}", admin.subject);
    let context = context(admin, request);
    let creation = Creation {
        scope: &scope,
        key: key.as_deref(),
        fingerprint: &fingerprint,
    };
    let (maintenance, context) = (&cx.maintenance, &context);
    let answer = repeats::once(&cx.keys, creation, now, |attempt| {
        async move {
            let id = NotificationId::from_uuid(attempt.resource);
            let scheduled = maintenance.schedule(id, notice, context, attempt.started_at);
            let notification = scheduled.await?;
            Ok(Answer {
                status: StatusCode::CREATED.as_u16(),
                location: format!("{PATH}/{id}"),
                etag: etag::of(notification.version.get()),
                body: serde_json::to_string(&NotificationView::of(notification))
                    .expect("a view holds nothing that JSON cannot"),
            })
        }
        .boxed()
    });
    let answer = answer.await?;
    let headers = [
        (header::LOCATION, answer.location),
        (header::ETAG, answer.etag),
        (header::CONTENT_TYPE, "application/json".to_owned()),
    ];
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CREATED);
    Ok((status, headers, answer.body).into_response())
}

#[utoipa::path(
    get,
    path = "/api/admin/notifications",
    operation_id = "listNotifications",
    summary = "Notifications, newest first.",
    tag = "Notifications",
    params(
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Newest first.", body = openapi::NotificationPage)),
    security(("admin" = ["notifications:write"])),
)]
async fn list(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let page = page(parameters)?;
    let listed = cx.maintenance.list(&page).await?;
    Ok(shown(listed.map(NotificationView::of)))
}

#[utoipa::path(
    get,
    path = "/api/admin/notifications/{notification_id}",
    operation_id = "getNotification",
    summary = "A notification, and how far it is.",
    tag = "Notifications",
    params(
        ("notification_id" = String, Path, format = "uuid", description = "The notification's id."),
    ),
    responses((status = 200, description = "With the count of its deliveries.", body = ReportView)),
    security(("admin" = ["notifications:write"])),
)]
async fn read(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(notification_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let report = cx.maintenance.report(id(&notification_id)?).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(ReportView::of(report))).into_response())
}

/// Takes no `Idempotency-Key` into account: doing it twice is doing it once.
#[utoipa::path(
    post,
    path = "/api/admin/notifications/{notification_id}/cancel",
    operation_id = "cancelNotification",
    summary = "Take a notification back.",
    tag = "Notifications",
    params(
        ("notification_id" = String, Path, format = "uuid", description = "The notification's id."),
    ),
    responses((status = 200, description = "Whoever was not told by now is not told.", body = NotificationView)),
    security(("admin" = ["notifications:write"])),
)]
async fn cancel(
    admin: Admin,
    request: Requested,
    State(cx): State<Arc<Cx>>,
    Path(notification_id): Path<String>,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let id = id(&notification_id)?;
    let context = context(admin, request);
    let cancelled = cx.maintenance.cancel(id, &context, clock::now());
    Ok(one(cancelled.await?))
}

#[utoipa::path(
    get,
    path = "/api/admin/notifications/{notification_id}/deliveries",
    operation_id = "listDeliveries",
    summary = "What became of a notification at each portal.",
    tag = "Notifications",
    params(
        ("notification_id" = String, Path, format = "uuid", description = "The notification's id."),
        ("state" = Option<openapi::DeliveryState>, Query, description = "Only those."),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "Entries at most; 25 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "By university; a page may have fewer than `limit`, or none, and not be the last.", body = openapi::DeliveryPage)),
    security(("admin" = ["notifications:write"])),
)]
async fn deliveries(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    Path(notification_id): Path<String>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    admin.needs(WRITE)?;
    let state = parameters.optional("state", DeliveryState::parse);
    let page = page(parameters)?;
    let id = id(&notification_id)?;
    let listed = cx.maintenance.deliveries(id, state, &page).await?;
    Ok(shown(listed.map(DeliveryView::of)))
}

/// When the maintenance begins.
fn begins_at(text: &str) -> Result<Timestamp, &'static str> {
    text.parse()
        .map_err(|_| "must be a time, e.g. 2026-01-31T02:00:00Z")
}

/// Who asks, for the events that follow.
fn context(admin: Admin, request: Requested) -> Context {
    Context {
        actor: Actor {
            kind: ActorKind::Admin,
            id: admin.subject,
        },
        correlation_id: CorrelationId::new(request.correlation_id),
    }
}

/// What is not an id names nothing.
fn id(text: &str) -> Result<NotificationId, Problem> {
    NotificationId::parse(text).map_err(|_| Problem::missing("notification"))
}

fn page(parameters: Parameters) -> Result<PageRequest, Problem> {
    let Wanted { limit, cursor } = parameters.finish_list()?;
    Ok(PageRequest { limit, cursor })
}

/// One notification, with its ETag.
fn one(notification: Notification) -> Response {
    let headers = [(header::ETAG, etag::of(notification.version.get()))];
    (headers, Json(NotificationView::of(notification))).into_response()
}

/// A page of a list.
fn shown<V: Serialize>(page: Page<V>) -> Response {
    Json(List {
        data: page.data,
        next_cursor: page.next_cursor,
    })
    .into_response()
}
