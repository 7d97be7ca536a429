//! Table `idempotency_keys`: key `idempotency_key`. What was begun under a key, and what it was
//! answered: a repeat gets the first answer, or goes on where the first try died.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::item::{from_item, n, s, to_item};
use crate::table::Table;
use crate::time::{Stored, ttl};

const TABLE: &str = "idempotency_keys";

/// The table `idempotency_keys`: what was begun under a key, and how it was answered.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    table: Table,
    kept: SignedDuration,
}

/// A try at what a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The id of what is created: the same on every try.
    pub resource: Uuid,
    /// When the first try began.
    pub started_at: Timestamp,
}

/// What the first try was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Location` header.
    pub location: String,
    /// `ETag` header.
    pub etag: String,
    /// The body.
    pub body: String,
}

/// What to do for a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Do it (again).
    Go(Attempt),
    /// It was done: answer this.
    Done(Answer),
    /// The key was used for another request.
    OtherRequest,
}

impl IdempotencyKeys {
    /// The table named `table`; keys are remembered for `kept`.
    pub fn new(client: &Client, table: impl Into<String>, kept: SignedDuration) -> Self {
        Self {
            table: Table::new(client, table, TABLE),
            kept,
        }
    }

    /// Begins what `key` stands for. `fingerprint` tells one request from another; `resource` is
    /// the id of what is created, if nobody began before.
    ///
    /// Two at the same moment both go on, with one id: whatever they do under it happens once.
    pub async fn begin(
        &self,
        key: &str,
        fingerprint: &str,
        resource: Uuid,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let item = to_item(&Record {
            idempotency_key: key.to_owned(),
            fingerprint: fingerprint.to_owned(),
            resource,
            started_at: Stored(now),
            answer: None,
            expires_at: ttl(now + self.kept),
        });
        let sent = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(item))
            // TTL deletes late: an expired key counts as none.
            .condition_expression("attribute_not_exists(idempotency_key) OR expires_at < :now")
            .expression_attribute_values(":now", n(ttl(now)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Begun::Go(Attempt {
                resource,
                started_at: now,
            }));
        };
        let Some(PutItemError::ConditionalCheckFailedException(refused)) = error.as_service_error()
        else {
            return Err(StoreError::dynamo("PutItem idempotency_keys", error));
        };
        let Some(stored) = refused.item() else {
            return Err(StoreError::dynamo("PutItem idempotency_keys", error));
        };
        let stored: Record = from_item(TABLE, stored.clone())?;
        if stored.fingerprint != fingerprint {
            return Ok(Begun::OtherRequest);
        }
        Ok(match stored.answer {
            Some(answer) => Begun::Done(Answer {
                status: answer.status,
                location: answer.location,
                etag: answer.etag,
                body: answer.body,
            }),
            None => Begun::Go(Attempt {
                resource: stored.resource,
                started_at: stored.started_at.0,
            }),
        })
    }

    /// Notes what `key` was answered.
    ///
    /// # Errors
    /// Also where nothing was begun under `key`, or DynamoDB has forgotten it: it is not made anew.
    pub async fn answer(&self, key: &str, answer: &Answer) -> Result<(), StoreError> {
        let record = AnswerRecord {
            status: answer.status,
            location: answer.location.clone(),
            etag: answer.etag.clone(),
            body: answer.body.clone(),
        };
        self.table
            .client
            .update_item()
            .table_name(&self.table.name)
            .key("idempotency_key", s(key))
            .update_expression("SET answer = :answer")
            .condition_expression("attribute_exists(idempotency_key)")
            .expression_attribute_values(
                ":answer",
                aws_sdk_dynamodb::types::AttributeValue::M(to_item(&record)),
            )
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::dynamo("UpdateItem idempotency_keys", error))
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    idempotency_key: String,
    fingerprint: String,
    resource: Uuid,
    started_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerRecord>,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct AnswerRecord {
    status: u16,
    location: String,
    etag: String,
    body: String,
}
