//! S3: s3s over a folder. Requests are signed, presigned URLs expire; [`cors`] is answered here, and
//! [`access`] is what the template grants.

mod access;
mod cors;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tower::ServiceExt;

use super::iam::{self, Denied, Iam, needs};
use crate::template::model::{Bucket, CorsRule};

/// The buckets; a cheap handle.
#[derive(Clone)]
pub struct S3 {
    service: S3Service,
    iam: Iam,
    cors: Arc<BTreeMap<String, Vec<CorsRule>>>,
}

/// The buckets could not be made.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A folder could not be made.
    #[error("the folder of bucket {bucket} could not be made")]
    Folder {
        /// Which bucket.
        bucket: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// s3s refused the folder.
    #[error("S3 could not use its folder: {0}")]
    Open(String),
}

/// Serves the buckets of the template from below `folder`.
pub fn open(buckets: &[Bucket], folder: &Path, iam: &Iam) -> Result<S3, S3Error> {
    for bucket in buckets {
        std::fs::create_dir_all(folder.join(&bucket.name)).map_err(|source| S3Error::Folder {
            bucket: bucket.name.clone(),
            source,
        })?;
    }
    let files =
        s3s_fs::FileSystem::new(folder).map_err(|error| S3Error::Open(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    let mut auth = SimpleAuth::new();
    for credentials in iam.all_credentials() {
        auth.register(
            credentials.access_key_id,
            credentials.secret_access_key.into(),
        );
    }
    builder.set_auth(auth);
    builder.set_access(access::Access { iam: iam.clone() });
    let cors = buckets
        .iter()
        .map(|bucket| (bucket.name.clone(), bucket.cors.clone()));
    Ok(S3 {
        service: builder.build(),
        iam: iam.clone(),
        cors: Arc::new(cors.collect()),
    })
}

impl S3 {
    /// Answers a request, path style.
    pub(super) async fn serve(self, request: Request) -> Response {
        let (method, origin) = (
            request.method().clone(),
            request.headers().get(header::ORIGIN).cloned(),
        );
        let bucket = request.uri().path().split('/').nth(1).unwrap_or_default();
        let rules = self.cors.get(bucket).map_or(&[][..], Vec::as_slice);
        if let Some(answer) = cors::preflight(rules, &method, request.headers()) {
            return answer;
        }
        let caller = iam::access_key_id(request.headers(), request.uri());
        let bucket = bucket.to_owned();
        // s3s wants to know the whole length before it starts.
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let request = Request::from_parts(parts, Body::from(body));
        let mut response = match self.service.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                tracing::error!(?error, "S3 failed");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        if response.status() == StatusCode::NOT_FOUND
            && let Err(denied) = self.may_know(caller.as_deref(), &bucket)
        {
            let body = match method {
                Method::HEAD => String::new(),
                _ => access::refusal(&denied),
            };
            let kind = [(header::CONTENT_TYPE, "application/xml")];
            response = (StatusCode::FORBIDDEN, kind, body).into_response();
        }
        cors::tell(rules, &method, origin.as_ref(), response.headers_mut());
        response
    }

    /// That there is no such file is told only to who may list the bucket.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
    fn may_know(&self, caller: Option<&str>, bucket: &str) -> Result<(), Denied> {
        let need = needs::s3("ListObjectsV2", bucket, None, None);
        self.iam.check(caller, &[need])
    }
}
