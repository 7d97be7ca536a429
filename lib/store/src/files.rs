//! Files: objects of one private S3 bucket.
//!
//! What is a university's is below `universities/{id}/`; what browsers upload is below `uploads/`,
//! and expires there after a day, taken or not (`template.yaml`).

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use bitflow_domain::id::{ReportId, UniversityId, UploadId};
use bitflow_domain::university::logo::Logo;
use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};

use crate::error::StoreError;
use crate::page::Page;

/// The bucket of files: logos, uploads and reports.
#[derive(Debug, Clone)]
pub struct Files {
    client: Client,
    bucket: String,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKey(String);

/// A file that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is in the bucket.
    pub key: FileKey,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was written.
    pub written_at: Timestamp,
}

/// A request that whoever has it may make for a while. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// Headers that go with it: those that it is signed for.
    pub headers: Vec<(String, String)>,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedUrl(..)")
    }
}

impl FileKey {
    /// A university's logo.
    pub fn logo(university_id: UniversityId, logo: &Logo) -> Self {
        let (id, extension) = (logo.id, logo.format.extension());
        Self(format!("{}{id}.{extension}", logos(university_id)))
    }

    /// What a browser uploads for a university.
    pub fn upload(university_id: UniversityId, upload: UploadId) -> Self {
        Self(format!("uploads/{university_id}/{upload}"))
    }

    /// A report of a month.
    pub fn report(report: ReportId) -> Self {
        Self(format!("reports/{report}.csv"))
    }

    /// What was asked for under a report's id.
    pub fn report_request(report: ReportId) -> Self {
        Self(format!("reports/{report}.json"))
    }

    /// Whether it is a logo of this university, or was.
    pub fn is_logo_of(&self, university_id: UniversityId) -> bool {
        self.0.starts_with(&logos(university_id))
    }

    /// The object's key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn logos(university_id: UniversityId) -> String {
    format!("universities/{university_id}/logos/")
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

    /// Writes a file.
    pub async fn put(
        &self,
        key: &FileKey,
        bytes: Bytes,
        media_type: &str,
    ) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type(media_type)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::s3("PutObject", error))
    }

    /// A file's content; nothing where there is none. What has more than `most` bytes is cut after
    /// the one that is too many.
    pub async fn get(&self, key: &FileKey, most: u64) -> Result<Option<Bytes>, StoreError> {
        let sent = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .range(format!("bytes=0-{most}"))
            .send()
            .await;
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                return match error.code() {
                    Some("NoSuchKey") => Ok(None),
                    // There is no first byte.
                    Some("InvalidRange") => Ok(Some(Bytes::new())),
                    _ => Err(StoreError::s3("GetObject", error)),
                };
            }
        };
        let mut content = BytesMut::new();
        while let Some(part) = answer.body.next().await {
            let part = part.map_err(|source| StoreError::Files {
                operation: "GetObject",
                class: bitflow_fault::Class::Busy,
                source: Box::new(source),
            })?;
            content.extend_from_slice(&part);
        }
        Ok(Some(content.freeze()))
    }

    /// Whether there is a file.
    pub async fn exists(&self, key: &FileKey) -> Result<bool, StoreError> {
        let sent = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(HeadObjectError::is_not_found) =>
            {
                Ok(false)
            }
            Err(error) => Err(StoreError::s3("HeadObject", error)),
        }
    }

    /// Removes a file. Where there is none, nothing is done.
    pub async fn delete(&self, key: &FileKey) -> Result<(), StoreError> {
        self.client
            .delete_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::s3("DeleteObject", error))
    }

    /// Lets whoever has the URL read a file, as this media type, for a while.
    ///
    /// # Errors
    /// Nothing is called: only where there are no keys to sign with. Whether there is such a file
    /// shows when the URL is fetched.
    pub async fn signed_get(
        &self,
        key: &FileKey,
        media_type: &str,
        lasts: SignedDuration,
        now: Timestamp,
    ) -> Result<SignedUrl, StoreError> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .response_content_type(media_type);
        let signed = request.presigned(signing(lasts, now)).await;
        SignedUrl::of("GetObject", signed, now + lasts)
    }

    /// Lets whoever has the URL write a file of exactly this media type and size, for a while.
    ///
    /// # Errors
    /// Nothing is called: only where there are no keys to sign with.
    pub async fn signed_put(
        &self,
        key: &FileKey,
        (media_type, bytes): (&str, u64),
        lasts: SignedDuration,
        now: Timestamp,
    ) -> Result<SignedUrl, StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type(media_type)
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX));
        let signed = request.presigned(signing(lasts, now)).await;
        SignedUrl::of("PutObject", signed, now + lasts)
    }
}

fn signing(lasts: SignedDuration, now: Timestamp) -> PresigningConfig {
    let since = Duration::from_millis(u64::try_from(now.as_millisecond()).unwrap_or_default());
    PresigningConfig::builder()
        .start_time(SystemTime::UNIX_EPOCH + since)
        .expires_in(lasts.unsigned_abs())
        .build()
        .expect("it lasts less than a week")
}

impl SignedUrl {
    fn of<E>(
        operation: &'static str,
        signed: Result<PresignedRequest, SdkError<E>>,
        expires_at: Timestamp,
    ) -> Result<Self, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let signed = signed.map_err(|error| StoreError::s3(operation, error))?;
        // The SDK has some of its own as well, such as a trace's id, which are ours and not for others.
        let headers = signed
            .headers()
            .filter(|(name, _)| covered(signed.uri()).any(|it| it.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            url: signed.uri().to_owned(),
            headers: headers.collect(),
            expires_at,
        })
    }
}

/// The headers that a URL is signed for.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
fn covered(url: &str) -> impl Iterator<Item = &str> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    let mut pairs = query.split('&');
    let names = pairs.find_map(|pair| pair.strip_prefix("X-Amz-SignedHeaders="));
    names.unwrap_or_default().split("%3B")
}

impl File {
    /// S3 gives every object a key, a size and a time.
    fn of(object: aws_sdk_s3::types::Object) -> Option<Self> {
        let written_at = object.last_modified?;
        Some(Self {
            key: FileKey(object.key?),
            bytes: u64::try_from(object.size?).ok()?,
            written_at: Timestamp::from_nanosecond(written_at.as_nanos()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_a_url_is_signed_for() {
        let check = |query: &str, expect: &[&str]| {
            let url = format!("https://files.example/uploads/1{query}");
            assert_eq!(covered(&url).collect::<Vec<_>>(), expect, "{url}");
        };
        check(
            "?X-Amz-Expires=900&X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost&x-id=PutObject",
            &["content-length", "content-type", "host"],
        );
        check("?X-Amz-SignedHeaders=host", &["host"]);
        check("", &[""]);
    }
}
