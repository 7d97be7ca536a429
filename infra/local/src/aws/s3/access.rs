//! Who may do what with a bucket; the signature was verified before.

use s3s::access::{S3Access, S3AccessContext};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use url::form_urlencoded;

use crate::aws::iam::{Denied, Iam, needs};

pub(super) struct Access {
    pub(super) iam: Iam,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        };
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => ("", None),
            S3Path::Bucket { bucket } => (&**bucket, None),
            S3Path::Object { bucket, key } => (&**bucket, Some(&**key)),
        };
        let mut query = form_urlencoded::parse(cx.uri().query().unwrap_or_default().as_bytes());
        let prefix = query.find(|(name, _)| name == "prefix");
        let prefix = prefix.map(|(_, value)| value.into_owned());
        let need = needs::s3(cx.s3_op().name(), bucket, key, prefix);
        let checked = self.iam.check(Some(&credentials.access_key), &[need]);
        checked.map_err(|denied| S3Error::with_message(S3ErrorCode::AccessDenied, said(&denied)))
    }
}

/// The answer to who may not know whether there is something.
pub(super) fn refusal(denied: &Denied) -> String {
    let said = said(denied).replace('"', "&quot;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>AccessDenied</Code><Message>{said}</Message></Error>"
    )
}

/// S3 quotes the resource.
fn said(denied: &Denied) -> String {
    let quoted = Denied {
        resource: format!("\"{}\"", denied.resource),
        ..denied.clone()
    };
    quoted.to_string()
}
