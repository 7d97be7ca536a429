//! Table `activities`: key `university_id, activity_id`; append only.
//!
//! An activity's id is its event's, so that writing it again changes nothing.

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{Actor, CorrelationId, EventId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, s, to_item};
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::time::Stored;

const TABLE: &str = "activities";

/// The history that belongs to no university.
const PLATFORM: &str = "platform";

/// One audit line (contract sections 2.1 and 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The event it follows from.
    pub id: EventId,
    /// Whose history it belongs to; nothing where it is the platform's.
    pub university_id: Option<UniversityId>,
    /// What kind of thing happened, e.g. `university_created`.
    pub kind: String,
    /// A sentence for people.
    pub description: String,
    /// The facts behind it.
    pub metadata: serde_json::Value,
    /// Who did it.
    pub actor: Actor,
    /// The request that began it all.
    pub correlation_id: CorrelationId,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// The table `activities`: the audit trail, append only.
#[derive(Debug, Clone)]
pub struct Activities {
    client: Client,
    table: String,
}

impl Activities {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// Writes an activity. The same one again is the same row with the same content, hence no
    /// condition and no inbox.
    pub async fn append(&self, activity: &Activity) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(&Record::of(activity))))
            .send()
            .await
            .map_err(|error| StoreError::dynamo("PutItem activities", error))?;
        Ok(())
    }

    /// A university's history, newest first. A cursor of another list is refused
    /// ([`ListError::Cursor`]).
    pub async fn list(
        &self,
        university_id: UniversityId,
        page: &PageRequest,
    ) -> Result<Page<Activity>, ListError> {
        let partition = university_id.to_string();
        let key = CursorKey {
            partition: ("university_id", &partition),
            others: &["activity_id"],
        };
        let start = page
            .cursor
            .as_deref()
            .map(|cursor| key.decode(cursor))
            .transpose()?;
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("university_id = :university")
            .expression_attribute_values(":university", s(&partition))
            .scan_index_forward(false)
            .limit(page.limit.into())
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query activities", error))?;
        let next_cursor = answer.last_evaluated_key().map(|last| key.encode(last));
        let data = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_entity))
            .collect::<Result<_, _>>()?;
        Ok(Page { data, next_cursor })
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// An id, or [`PLATFORM`].
    university_id: String,
    activity_id: EventId,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    metadata: serde_json::Value,
    actor: Actor,
    correlation_id: CorrelationId,
    occurred_at: Stored,
}

impl Record {
    fn of(activity: &Activity) -> Self {
        Self {
            university_id: activity
                .university_id
                .map_or_else(|| PLATFORM.to_owned(), |id| id.to_string()),
            activity_id: activity.id,
            kind: activity.kind.clone(),
            description: activity.description.clone(),
            metadata: activity.metadata.clone(),
            actor: activity.actor.clone(),
            correlation_id: activity.correlation_id.clone(),
            occurred_at: Stored(activity.occurred_at),
        }
    }

    fn into_entity(self) -> Activity {
        Activity {
            id: self.activity_id,
            university_id: UniversityId::parse(&self.university_id).ok(),
            kind: self.kind,
            description: self.description,
            metadata: self.metadata,
            actor: self.actor,
            correlation_id: self.correlation_id,
            occurred_at: self.occurred_at.0,
        }
    }
}
