//! What the API is described by, besides the handlers and the answers themselves. Nothing here runs
//! in the function: `cargo local openapi` puts the description together.

#![expect(dead_code, reason = "shapes that are only described")]

use bitflow_domain::university::UniversityStatus as Status;
use utoipa::openapi::{ObjectBuilder, OpenApi as Document, RefOr, Schema, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use crate::answer::{ActivityView, UniversityView};
use crate::{logo, portal_secret, universities};

/// What onboarding takes.
#[derive(ToSchema)]
#[schema(example = json!({
    "name": "Uppsala universitet",
    "primary_email": "registrar@uu.example",
    "domain": "portal.uu.example",
    "storage_quota": 500_000_000_000_u64,
}))]
pub(crate) struct NewUniversity {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(format = Email, max_length = 254)]
    primary_email: String,
    /// Where its portal is; of no other university.
    #[schema(format = Hostname, max_length = 253)]
    domain: String,
    /// Bytes.
    #[schema(minimum = 1, maximum = 1_125_899_906_842_624_u64)]
    storage_quota: u64,
}

/// What changes; what is left out stays.
#[derive(ToSchema)]
#[schema(min_properties = 1, example = json!({ "name": "Uppsala University" }))]
pub(crate) struct UniversityChanges {
    #[schema(min_length = 1, max_length = 200, value_type = String, required = false)]
    name: Option<String>,
    #[schema(format = Email, max_length = 254, value_type = String, required = false)]
    primary_email: Option<String>,
    #[schema(format = Hostname, max_length = 253, value_type = String, required = false)]
    domain: Option<String>,
    /// Bytes.
    #[schema(minimum = 1, maximum = 1_125_899_906_842_624_u64, value_type = u64, required = false)]
    storage_quota: Option<u64>,
}

/// A logo that a browser has uploaded.
#[derive(ToSchema)]
#[schema(example = json!({ "upload_id": "01900000-0000-7000-8000-000000000001" }))]
pub(crate) struct UploadedLogo {
    #[schema(format = "uuid")]
    upload_id: String,
}

/// What a browser is to upload.
#[derive(ToSchema)]
#[schema(example = json!({ "content_type": "image/png", "size": 20480 }))]
pub(crate) struct WantedUpload {
    content_type: LogoType,
    /// Bytes, exactly.
    #[schema(minimum = 1, maximum = 2_097_152)]
    size: u64,
}

/// The bytes of a picture.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Picture(Vec<u8>);

/// What a logo may be.
#[derive(ToSchema)]
pub(crate) enum LogoType {
    #[schema(rename = "image/png")]
    Png,
    #[schema(rename = "image/jpeg")]
    Jpeg,
    #[schema(rename = "image/webp")]
    Webp,
}

/// Where a university is in its life.
pub(crate) struct UniversityStatus;

impl PartialSchema for UniversityStatus {
    fn schema() -> RefOr<Schema> {
        let words = [Status::Active, Status::Deleted].map(Status::as_str);
        let words = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words));
        RefOr::T(Schema::Object(words.build()))
    }
}

impl ToSchema for UniversityStatus {}

/// What its portal reported last.
#[derive(ToSchema)]
pub(crate) struct Metrics {
    students: u64,
    faculty: u64,
    /// Bytes stored at the portal.
    storage: u64,
}

/// Who did it.
#[derive(ToSchema)]
pub(crate) struct Actor {
    kind: ActorKind,
    id: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ActorKind {
    Admin,
    Stripe,
    Portal,
    System,
}

#[derive(ToSchema)]
pub(crate) struct UniversityPage {
    data: Vec<UniversityView>,
    next_cursor: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct ActivityPage {
    data: Vec<ActivityView>,
    next_cursor: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: String,
}

#[derive(OpenApi)]
#[openapi(paths(
    crate::health,
    universities::create,
    universities::list,
    universities::read,
    universities::change,
    universities::delete,
    universities::restore,
    universities::activity,
    portal_secret::rotate,
    logo::set,
    logo::read,
    logo::remove,
    logo::upload_url,
))]
struct Described;

/// The function's routes.
pub fn openapi() -> Document {
    Described::openapi()
}
