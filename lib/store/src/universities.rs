//! Table `universities`: key `university_id`; indexes `by_status` (status, name_key) and
//! `by_stripe_customer`.

use aws_sdk_dynamodb::Client;
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::{PortalSecrets, PreviousSecret};
use bitflow_domain::university::{
    Metrics, StorageQuota, University, UniversityName, UniversityStatus,
};
use bitflow_domain::version::Version;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{from_item, s, to_item};
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::time::Stored;
use crate::transaction::{Guard, Transaction};

const TABLE: &str = "universities";

/// The table.
#[derive(Debug, Clone)]
pub struct Universities {
    client: Client,
    table: String,
}

impl Universities {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into(),
        }
    }

    /// The university as of now (a consistent read), deleted or not.
    pub async fn get(&self, id: UniversityId) -> Result<Option<University>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("university_id", s(id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("GetItem universities", error))?;
        answer
            .item
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_entity))
            .transpose()
    }

    /// Universities of one status by name. An index read: a change shows after a moment.
    pub async fn list(
        &self,
        status: UniversityStatus,
        page: &PageRequest,
    ) -> Result<Page<University>, ListError> {
        let key = CursorKey {
            partition: ("status", status.as_str()),
            others: &["university_id", "name_key"],
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
            .index_name("by_status")
            .key_condition_expression("#status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", s(status.as_str()))
            .limit(page.limit.get())
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query universities.by_status", error))?;
        let next_cursor = answer.last_evaluated_key().map(|last| key.encode(last));
        let data = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| from_item::<Record>(TABLE, item).map(Record::into_entity))
            .collect::<Result<_, _>>()?;
        Ok(Page { data, next_cursor })
    }

    /// Whose customer this is at Stripe. An index read: a new link shows after a moment.
    pub async fn by_stripe_customer(
        &self,
        stripe_customer_id: &str,
    ) -> Result<Option<UniversityId>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_stripe_customer")
            .key_condition_expression("stripe_customer_id = :customer")
            .expression_attribute_values(":customer", s(stripe_customer_id))
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::dynamo("Query universities.by_stripe_customer", error))?;
        let first = answer.items.unwrap_or_default().into_iter().next();
        Ok(first
            .map(|item| from_item::<KeyRecord>(TABLE, item))
            .transpose()?
            .map(|r| r.university_id))
    }

    /// Adds a university that must be new.
    pub fn insert(&self, transaction: &mut Transaction, university: &University) {
        let item = to_item(&Record::of(university));
        transaction.insert(
            &self.table,
            "university_id",
            item,
            Guard::Version("university"),
        );
    }

    /// Replaces the university that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, university: &University, loaded: Version) {
        transaction.replace(
            &self.table,
            loaded.get(),
            to_item(&Record::of(university)),
            "university",
        );
    }
}

/// What every index row has.
#[derive(Deserialize)]
struct KeyRecord {
    university_id: UniversityId,
}

#[derive(Serialize, Deserialize)]
struct Record {
    university_id: UniversityId,
    name: UniversityName,
    /// Lower case: sorts and finds by prefix.
    name_key: String,
    primary_email: EmailAddress,
    domain: DomainName,
    storage_quota: StorageQuota,
    status: UniversityStatus,
    students: u64,
    faculty: u64,
    storage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_customer_id: Option<String>,
    portal_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_portal_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_portal_secret_expires_at: Option<Stored>,
    version: Version,
    created_at: Stored,
    updated_at: Stored,
}

impl Record {
    fn of(university: &University) -> Self {
        let previous = university.portal_secrets.previous.as_ref();
        Self {
            university_id: university.id,
            name: university.name.clone(),
            name_key: university.name.as_str().to_lowercase(),
            primary_email: university.primary_email.clone(),
            domain: university.domain.clone(),
            storage_quota: university.storage_quota,
            status: university.status,
            students: university.metrics.students,
            faculty: university.metrics.faculty,
            storage: university.metrics.storage,
            stripe_customer_id: university.stripe_customer_id.clone(),
            portal_secret: university.portal_secrets.current.expose_secret().to_owned(),
            previous_portal_secret: previous.map(|p| p.secret.expose_secret().to_owned()),
            previous_portal_secret_expires_at: previous.map(|p| Stored(p.expires_at)),
            version: university.version,
            created_at: Stored(university.created_at),
            updated_at: Stored(university.updated_at),
        }
    }

    fn into_entity(self) -> University {
        let previous = self
            .previous_portal_secret
            .zip(self.previous_portal_secret_expires_at)
            .map(|(secret, at)| PreviousSecret {
                secret: secret.into(),
                expires_at: at.0,
            });
        University {
            id: self.university_id,
            name: self.name,
            primary_email: self.primary_email,
            domain: self.domain,
            storage_quota: self.storage_quota,
            status: self.status,
            metrics: Metrics {
                students: self.students,
                faculty: self.faculty,
                storage: self.storage,
            },
            stripe_customer_id: self.stripe_customer_id,
            portal_secrets: PortalSecrets {
                current: self.portal_secret.into(),
                previous,
            },
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}
