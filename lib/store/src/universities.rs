//! Table `universities`: key `university_id`; indexes `by_status` (status, name_key) and
//! `by_stripe_customer`.

use aws_sdk_dynamodb::Client;
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::{LogoId, UniversityId};
use bitflow_domain::secret::{PortalSecrets, PreviousSecret};
use bitflow_domain::university::logo::{Logo, PictureFormat};
use bitflow_domain::university::usage::Metrics;
use bitflow_domain::university::{
    NamePrefix, StorageQuota, University, UniversityName, UniversityStatus,
};
use bitflow_domain::version::Version;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::item::to_item;
use crate::page::{CursorKey, ListError, Page, PageRequest};
use crate::table::{Select, Table};
use crate::time::Stored;
use crate::transaction::{Guard, Transaction};

/// The table `universities`: one row each, deleted ones too.
#[derive(Debug, Clone)]
pub struct Universities {
    table: Table,
}

impl Universities {
    /// The table named `table`.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table, "universities"),
        }
    }

    /// The university as of now (a consistent read), deleted or not.
    pub async fn get(&self, id: UniversityId) -> Result<Option<University>, StoreError> {
        let key = [("university_id", id.to_string())];
        let record = self.table.get::<Record>(&key).await?;
        Ok(record.map(Record::into_entity))
    }

    /// Universities of one status by name, those whose name begins with `prefix`. An index read: a
    /// change shows after a moment. A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn list(
        &self,
        status: UniversityStatus,
        prefix: Option<&NamePrefix>,
        page: &PageRequest,
    ) -> Result<Page<University>, ListError> {
        let key = CursorKey {
            partition: ("status", status.as_str()),
            others: &["university_id", "name_key"],
        };
        let select = Select {
            prefix: prefix.map(|prefix| ("name_key", prefix.key())),
            ..Select::of("by_status", key)
        };
        let rows = self
            .table
            .page::<Record>(select, page.limit.into(), page.cursor.as_deref())
            .await?;
        Ok(rows.map(Record::into_entity))
    }

    /// The ids of up to `limit` universities of one status after `cursor`. An index read, likewise.
    /// A cursor of another list is refused ([`ListError::Cursor`]).
    pub async fn ids(
        &self,
        status: UniversityStatus,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<UniversityId>, ListError> {
        let key = CursorKey {
            partition: ("status", status.as_str()),
            others: &["university_id", "name_key"],
        };
        let select = Select {
            only: &["university_id"],
            ..Select::of("by_status", key)
        };
        let rows = self
            .table
            .page::<KeyRecord>(select, limit.into(), cursor)
            .await?;
        Ok(rows.map(|row| row.university_id))
    }

    /// Whose customer this is at Stripe. An index read: a new link shows after a moment.
    pub async fn by_stripe_customer(
        &self,
        stripe_customer_id: &str,
    ) -> Result<Option<UniversityId>, StoreError> {
        let key = self
            .table
            .first::<KeyRecord>(
                "by_stripe_customer",
                "stripe_customer_id",
                stripe_customer_id,
            )
            .await?;
        Ok(key.map(|key| key.university_id))
    }

    /// Adds a university that must be new.
    pub fn insert(&self, transaction: &mut Transaction, university: &University) {
        let item = to_item(&Record::of(university));
        transaction.insert(
            &self.table.name,
            "university_id",
            item,
            Guard::Version("university"),
        );
    }

    /// Replaces the university that was loaded with version `loaded`.
    pub fn replace(&self, transaction: &mut Transaction, university: &University, loaded: Version) {
        transaction.replace(
            &self.table.name,
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
    /// Sorts and finds by prefix, whatever the case.
    name_key: String,
    primary_email: EmailAddress,
    domain: DomainName,
    storage_quota: StorageQuota,
    status: UniversityStatus,
    students: u64,
    faculty: u64,
    storage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<LogoRecord>,
    #[serde(default)]
    measured_storage: u64,
    #[serde(default)]
    quota_warned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_customer_id: Option<String>,
    #[serde(default)]
    stripe_customers_lost: u32,
    portal_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    portal_secret_rotation: Option<Uuid>,
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
            name_key: university.name.key(),
            primary_email: university.primary_email.clone(),
            domain: university.domain.clone(),
            storage_quota: university.storage_quota,
            status: university.status,
            students: university.metrics.students,
            faculty: university.metrics.faculty,
            storage: university.metrics.storage,
            logo: university.logo.as_ref().map(LogoRecord::of),
            measured_storage: university.measured_storage,
            quota_warned: university.quota_warned,
            stripe_customer_id: university.stripe_customer_id.clone(),
            stripe_customers_lost: university.stripe_customers_lost,
            portal_secret: university.portal_secrets.current.expose_secret().to_owned(),
            portal_secret_rotation: university.portal_secrets.rotation,
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
            logo: self.logo.map(LogoRecord::into_entity),
            measured_storage: self.measured_storage,
            quota_warned: self.quota_warned,
            stripe_customer_id: self.stripe_customer_id,
            stripe_customers_lost: self.stripe_customers_lost,
            portal_secrets: PortalSecrets {
                current: self.portal_secret.into(),
                previous,
                rotation: self.portal_secret_rotation,
            },
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct LogoRecord {
    logo_id: LogoId,
    format: PictureFormat,
    bytes: u64,
    digest: String,
    uploaded_at: Stored,
}

impl LogoRecord {
    fn of(logo: &Logo) -> Self {
        Self {
            logo_id: logo.id,
            format: logo.format,
            bytes: logo.bytes,
            digest: logo.digest.clone(),
            uploaded_at: Stored(logo.uploaded_at),
        }
    }

    fn into_entity(self) -> Logo {
        Logo {
            id: self.logo_id,
            format: self.format,
            bytes: self.bytes,
            digest: self.digest,
            uploaded_at: self.uploaded_at.0,
        }
    }
}
