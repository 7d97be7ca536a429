//! S3: s3s over a folder. Requests are signed, presigned URLs expire.

use std::path::Path;

use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use super::Identity;
use crate::template::model::Bucket;

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
pub fn open(buckets: &[Bucket], folder: &Path, identity: &Identity) -> Result<S3Service, S3Error> {
    for bucket in buckets {
        std::fs::create_dir_all(folder.join(&bucket.name)).map_err(|source| S3Error::Folder {
            bucket: bucket.name.clone(),
            source,
        })?;
    }
    let files =
        s3s_fs::FileSystem::new(folder).map_err(|error| S3Error::Open(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(
        identity.access_key_id.clone(),
        identity.secret_access_key.clone(),
    ));
    Ok(builder.build())
}
