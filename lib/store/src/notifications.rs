//! Table `notifications`: key `notification_id`; index `by_type` (type, created_at).

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Update;
use bitflow_domain::id::NotificationId;
use bitflow_domain::notification::{Cancelled, Notice, NoticeMessage, NoticeTitle, Notification};
use bitflow_domain::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{n, s, to_item};
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// The only type there is; what notifications are found by.
const MAINTENANCE: &str = "maintenance";

/// What an announcement is made on the condition of.
const NOT_CANCELLED: &str =
    "attribute_exists(notification_id) AND attribute_not_exists(cancelled_at)";

/// The table `notifications`.
#[derive(Debug, Clone)]
pub struct Notifications {
    table: Table,
}

impl Notifications {
    /// What a lost race names.
    pub const ENTITY: &'static str = "notification";

    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "notifications"),
        }
    }

    /// The notification as of now (a consistent read).
    pub async fn get(&self, id: NotificationId) -> Result<Option<Notification>, StoreError> {
        let key = [("notification_id", id.to_string())];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Notifications, newest first. An index read: a change shows after a moment. A cursor of
    /// another list is refused ([`ListError::Cursor`]).
    pub async fn list(&self, page: &PageRequest) -> Result<Page<Notification>, ListError> {
        let key = CursorKey {
            partition: ("type", MAINTENANCE),
            others: &["notification_id", "created_at"],
        };
        let select = Select {
            backwards: true,
            ..Select::of("by_type", key)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Adds a notification that must be new.
    pub fn insert(&self, transaction: &mut Transaction, notification: &Notification) {
        let item = to_item(&Record::of(notification));
        let guard = Guard::Version(Self::ENTITY);
        transaction.insert(&self.table.name, "notification_id", item, guard);
    }

    /// Notes that somebody took it back, as `notification` says, if nobody had. The announcement
    /// that may be under way goes on counting in the same row.
    pub fn cancel(&self, transaction: &mut Transaction, notification: &Notification) {
        let cancelled = notification.cancelled.as_ref();
        let cancelled = cancelled.expect("only what is cancelled is noted as cancelled");
        let update = self
            .change(notification.id)
            .update_expression("SET cancelled_at = :at, cancelled_by = :by, version = :version")
            .condition_expression(NOT_CANCELLED)
            .expression_attribute_values(":at", s(fixed(cancelled.at)))
            .expression_attribute_values(":by", s(&cancelled.by))
            .expression_attribute_values(":version", n(notification.version.get()));
        transaction.update(update, Self::ENTITY);
    }

    /// Counts universities that it is announced to in the same transaction, unless somebody took it
    /// back.
    pub fn announced(&self, transaction: &mut Transaction, id: NotificationId, more: usize) {
        let update = self
            .change(id)
            .update_expression("ADD universities :more")
            .condition_expression(NOT_CANCELLED)
            .expression_attribute_values(":more", n(more));
        transaction.update(update, Self::ENTITY);
    }

    /// Notes that it is announced to all. Again changes nothing.
    pub async fn finish(&self, id: NotificationId, now: Timestamp) -> Result<(), StoreError> {
        self.table
            .client
            .update_item()
            .table_name(&self.table.name)
            .key("notification_id", s(id))
            .update_expression("SET announced_at = if_not_exists(announced_at, :now)")
            .expression_attribute_values(":now", s(fixed(now)))
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::dynamo("UpdateItem notifications", error))
    }

    fn change(&self, id: NotificationId) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(&self.table.name)
            .key("notification_id", s(id))
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    notification_id: NotificationId,
    #[serde(rename = "type")]
    kind: String,
    title: NoticeTitle,
    message: NoticeMessage,
    scheduled_at: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<Stored>,
    universities: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_at: Option<Stored>,
    created_by: String,
    created_at: Stored,
    version: Version,
}

impl Record {
    fn of(notification: &Notification) -> Self {
        let cancelled = notification.cancelled.as_ref();
        Self {
            notification_id: notification.id,
            kind: MAINTENANCE.to_owned(),
            title: notification.notice.title.clone(),
            message: notification.notice.message.clone(),
            scheduled_at: Stored(notification.notice.scheduled_at),
            cancelled_by: cancelled.map(|it| it.by.clone()),
            cancelled_at: cancelled.map(|it| Stored(it.at)),
            universities: notification.universities,
            announced_at: notification.announced_at.map(Stored),
            created_by: notification.created_by.clone(),
            created_at: Stored(notification.created_at),
            version: notification.version,
        }
    }

    fn into_entity(self) -> Notification {
        let cancelled = self.cancelled_by.zip(self.cancelled_at);
        Notification {
            id: self.notification_id,
            notice: Notice {
                title: self.title,
                message: self.message,
                scheduled_at: self.scheduled_at.0,
            },
            cancelled: cancelled.map(|(by, at)| Cancelled { by, at: at.0 }),
            universities: self.universities,
            announced_at: self.announced_at.map(|at| at.0),
            created_by: self.created_by,
            created_at: self.created_at.0,
            version: self.version,
        }
    }
}
