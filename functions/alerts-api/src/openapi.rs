//! What the API is described by, besides the handlers themselves. Nothing here runs in the function:
//! `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};

/// What a portal alerts of.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "storage_exceeded",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "message": "Storage quota exceeded",
}))]
pub(crate) struct NewAlert {
    /// A type of the portal's own: none of `storage_quota`, `payment_failed`,
    /// `subscription_past_due`, `subscription_unpaid`, `dead_letter` and `portal_unreachable`, which
    /// only Bitflow raises.
    #[schema(rename = "type", pattern = "^[a-z][a-z0-9_]{0,63}$")]
    kind: String,
    #[schema(format = "uuid")]
    university_id: String,
    #[schema(min_length = 1, max_length = 1000)]
    message: String,
}

/// An alert: `bitflow_portal::alerts::view`, which is pushed as well as answered.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "01900000-0000-7000-8000-000000000006",
    "type": "storage_exceeded",
    "university_id": "01900000-0000-7000-8000-000000000001",
    "severity": "high",
    "message": "Storage quota exceeded",
    "count": 1,
    "is_acknowledged": false,
    "acknowledged_by": null,
    "acknowledged_at": null,
    "version": 1,
    "created_at": "2026-01-15T09:00:00Z",
    "last_raised_at": "2026-01-15T09:00:00Z",
}))]
pub(crate) struct Alert {
    #[schema(format = "uuid")]
    id: String,
    #[schema(rename = "type")]
    kind: String,
    /// Null where it is about the platform.
    #[schema(format = "uuid", required)]
    university_id: Option<String>,
    severity: Severity,
    message: String,
    /// How often it was raised.
    #[schema(minimum = 1)]
    count: u64,
    is_acknowledged: bool,
    acknowledged_by: Option<String>,
    #[schema(format = DateTime)]
    acknowledged_at: Option<String>,
    #[schema(minimum = 1)]
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_raised_at: String,
}

/// How bad it is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

/// Whether somebody has seen it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum AlertState {
    Open,
    Acknowledged,
}

#[derive(ToSchema)]
pub(crate) struct AlertPage {
    data: Vec<Alert>,
    next_cursor: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    paths(crate::raise, crate::list, crate::acknowledge),
    components(schemas(AlertState))
)]
struct Described;

/// The function's routes.
pub fn openapi() -> Document {
    Described::openapi()
}
