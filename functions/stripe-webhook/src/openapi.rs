//! What the API is described by, besides the handler itself. Nothing here runs in the function:
//! `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};

/// Contract section 1.1.
#[derive(ToSchema)]
pub(crate) struct Success {
    #[schema(example = "success")]
    status: String,
}

/// Contract section 1.1.
#[derive(ToSchema)]
pub(crate) struct InvalidSignature {
    #[schema(example = "Invalid signature")]
    error: String,
}

#[derive(OpenApi)]
#[openapi(paths(crate::receive))]
struct Described;

/// The function's route.
pub fn openapi() -> Document {
    Described::openapi()
}
