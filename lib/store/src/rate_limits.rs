//! Table `rate_limits`: key `bucket`. How many requests of one sender came in one window; rows
//! expire soon after it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ReturnValue;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::error::StoreError;
use crate::item::{n, s};
use crate::time::ttl;

/// The table `rate_limits`: one row for each sender and minute.
#[derive(Debug, Clone)]
pub struct RateLimits {
    client: Client,
    table: String,
}

impl RateLimits {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// Counts one more in `bucket`, where there are fewer than `limit`; how many there are then.
    /// `None` where it is full. One write, exact whoever else counts.
    ///
    /// Where the answer is lost the SDK asks again, and one request may count twice.
    pub async fn hit(
        &self,
        bucket: &str,
        limit: u32,
        expires_at: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("bucket", s(bucket))
            .update_expression("SET expires_at = :expires ADD hits :one")
            .condition_expression("attribute_not_exists(hits) OR hits < :limit")
            .expression_attribute_values(":expires", n(ttl(expires_at)))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":limit", n(limit))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await;
        match sent {
            Ok(answer) => {
                let hits = answer.attributes().and_then(|row| row.get("hits"));
                let hits = hits.and_then(|hits| hits.as_n().ok());
                Ok(Some(hits.and_then(|it| it.parse().ok()).unwrap_or(limit)))
            }
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(None),
                _ => Err(StoreError::dynamo("UpdateItem rate_limits", error)),
            },
        }
    }

    /// [`hit`](Self::hit), for whoever only counts.
    pub fn counter(
        self,
    ) -> impl Fn(String, u32, Timestamp) -> BoxFuture<'static, Result<Option<u32>, StoreError>>
    {
        move |bucket, limit, expires_at| {
            let limits = self.clone();
            async move { limits.hit(&bucket, limit, expires_at).await }.boxed()
        }
    }
}
