//! HTTP, admin JWT: signs subscriptions to the owner's Pusher channels, as pusher-js and laravel-echo
//! ask for them (contract section 5).
//!
//! Promise: whoever has the scope `broadcasting` may listen on the owner's channels, on no other.
//!
//! On a retry: a signature is of the socket and the channel alone; it is the same again.

pub mod openapi;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bitflow_portal::pushes::{CHANNEL, PRESENCE_CHANNEL};
use bitflow_realtime::auth::{App, is_socket_id};
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::http::admin::Admin;
use bitflow_runtime::http::form::FormFields;
use bitflow_runtime::http::limit::Limiter;
use bitflow_runtime::http::problem::Problem;
use bitflow_store::rate_limits::RateLimits;
use serde_json::json;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::PUSHER_APP_ID,
    config::PUSHER_APP_KEY,
    config::PUSHER_APP_SECRET,
    config::RATE_LIMITS_TABLE,
    config::ADMIN_REQUESTS_PER_MINUTE,
];

const SCOPE: &str = "broadcasting";

/// What every request shares.
#[derive(Debug)]
pub struct Cx {
    app: App,
    limiter: Limiter,
}

impl Cx {
    /// Clients and credentials; nothing is connected before the first request.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let limits = RateLimits::new(&dynamo, config.text(config::RATE_LIMITS_TABLE));
        let limit = config.count(config::ADMIN_REQUESTS_PER_MINUTE);
        Self {
            limiter: Limiter::new(limit, limits.counter()),
            app: App {
                id: config.text(config::PUSHER_APP_ID).to_owned(),
                key: config.text(config::PUSHER_APP_KEY).to_owned(),
                secret: config.secret(config::PUSHER_APP_SECRET),
            },
        }
    }
}

/// How many requests an admin may make.
pub fn limiter(cx: &Cx) -> &Limiter {
    &cx.limiter
}

/// The route, as in `template.yaml`.
pub fn routes() -> Router<Arc<Cx>> {
    Router::new().route("/broadcasting/auth", post(authorize))
}

/// <https://pusher.com/docs/channels/server_api/authorizing-users/>
#[utoipa::path(
    post,
    path = "/broadcasting/auth",
    operation_id = "authorizeChannel",
    summary = "Sign a subscription to one of the owner's channels.",
    tag = "Broadcasting",
    request_body(content(
        (openapi::Subscription = "application/x-www-form-urlencoded"),
        (openapi::Subscription = "application/json"),
    )),
    responses((status = 200, description = "What pusher-js hands on.", body = openapi::Authorization)),
    security(("admin" = ["broadcasting"])),
)]
async fn authorize(
    admin: Admin,
    State(cx): State<Arc<Cx>>,
    FormFields(mut fields): FormFields,
) -> Result<Response, Problem> {
    admin.needs(SCOPE)?;
    let socket_id = fields.text("socket_id", |text| {
        is_socket_id(text)
            .then(|| text.to_owned())
            .ok_or("must be two numbers with a point between them")
    });
    let channel = fields.text("channel_name", |text| Ok::<_, &str>(text.to_owned()));
    let (socket_id, channel) = fields.finish(|| Some((socket_id?, channel?)))?;
    let answer = match channel.as_str() {
        CHANNEL => json!({ "auth": cx.app.sign_subscription(&socket_id, CHANNEL, None) }),
        PRESENCE_CHANNEL => {
            let name = admin.name.as_deref().unwrap_or(&admin.subject);
            let who = json!({ "user_id": admin.subject, "user_info": { "name": name } });
            let who = who.to_string();
            let auth = cx
                .app
                .sign_subscription(&socket_id, PRESENCE_CHANNEL, Some(&who));
            json!({ "auth": auth, "channel_data": who })
        }
        _ => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "There is no such channel, or it is not yours to listen on.",
            ));
        }
    };
    Ok(Json(answer).into_response())
}
