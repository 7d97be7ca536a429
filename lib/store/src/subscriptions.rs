//! Table `subscriptions`: key `university_id, subscription_id`; indexes `by_stripe_id` and
//! `by_status` (status, current_period_end).

use aws_sdk_dynamodb::Client;
use bitflow_domain::billing::subscription::{
    Billing, ManualPlan, Subscription, SubscriptionStatus, Terms,
};
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::to_item;
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// The table `subscriptions`: Stripe's and manual plans.
#[derive(Debug, Clone)]
pub struct Subscriptions {
    table: Table,
}

/// Which subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct SubscriptionKey {
    /// Whose.
    pub university_id: UniversityId,
    /// Its id.
    pub subscription_id: SubscriptionId,
}

impl Subscriptions {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "subscriptions"),
        }
    }

    /// The subscription as of now (a consistent read).
    pub async fn get(
        &self,
        university_id: UniversityId,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        let key = [
            ("university_id", university_id.to_string()),
            ("subscription_id", id.to_string()),
        ];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Which subscription this is at Stripe. An index read: a new row shows after a moment.
    pub async fn by_stripe_id(
        &self,
        stripe_subscription_id: &str,
    ) -> Result<Option<SubscriptionKey>, StoreError> {
        let attribute = "stripe_subscription_id";
        self.table
            .first("by_stripe_id", attribute, stripe_subscription_id)
            .await
    }

    /// A university's subscriptions. A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn of_university(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Subscription>, ListError> {
        let partition = university_id.to_string();
        let select = Select::of_table(CursorKey {
            partition: ("university_id", &partition),
            others: &["subscription_id"],
        });
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// The keys of up to `limit` subscriptions of one status. An index read. A cursor of another
    /// list is refused ([`ListError::Cursor`]).
    pub async fn keys_by_status(
        &self,
        status: SubscriptionStatus,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<SubscriptionKey>, ListError> {
        let select = Select {
            only: &["university_id", "subscription_id"],
            ..by_status(status)
        };
        self.table.page(select, i32::from(limit), cursor).await
    }

    /// Subscriptions of one status whose period ends between `from` and `to`. An index read. A
    /// cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn ending(
        &self,
        status: SubscriptionStatus,
        (from, to): (Timestamp, Timestamp),
        page: &PageRequest,
    ) -> Result<Page<Subscription>, ListError> {
        let select = Select {
            between: Some(("current_period_end", fixed(from), fixed(to))),
            ..by_status(status)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Adds a subscription that must be new.
    pub fn insert(&self, transaction: &mut Transaction, subscription: &Subscription) {
        let item = to_item(&Record::of(subscription));
        let guard = Guard::Version("subscription");
        transaction.insert(&self.table.name, "subscription_id", item, guard);
    }

    /// Replaces the subscription that was loaded with version `loaded`.
    pub fn replace(
        &self,
        transaction: &mut Transaction,
        subscription: &Subscription,
        loaded: Version,
    ) {
        let item = to_item(&Record::of(subscription));
        transaction.replace(&self.table.name, loaded.get(), item, "subscription");
    }
}

fn by_status(status: SubscriptionStatus) -> Select<'static> {
    let key = CursorKey {
        partition: ("status", status.as_str()),
        others: &["university_id", "subscription_id", "current_period_end"],
    };
    Select::of("by_status", key)
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    subscription_id: SubscriptionId,
    #[serde(flatten)]
    billing: BillingRecord,
    status: SubscriptionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_price_id: Option<String>,
    current_period_start: Stored,
    current_period_end: Stored,
    cancel_at_period_end: bool,
    reported_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warned_of: Option<Stored>,
    version: Version,
    created_at: Stored,
    updated_at: Stored,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "billing", rename_all = "snake_case")]
enum BillingRecord {
    Stripe {
        stripe_subscription_id: String,
    },
    Manual {
        amount: i64,
        currency: Currency,
        description: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        days_until_due: Option<u16>,
    },
}

impl Record {
    fn of(subscription: &Subscription) -> Self {
        let terms = &subscription.terms;
        let billing = match &subscription.billing {
            Billing::Stripe { subscription_id } => BillingRecord::Stripe {
                stripe_subscription_id: subscription_id.clone(),
            },
            Billing::Manual(plan) => BillingRecord::Manual {
                amount: plan.amount.amount,
                currency: plan.amount.currency,
                description: plan.description.clone(),
                days_until_due: plan.days_until_due,
            },
        };
        Self {
            university_id: subscription.university_id,
            subscription_id: subscription.id,
            billing,
            status: terms.status,
            stripe_price_id: terms.stripe_price_id.clone(),
            current_period_start: Stored(terms.current_period_start),
            current_period_end: Stored(terms.current_period_end),
            cancel_at_period_end: terms.cancel_at_period_end,
            reported_at: Stored(subscription.reported_at),
            ends_at: subscription.ends_at.map(Stored),
            warned_of: subscription.warned_of.map(Stored),
            version: subscription.version,
            created_at: Stored(subscription.created_at),
            updated_at: Stored(subscription.updated_at),
        }
    }

    fn into_entity(self) -> Subscription {
        let billing = match self.billing {
            BillingRecord::Stripe {
                stripe_subscription_id,
            } => Billing::Stripe {
                subscription_id: stripe_subscription_id,
            },
            BillingRecord::Manual {
                amount,
                currency,
                description,
                days_until_due,
            } => Billing::Manual(ManualPlan {
                amount: Money::new(amount, currency),
                description,
                days_until_due,
            }),
        };
        Subscription {
            id: self.subscription_id,
            university_id: self.university_id,
            billing,
            terms: Terms {
                status: self.status,
                stripe_price_id: self.stripe_price_id,
                current_period_start: self.current_period_start.0,
                current_period_end: self.current_period_end.0,
                cancel_at_period_end: self.cancel_at_period_end,
            },
            reported_at: self.reported_at.0,
            ends_at: self.ends_at.map(|at| at.0),
            warned_of: self.warned_of.map(|at| at.0),
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}
