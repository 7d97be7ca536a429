//! Clients of a stack's AWS.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};

use super::info::AwsInfo;

/// A client of a stack's DynamoDB.
pub(crate) fn dynamo(aws: &AwsInfo, aws_url: &str) -> aws_sdk_dynamodb::Client {
    let AwsInfo {
        region,
        access_key_id,
        secret_access_key,
    } = aws;
    let credentials = Credentials::new(
        access_key_id,
        secret_access_key,
        None,
        None,
        "bitflow-local",
    );
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .credentials_provider(credentials)
        .endpoint_url(aws_url)
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// A client of a stack's SQS.
pub(crate) fn sqs(aws: &AwsInfo, aws_url: &str) -> aws_sdk_sqs::Client {
    let (id, secret) = (&aws.access_key_id, &aws.secret_access_key);
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(aws_sdk_sqs::config::Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new(id, secret, None, None, "bitflow-local"))
        .endpoint_url(aws_url)
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// A client of a stack's S3.
pub(crate) fn s3(aws: &AwsInfo, aws_url: &str) -> aws_sdk_s3::Client {
    let (id, secret) = (&aws.access_key_id, &aws.secret_access_key);
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new(id, secret, None, None, "bitflow-local"))
        .endpoint_url(aws_url)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
