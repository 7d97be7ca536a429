//! Table `alerts`: key `alert_id`; indexes `by_state` (state, created_at) and `by_university`
//! (university_id, created_at).

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Update;
use bitflow_domain::alert::{Acknowledged, Alert, AlertMessage, AlertState, AlertType, Severity};
use bitflow_domain::id::{AlertId, UniversityId};
use bitflow_domain::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{n, s, to_item};
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::{Stored, fixed};
use crate::transaction::{Guard, Transaction};

/// What a lost race names.
const ENTITY: &str = "alert";

/// The table `alerts`.
#[derive(Debug, Clone)]
pub struct Alerts {
    table: Table,
}

/// Which alerts are wanted; what is none does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertFilter {
    /// Seen, or not.
    pub state: AlertState,
    /// About whom.
    pub university_id: Option<UniversityId>,
    /// How bad.
    pub severity: Option<Severity>,
}

impl Alerts {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "alerts"),
        }
    }

    /// The alert as of now (a consistent read).
    pub async fn get(&self, id: AlertId) -> Result<Option<Alert>, StoreError> {
        let key = [("alert_id", id.to_string())];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Alerts, newest first. An index read: a change shows after a moment. Where few of very many
    /// are wanted, a page may hold fewer than it could and still not be the last. A cursor of
    /// another list is refused ([`ListError::Cursor`]).
    pub async fn list(
        &self,
        filter: AlertFilter,
        page: &PageRequest,
    ) -> Result<Page<Alert>, ListError> {
        let university = filter.university_id.map(|id| id.to_string());
        let select = || select(filter, university.as_deref());
        let rows = self.table.filled::<Record>(select, page).await?;
        Ok(rows.map(Record::into_entity))
    }

    /// Adds an alert that must be new.
    pub fn insert(&self, transaction: &mut Transaction, alert: &Alert) {
        let item = to_item(&Record::of(alert));
        transaction.insert(&self.table.name, "alert_id", item, Guard::Version(ENTITY));
    }

    /// Replaces the alert that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, alert: &Alert, loaded: Version) {
        let item = to_item(&Record::of(alert));
        transaction.replace(&self.table.name, loaded.get(), item, ENTITY);
    }

    /// Counts a repeat, if nobody has seen the alert yet. Repeats do not wait for each other.
    pub fn repeat(&self, transaction: &mut Transaction, id: AlertId, now: Timestamp) {
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("alert_id", s(id))
            .update_expression("SET last_raised_at = :now ADD #count :one, version :one")
            .condition_expression("#state = :open")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":now", s(fixed(now)))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":open", s(AlertState::Open.as_str()));
        transaction.update(update, ENTITY);
    }
}

/// What alerts are found by, and what is left out of what is found.
fn select(filter: AlertFilter, university: Option<&str>) -> Select<'_> {
    let (index, partition, mut only_where) = match university {
        None => ("by_state", ("state", filter.state.as_str()), Vec::new()),
        Some(id) => (
            "by_university",
            ("university_id", id),
            vec![("state", filter.state.as_str())],
        ),
    };
    only_where.extend(filter.severity.map(|it| ("severity", it.as_str())));
    let key = CursorKey {
        partition,
        others: &["alert_id", "created_at"],
    };
    Select {
        backwards: true,
        only_where,
        ..Select::of(index, key)
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    alert_id: AlertId,
    #[serde(skip_serializing_if = "Option::is_none")]
    university_id: Option<UniversityId>,
    #[serde(rename = "type")]
    kind: AlertType,
    severity: Severity,
    message: AlertMessage,
    count: u64,
    /// Follows from `acknowledged_at`; what alerts are found by.
    state: AlertState,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<Stored>,
    version: Version,
    created_at: Stored,
    last_raised_at: Stored,
}

impl Record {
    fn of(alert: &Alert) -> Self {
        let acknowledged = alert.acknowledged.as_ref();
        Self {
            alert_id: alert.id,
            university_id: alert.university_id,
            kind: alert.kind.clone(),
            severity: alert.severity,
            message: alert.message.clone(),
            count: alert.count,
            state: alert.state(),
            acknowledged_by: acknowledged.map(|it| it.by.clone()),
            acknowledged_at: acknowledged.map(|it| Stored(it.at)),
            version: alert.version,
            created_at: Stored(alert.created_at),
            last_raised_at: Stored(alert.last_raised_at),
        }
    }

    fn into_entity(self) -> Alert {
        let acknowledged = self.acknowledged_by.zip(self.acknowledged_at);
        Alert {
            id: self.alert_id,
            university_id: self.university_id,
            kind: self.kind,
            severity: self.severity,
            message: self.message,
            count: self.count,
            acknowledged: acknowledged.map(|(by, at)| Acknowledged { by, at: at.0 }),
            version: self.version,
            created_at: self.created_at.0,
            last_raised_at: self.last_raised_at.0,
        }
    }
}
