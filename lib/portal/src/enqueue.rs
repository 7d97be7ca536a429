//! Work for a listener: one SQS message for each piece.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    MessageSystemAttributeNameForSends as Attribute, MessageSystemAttributeValue as AttributeValue,
    SendMessageBatchRequestEntry,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::SignedDuration;
use serde::Serialize;

use crate::error::PortalError;

/// Messages of one SendMessageBatch call, by SQS's quota.
const BATCH: usize = 10;

/// Calls under way at a time.
const CALLS: usize = 16;

/// A queue that a job fills.
#[derive(Debug, Clone)]
pub struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    /// The queue at `url`.
    pub fn new(sqs: Client, url: impl Into<String>) -> Self {
        Self {
            sqs,
            url: url.into(),
        }
    }

    /// Sends one message for each piece of work; how many. Where it fails, some were sent: whoever
    /// handles them takes a piece that comes twice for one.
    pub(crate) async fn send<W: Serialize>(
        &self,
        work: impl IntoIterator<Item = W>,
    ) -> Result<usize, PortalError> {
        let bodies: Vec<String> = work
            .into_iter()
            .map(|piece| serde_json::to_string(&piece).expect("a piece of work is JSON"))
            .collect();
        let batches: Vec<_> = bodies.chunks(BATCH).map(<[String]>::to_vec).collect();
        stream::iter(batches)
            .map(|batch| self.send_batch(batch))
            .buffer_unordered(CALLS)
            .try_collect::<()>()
            .await?;
        Ok(bodies.len())
    }

    /// Sends one piece of work that nobody receives before `delay` is over: 15 minutes at most, by
    /// SQS's quota.
    pub(crate) async fn send_after(
        &self,
        work: &impl Serialize,
        delay: SignedDuration,
    ) -> Result<(), PortalError> {
        let body = serde_json::to_string(work).expect("a piece of work is JSON");
        // Whole seconds, and not too early.
        let delay = delay + SignedDuration::from_nanos(999_999_999);
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .set_message_system_attributes(trace())
            .delay_seconds(i32::try_from(delay.as_secs().clamp(0, 900)).unwrap_or(900))
            .send()
            .await
            .map(drop)
            .map_err(|error| PortalError::Queue {
                code: error.code().unwrap_or("no answer").to_owned(),
            })
    }

    /// One call; what SQS did not take is sent again, three times at most.
    async fn send_batch(&self, bodies: Vec<String>) -> Result<(), PortalError> {
        let mut left: Vec<usize> = (0..bodies.len()).collect();
        let mut refused = String::new();
        for _ in 0..3 {
            let entries = left.iter().map(|at| {
                SendMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .message_body(&bodies[*at])
                    .set_message_system_attributes(trace())
                    .build()
                    .expect("id and body are set")
            });
            let answer = self
                .sqs
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| PortalError::Queue {
                    code: error.code().unwrap_or("no answer").to_owned(),
                })?;
            left = answer
                .failed()
                .iter()
                .filter_map(|failed| failed.id().parse().ok())
                .collect();
            let Some(failed) = answer.failed().first() else {
                return Ok(());
            };
            failed.code().clone_into(&mut refused);
        }
        Err(PortalError::Queue { code: refused })
    }
}

/// What this is part of; the work is a part of it, too.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html>
fn trace() -> Option<HashMap<Attribute, AttributeValue>> {
    let value = AttributeValue::builder()
        .data_type("String")
        .string_value(bitflow_trace::current()?.to_string())
        .build()
        .expect("the type is set");
    Some(HashMap::from([(Attribute::AwsTraceHeader, value)]))
}
