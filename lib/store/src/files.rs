//! Files: objects of one private S3 bucket. What is a university's is below `universities/{id}/`.

use aws_sdk_s3::Client;
use bitflow_domain::id::UniversityId;
use jiff::Timestamp;

use crate::error::StoreError;
use crate::page::Page;

/// The bucket.
#[derive(Debug, Clone)]
pub struct Files {
    client: Client,
    bucket: String,
}

/// A file that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub written_at: Timestamp,
}

impl Files {
    /// The bucket named `bucket`.
    pub fn new(client: &Client, bucket: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            bucket: bucket.into(),
        }
    }

    /// Up to a thousand files of a university after `cursor`.
    pub async fn of_university(
        &self,
        university_id: UniversityId,
        cursor: Option<&str>,
    ) -> Result<Page<File>, StoreError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("universities/{university_id}/"))
            .set_continuation_token(cursor.map(str::to_owned))
            .send()
            .await
            .map_err(|error| StoreError::s3("ListObjectsV2", error))?;
        let files = answer.contents.unwrap_or_default().into_iter();
        Ok(Page {
            data: files.filter_map(File::of).collect(),
            next_cursor: answer.next_continuation_token,
        })
    }
}

impl File {
    /// S3 gives every object a key, a size and a time.
    fn of(object: aws_sdk_s3::types::Object) -> Option<Self> {
        let written_at = object.last_modified?;
        Some(Self {
            key: object.key?,
            bytes: u64::try_from(object.size?).ok()?,
            written_at: Timestamp::from_nanosecond(written_at.as_nanos()).ok()?,
        })
    }
}
