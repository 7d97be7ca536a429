//! What the API is described by, besides the handler itself. Nothing here runs in the function:
//! `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};

/// What a portal reports (contract section 4.1).
#[derive(ToSchema)]
#[schema(as = MetricReport, example = json!({
    "university_id": "01900000-0000-7000-8000-000000000001",
    "metric": "students",
    "value": 15000,
}))]
pub(crate) struct Report {
    #[schema(format = "uuid")]
    university_id: String,
    metric: Metric,
    /// Whole; of storage, bytes.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    value: u64,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Metric {
    Students,
    Faculty,
    Storage,
}

/// Contract section 4.1.
#[derive(ToSchema)]
pub(crate) struct Success {
    #[schema(example = "success")]
    status: String,
}

#[derive(OpenApi)]
#[openapi(paths(crate::receive))]
struct Described;

/// The function's route.
pub fn openapi() -> Document {
    Described::openapi()
}
