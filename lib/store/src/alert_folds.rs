//! Table `alert_folds`: key `fold`. Of each university, type and subject of alerts, the alert that was raised
//! last: what makes a repeat a repeat, whoever raises at the same moment.

use aws_sdk_dynamodb::Client;
use bitflow_domain::alert::{Alert, FOLDED_WITHIN, NewAlert};
use bitflow_domain::id::AlertId;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{s, to_item};
use crate::table::Table;
use crate::time::ttl;
use crate::transaction::Transaction;

/// How long a row is kept after the last repeat that it folds. DynamoDB's clock is not ours, and a copy
/// of the call that raised the alert, which verifies for some minutes, is answered by way of the row.
const KEPT_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// The table `alert_folds`: which alert of a kind was raised last.
#[derive(Debug, Clone)]
pub struct AlertFolds {
    table: Table,
}

impl AlertFolds {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "alert_folds"),
        }
    }

    /// The alert that was raised last of the same (a consistent read). It may be an old one: rows
    /// expire when DynamoDB comes round to it.
    pub async fn last(&self, new: &NewAlert) -> Result<Option<AlertId>, StoreError> {
        let key = [("fold", key(new))];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(|record| record.alert_id))
    }

    /// Makes `alert`, raised of `new`, the last one, if `last` still is.
    pub fn point(
        &self,
        transaction: &mut Transaction,
        (new, alert): (&NewAlert, &Alert),
        last: Option<AlertId>,
    ) {
        let item = to_item(&Record {
            fold: key(new),
            alert_id: alert.id,
            expires_at: ttl(alert.created_at + FOLDED_WITHIN + KEPT_AFTER),
        });
        let last = last.map(|id| ("alert_id", s(id)));
        transaction.put(&self.table.name, "fold", item, last, "alert");
    }
}

fn key(new: &NewAlert) -> String {
    let whose = new.university_id.map(|id| id.to_string());
    let whose = whose.as_deref().unwrap_or("platform");
    match &new.subject {
        None => format!("{whose}#{}", new.kind.as_str()),
        Some(subject) => format!("{whose}#{}#{subject}", new.kind.as_str()),
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    fold: String,
    alert_id: AlertId,
    expires_at: i64,
}
