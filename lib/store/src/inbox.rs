//! Table `inbox`: key `consumer, message_id`. What was handled is not handled again.
//!
//! Two ways in. An effect that is a change of ours commits the row in the same transaction
//! ([`Inbox::handled`]). An effect that is somebody else's (a mail) takes a claim first, acts, and
//! then settles the claim; a claim that its taker did not live to settle is taken over.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, n, s, to_item};
use crate::time::ttl;
use crate::transaction::{Guard, Transaction};

/// How long "handled" is remembered by default: longer than any sender repeats itself (SQS 14 days, Stripe's
/// event list 30).
pub const KEPT: SignedDuration = SignedDuration::from_hours(31 * 24);

const TABLE: &str = "inbox";

/// The table `inbox`, as one consumer sees it: its own rows.
#[derive(Debug, Clone)]
pub struct Inbox {
    client: Client,
    table: String,
    consumer: &'static str,
    kept: SignedDuration,
}

/// Which delivery of a message asks for the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The id that SQS gave the message.
    pub sqs_message_id: String,
    /// `ApproximateReceiveCount`, from 1.
    pub receive_count: u32,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Act, then settle.
    Taken,
    /// It was handled before.
    Settled,
    /// Somebody else is at it; come back later.
    Held,
}

impl Inbox {
    /// The rows of `consumer` in the table named `table`.
    pub fn new(client: &Client, table: impl Into<String>, consumer: &'static str) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
            consumer,
            kept: KEPT,
        }
    }

    /// The same, for a sender that repeats itself no longer than this.
    #[must_use]
    pub fn kept_for(self, kept: SignedDuration) -> Self {
        Self { kept, ..self }
    }

    /// Whether a row of `message_id` is there: a cheap look (eventually consistent) for those who
    /// mostly come upon what was handled. Whoever acts on "no" adds the row all the same.
    pub async fn has(&self, message_id: &str) -> Result<bool, StoreError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("consumer", s(self.consumer))
            .key("message_id", s(message_id))
            .projection_expression("message_id")
            .send()
            .await
            .map_err(|error| StoreError::dynamo("GetItem inbox", error))?;
        Ok(found.item.is_some())
    }

    /// Adds "handled" to the transaction of the effect.
    pub fn handled(&self, transaction: &mut Transaction, message_id: &str, now: Timestamp) {
        let item = to_item(&Record {
            consumer: self.consumer.into(),
            message_id: message_id.to_owned(),
            state: State::Settled,
            holder: None,
            receive_count: None,
            lease_until: None,
            expires_at: ttl(now + self.kept),
        });
        transaction.insert(&self.table, "message_id", item, Guard::Inbox);
    }

    /// Asks to be the one who acts on `message_id`.
    ///
    /// A claim is taken over when its `lease` ran out, and also when the same SQS message comes
    /// again with a higher receive count: SQS hands it out again only after the visibility timeout,
    /// which is six times what the function may run, so whoever held the claim is gone.
    ///
    /// # Errors
    /// The claim may be ours all the same: the message's next delivery takes it over.
    pub async fn claim(
        &self,
        message_id: &str,
        delivery: &Delivery,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<Claim, StoreError> {
        let item = to_item(&Record {
            consumer: self.consumer.into(),
            message_id: message_id.to_owned(),
            state: State::Claimed,
            holder: Some(delivery.sqs_message_id.clone()),
            receive_count: Some(delivery.receive_count),
            lease_until: Some((now + lease).as_millisecond()),
            expires_at: ttl(now + self.kept),
        });
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(message_id) OR (#state = :claimed AND \
                 (lease_until < :now OR (holder = :holder AND receive_count < :count)))",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":now", n(now.as_millisecond()))
            .expression_attribute_values(":holder", s(&delivery.sqs_message_id))
            .expression_attribute_values(":count", n(delivery.receive_count))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Claim::Taken);
        };
        if let Some(PutItemError::ConditionalCheckFailedException(refused)) =
            error.as_service_error()
            && let Some(stored) = refused.item()
        {
            let stored: Record = from_item(TABLE, stored.clone())?;
            let same_delivery = stored.holder.as_deref() == Some(&delivery.sqs_message_id)
                && stored.receive_count == Some(delivery.receive_count);
            return Ok(match stored.state {
                State::Settled => Claim::Settled,
                // Our own claim, whose answer was lost and which the SDK sent again.
                State::Claimed if same_delivery => Claim::Taken,
                State::Claimed => Claim::Held,
            });
        }
        Err(StoreError::dynamo("PutItem inbox", error))
    }

    /// Notes that what was claimed is done.
    pub async fn settle(&self, message_id: &str, now: Timestamp) -> Result<(), StoreError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("consumer", s(self.consumer))
            .key("message_id", s(message_id))
            .update_expression(
                "SET #state = :settled, expires_at = :expires \
                 REMOVE holder, receive_count, lease_until",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":settled", s("settled"))
            .expression_attribute_values(":expires", n(ttl(now + self.kept)))
            .send()
            .await
            .map_err(|error| StoreError::dynamo("UpdateItem inbox", error))?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Claimed,
    Settled,
}

#[derive(Serialize, Deserialize)]
struct Record {
    consumer: String,
    message_id: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_count: Option<u32>,
    /// Epoch milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<i64>,
    expires_at: i64,
}
