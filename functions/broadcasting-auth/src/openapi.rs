//! What the API is described by, besides the handler itself. Nothing here runs in the function:
//! `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};

/// What pusher-js and laravel-echo send.
#[derive(ToSchema)]
#[schema(as = ChannelSubscription, example = json!({ "socket_id": "1234.5678", "channel_name": "private-bitflow-admin" }))]
pub(crate) struct Subscription {
    #[schema(pattern = "^[0-9]+\\.[0-9]+$", max_length = 64)]
    socket_id: String,
    /// `private-bitflow-admin` or `presence-bitflow-admin`; others are 403.
    channel_name: String,
}

/// The signature, and of a presence channel who is there.
#[derive(ToSchema)]
#[schema(as = ChannelAuthorization, example = json!({ "auth": "key:0123456789abcdef" }))]
pub(crate) struct Authorization {
    auth: String,
    #[schema(value_type = String, required = false)]
    channel_data: Option<String>,
}

#[derive(OpenApi)]
#[openapi(paths(crate::authorize))]
struct Described;

/// The function's route.
pub fn openapi() -> Document {
    Described::openapi()
}
