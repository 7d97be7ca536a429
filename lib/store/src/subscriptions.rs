//! Table `subscriptions`: key `university_id, subscription_id`; indexes `by_stripe_id` and
//! `by_status` (status, current_period_end).

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::subscription::{Subscription, SubscriptionStatus, Terms};
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_domain::version::Version;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, s, to_item};
use crate::time::Stored;
use crate::transaction::{Guard, Transaction};

const TABLE: &str = "subscriptions";

/// The table.
#[derive(Debug, Clone)]
pub struct Subscriptions {
    client: Client,
    table: String,
}

impl Subscriptions {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// The subscription as of now (a consistent read).
    pub async fn get(
        &self,
        university_id: UniversityId,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("university_id", s(university_id))
            .key("subscription_id", s(id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("GetItem subscriptions", error))?;
        answer
            .item
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_entity))
            .transpose()
    }

    /// Which subscription this is at Stripe. An index read: a new row shows after a moment.
    pub async fn by_stripe_id(
        &self,
        stripe_subscription_id: &str,
    ) -> Result<Option<(UniversityId, SubscriptionId)>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_stripe_id")
            .key_condition_expression("stripe_subscription_id = :id")
            .expression_attribute_values(":id", s(stripe_subscription_id))
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query subscriptions.by_stripe_id", error))?;
        let first = answer.items.unwrap_or_default().into_iter().next();
        let key = first
            .map(|item| from_item::<KeyRecord>(TABLE, item))
            .transpose()?;
        Ok(key.map(|key| (key.university_id, key.subscription_id)))
    }

    /// Adds a subscription that must be new.
    pub fn insert(&self, transaction: &mut Transaction, subscription: &Subscription) {
        let item = to_item(&Record::of(subscription));
        transaction.insert(
            &self.table,
            "subscription_id",
            item,
            Guard::Version("subscription"),
        );
    }

    /// Replaces the subscription that was loaded with version `loaded`.
    pub fn replace(
        &self,
        transaction: &mut Transaction,
        subscription: &Subscription,
        loaded: Version,
    ) {
        transaction.replace(
            &self.table,
            loaded.get(),
            to_item(&Record::of(subscription)),
            "subscription",
        );
    }
}

#[derive(Deserialize)]
struct KeyRecord {
    university_id: UniversityId,
    subscription_id: SubscriptionId,
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    subscription_id: SubscriptionId,
    stripe_subscription_id: String,
    status: SubscriptionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_price_id: Option<String>,
    current_period_start: Stored,
    current_period_end: Stored,
    cancel_at_period_end: bool,
    reported_at: Stored,
    version: Version,
    created_at: Stored,
    updated_at: Stored,
}

impl Record {
    fn of(subscription: &Subscription) -> Self {
        let terms = &subscription.terms;
        Self {
            university_id: subscription.university_id,
            subscription_id: subscription.id,
            stripe_subscription_id: subscription.stripe_subscription_id.clone(),
            status: terms.status,
            stripe_price_id: terms.stripe_price_id.clone(),
            current_period_start: Stored(terms.current_period_start),
            current_period_end: Stored(terms.current_period_end),
            cancel_at_period_end: terms.cancel_at_period_end,
            reported_at: Stored(subscription.reported_at),
            version: subscription.version,
            created_at: Stored(subscription.created_at),
            updated_at: Stored(subscription.updated_at),
        }
    }

    fn into_entity(self) -> Subscription {
        Subscription {
            id: self.subscription_id,
            university_id: self.university_id,
            stripe_subscription_id: self.stripe_subscription_id,
            terms: Terms {
                status: self.status,
                stripe_price_id: self.stripe_price_id,
                current_period_start: self.current_period_start.0,
                current_period_end: self.current_period_end.0,
                cancel_at_period_end: self.cancel_at_period_end,
            },
            reported_at: self.reported_at.0,
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}
