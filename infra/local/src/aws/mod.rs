//! The AWS services behind one endpoint, as `template.yaml` declares them.

pub mod calls;
pub mod dynamodb;
pub mod endpoint;
pub mod eventbridge;
pub mod iam;
pub mod s3;
pub mod sqs;

/// Who and where the stack says it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `us-east-1` unless told otherwise.
    pub region: String,
    /// Twelve zeros.
    pub account: String,
    /// The access key of the account's owner.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The endpoint, where queue URLs point.
    pub aws_url: String,
}
