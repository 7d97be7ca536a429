//! What the API is described by, besides the handlers and the answers themselves. Nothing here runs
//! in the function: `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{DeliveryView, NotificationView};

/// What universities are to be told of.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "maintenance",
    "title": "Scheduled Maintenance",
    "message": "System will be down for 2 hours",
    "scheduled_at": "2099-02-01T02:00:00Z",
}))]
pub(crate) struct NewNotification {
    #[schema(rename = "type", pattern = "^maintenance$")]
    kind: String,
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[schema(min_length = 1, max_length = 4000)]
    message: String,
    /// When the maintenance begins; not in the past.
    #[schema(format = DateTime)]
    scheduled_at: String,
}

/// What became of a delivery.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    Failed,
    Cancelled,
}

#[derive(ToSchema)]
pub(crate) struct NotificationPage {
    data: Vec<NotificationView>,
    next_cursor: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct DeliveryPage {
    data: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

#[derive(OpenApi)]
#[openapi(paths(
    crate::create,
    crate::list,
    crate::read,
    crate::cancel,
    crate::deliveries,
))]
struct Described;

/// The function's routes.
pub fn openapi() -> Document {
    Described::openapi()
}
