//! A JSON body that its sender signed: the bytes, for whoever verifies them, and the fields.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};

use super::fields::{self, Fields};
use super::problem::Problem;

/// What carries the signature (`infra/ARCHITECTURE.md` §6).
const HEADER: &str = "x-signature";

/// A body with what is said to be its signature; nothing is verified yet.
#[derive(Debug)]
pub struct SignedFields {
    /// The header's value; empty where there is none.
    pub signature: String,
    /// The body as it was signed.
    pub body: Bytes,
    /// The body as it is read.
    pub fields: Fields,
}

impl<S: Send + Sync> FromRequest<S> for SignedFields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        fields::is_json(request.headers())?;
        let signature = request.headers().get(HEADER);
        let signature = signature.and_then(|value| value.to_str().ok());
        let signature = signature.unwrap_or_default().to_owned();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| fields::too_large())?;
        Ok(Self {
            fields: Fields::parse(&body)?,
            signature,
            body,
        })
    }
}
