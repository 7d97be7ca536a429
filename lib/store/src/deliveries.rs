//! Table `deliveries`: key `notification_id, university_id`; sparse index `by_due` (waiting,
//! due_at), which has what is to be tried (again).

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::{NotificationId, UniversityId};
use bitflow_domain::notification::delivery::{Delivery, DeliveryCounts, DeliveryState};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{n, s, to_item};
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// `waiting` has this many values: one partition of the index takes about 1,000 writes a second.
pub const WAITING_SHARDS: u8 = 4;

/// Rows of one read of many.
const READ: i32 = 1000;

/// The table `deliveries`: one row for each notification and university.
#[derive(Debug, Clone)]
pub struct Deliveries {
    table: Table,
}

/// A delivery that is to be tried (again).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// See [`Delivery::notification_id`].
    pub notification_id: NotificationId,
    /// See [`Delivery::university_id`].
    pub university_id: UniversityId,
    /// See [`Delivery::attempts`].
    pub attempts: u32,
    /// See [`Delivery::correlation_id`].
    pub correlation_id: String,
}

impl Deliveries {
    /// What a lost race names.
    pub const ENTITY: &'static str = "delivery";

    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "deliveries"),
        }
    }

    /// The delivery as of now (a consistent read).
    pub async fn get(
        &self,
        notification: NotificationId,
        university: UniversityId,
    ) -> Result<Option<Delivery>, StoreError> {
        let key = [
            ("notification_id", notification.to_string()),
            ("university_id", university.to_string()),
        ];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Deliveries of a notification, of one state where it is given, as of now. A cursor of another
    /// list is refused ([`ListError::Cursor`]).
    pub async fn list(
        &self,
        notification: NotificationId,
        state: Option<DeliveryState>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, ListError> {
        let partition = notification.to_string();
        let select = || Select {
            only_where: state.map(|it| ("state", it.as_str())).into_iter().collect(),
            ..of(&partition)
        };
        let rows = self.table.filled::<Record>(select, page).await?;
        Ok(rows.map(Record::into_entity))
    }

    /// How many there are of each state.
    pub async fn counts(&self, notification: NotificationId) -> Result<DeliveryCounts, ListError> {
        let mut counts = DeliveryCounts::default();
        self.each::<StateRecord>(notification, &["state"], |row| counts.add(row.state))
            .await?;
        Ok(counts)
    }

    /// Whose portals are told of a notification.
    pub async fn universities(
        &self,
        notification: NotificationId,
    ) -> Result<HashSet<UniversityId>, ListError> {
        let mut found = HashSet::new();
        self.each::<KeyRecord>(notification, &["university_id"], |row| {
            found.insert(row.university_id);
        })
        .await?;
        Ok(found)
    }

    /// Up to `limit` deliveries of one shard that are due before `before`, the longest due first.
    /// An index read: a change shows after a moment. A cursor of another list is refused
    /// ([`ListError::Cursor`]).
    pub async fn due(
        &self,
        shard: u8,
        before: Timestamp,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<DueDelivery>, ListError> {
        let shard = shard.to_string();
        let key = CursorKey {
            partition: ("waiting", &shard),
            others: &["notification_id", "university_id", "due_at"],
        };
        let select = Select {
            between: Some(("due_at", fixed(Timestamp::UNIX_EPOCH), fixed(before))),
            ..Select::of("by_due", key)
        };
        let rows = self
            .table
            .page::<DueRecord>(select, limit.into(), cursor)
            .await?;
        Ok(rows.map(DueRecord::into_due))
    }

    /// Adds a delivery that must be new.
    pub fn insert(&self, transaction: &mut Transaction, delivery: &Delivery) {
        let item = to_item(&Record::of(delivery));
        let guard = Guard::Version(Self::ENTITY);
        transaction.insert(&self.table.name, "university_id", item, guard);
    }

    /// Replaces the pending delivery that was loaded with that many `attempts`.
    pub fn replace(&self, transaction: &mut Transaction, delivery: &Delivery, attempts: u32) {
        let item = to_item(&Record::of(delivery));
        // What is settled has no `waiting`, and stays as it is.
        let expected = [
            ("attempts", n(attempts)),
            ("state", s(DeliveryState::Pending.as_str())),
        ];
        transaction.replace_where(&self.table.name, item, &expected, Self::ENTITY);
    }

    /// Every row of a notification, as of now, with these attributes only.
    async fn each<R: DeserializeOwned>(
        &self,
        notification: NotificationId,
        only: &'static [&'static str],
        mut see: impl FnMut(R),
    ) -> Result<(), ListError> {
        let partition = notification.to_string();
        let mut cursor = None;
        loop {
            let select = Select {
                only,
                ..of(&partition)
            };
            let page = self
                .table
                .page::<R>(select, READ, cursor.as_deref())
                .await?;
            page.data.into_iter().for_each(&mut see);
            let Some(next) = page.next_cursor else {
                return Ok(());
            };
            cursor = Some(next);
        }
    }
}

/// The rows of a notification.
fn of(notification: &str) -> Select<'_> {
    Select::of_table(CursorKey {
        partition: ("notification_id", notification),
        others: &["university_id"],
    })
}

#[derive(Deserialize)]
struct KeyRecord {
    university_id: UniversityId,
}

#[derive(Deserialize)]
struct StateRecord {
    state: DeliveryState,
}

/// What the index has.
#[derive(Deserialize)]
struct DueRecord {
    notification_id: NotificationId,
    university_id: UniversityId,
    attempts: u32,
    correlation_id: String,
}

impl DueRecord {
    fn into_due(self) -> DueDelivery {
        DueDelivery {
            notification_id: self.notification_id,
            university_id: self.university_id,
            attempts: self.attempts,
            correlation_id: self.correlation_id,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    notification_id: NotificationId,
    university_id: UniversityId,
    state: DeliveryState,
    attempts: u32,
    under_way: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Follows from `due_at`; what due deliveries are found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Stored>,
    correlation_id: String,
    created_at: Stored,
}

impl Record {
    fn of(delivery: &Delivery) -> Self {
        let shard = delivery.university_id.as_uuid().as_u128() % u128::from(WAITING_SHARDS);
        Self {
            notification_id: delivery.notification_id,
            university_id: delivery.university_id,
            state: delivery.state,
            attempts: delivery.attempts,
            under_way: delivery.under_way,
            last_status: delivery.last_status,
            last_error: delivery.last_error.clone(),
            waiting: delivery.due_at.map(|_| shard.to_string()),
            due_at: delivery.due_at.map(Stored),
            settled_at: delivery.settled_at.map(Stored),
            correlation_id: delivery.correlation_id.clone(),
            created_at: Stored(delivery.created_at),
        }
    }

    fn into_entity(self) -> Delivery {
        Delivery {
            notification_id: self.notification_id,
            university_id: self.university_id,
            state: self.state,
            attempts: self.attempts,
            under_way: self.under_way,
            last_status: self.last_status,
            last_error: self.last_error,
            due_at: self.due_at.map(|at| at.0),
            settled_at: self.settled_at.map(|at| at.0),
            correlation_id: self.correlation_id,
            created_at: self.created_at.0,
        }
    }
}
