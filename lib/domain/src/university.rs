//! A university and the rules of its life.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contact::{DomainName, EmailAddress};
use crate::id::UniversityId;
use crate::secret::PortalSecrets;
use crate::version::Version;

/// A university on the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct University {
    /// Its id.
    pub id: UniversityId,
    /// Its name as people read it.
    pub name: UniversityName,
    /// Where mail about it goes.
    pub primary_email: EmailAddress,
    /// Where its portal is; unique among universities that are not deleted.
    pub domain: DomainName,
    /// What it may store, bytes.
    pub storage_quota: StorageQuota,
    /// Where it is in its life.
    pub status: UniversityStatus,
    /// What its portal reported last.
    pub metrics: Metrics,
    /// Its customer at Stripe, once there is one.
    pub stripe_customer_id: Option<String>,
    /// How many customers of it were deleted at Stripe: each new one is another creation.
    pub stripe_customers_lost: u32,
    /// What its portal signs with.
    pub portal_secrets: PortalSecrets,
    /// Counts its writes.
    pub version: Version,
    /// When it was onboarded.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What onboarding a university takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUniversity {
    /// See [`University::name`].
    pub name: UniversityName,
    /// See [`University::primary_email`].
    pub primary_email: EmailAddress,
    /// See [`University::domain`].
    pub domain: DomainName,
    /// See [`University::storage_quota`].
    pub storage_quota: StorageQuota,
}

/// Where a university is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniversityStatus {
    /// Onboarded and served.
    Active,
    /// Gone; may be restored.
    Deleted,
}

/// Numbers that a portal reports about itself (contract section 4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Students enrolled.
    pub students: u64,
    /// Members of the faculty.
    pub faculty: u64,
    /// Bytes stored.
    pub storage: u64,
}

impl University {
    /// Onboards a university.
    pub fn onboard(
        id: UniversityId,
        new: NewUniversity,
        portal_secrets: PortalSecrets,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            name: new.name,
            primary_email: new.primary_email,
            domain: new.domain,
            storage_quota: new.storage_quota,
            status: UniversityStatus::Active,
            metrics: Metrics::default(),
            stripe_customer_id: None,
            stripe_customers_lost: 0,
            portal_secrets,
            version: Version::FIRST,
            created_at: now,
            updated_at: now,
        }
    }

    /// The university with its Stripe customer; `None` where it has one already, which is kept.
    #[must_use]
    pub fn with_stripe_customer(&self, stripe_customer_id: &str, now: Timestamp) -> Option<Self> {
        if self.stripe_customer_id.is_some() {
            return None;
        }
        Some(Self {
            stripe_customer_id: Some(stripe_customer_id.to_owned()),
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        })
    }

    /// The university without its Stripe customer, which was deleted there; `None` where it has
    /// another.
    #[must_use]
    pub fn without_stripe_customer(&self, deleted: &str, now: Timestamp) -> Option<Self> {
        if self.stripe_customer_id.as_deref() != Some(deleted) {
            return None;
        }
        Some(Self {
            stripe_customer_id: None,
            stripe_customers_lost: self.stripe_customers_lost + 1,
            version: self.version.next(),
            updated_at: now,
            ..self.clone()
        })
    }
}

impl UniversityStatus {
    /// The word on the wire and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }
}

/// A name of 1 to 200 characters, trimmed, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UniversityName(String);

/// The text is not a university's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 200 characters and no control characters")]
pub struct InvalidUniversityName;

impl UniversityName {
    /// Longest name, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Reads a name; surrounding white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidUniversityName> {
        let name = text.trim();
        let chars = name.chars().count();
        if (1..=Self::MAX_CHARS).contains(&chars) && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidUniversityName)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UniversityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UniversityName {
    type Error = InvalidUniversityName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<UniversityName> for String {
    fn from(name: UniversityName) -> Self {
        name.0
    }
}

/// What a university may store: 1 byte to 1 PiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct StorageQuota(u64);

/// The number is not a storage quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of bytes from 1 to 1125899906842624 (1 PiB)")]
pub struct InvalidStorageQuota;

impl StorageQuota {
    /// Largest quota: 1 PiB.
    pub const MAX_BYTES: u64 = 1 << 50;

    /// Takes a number of bytes.
    pub fn from_bytes(bytes: u64) -> Result<Self, InvalidStorageQuota> {
        if (1..=Self::MAX_BYTES).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(InvalidStorageQuota)
        }
    }

    /// The quota, bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for StorageQuota {
    type Error = InvalidStorageQuota;

    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        Self::from_bytes(bytes)
    }
}

impl From<StorageQuota> for u64 {
    fn from(quota: StorageQuota) -> Self {
        quota.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn university() -> University {
        University::onboard(
            UniversityId::from_uuid(Uuid::from_u128(1)),
            NewUniversity {
                name: UniversityName::parse(" Uppsala ").unwrap(),
                primary_email: EmailAddress::parse("it@uu.example").unwrap(),
                domain: DomainName::parse("portal.uu.example").unwrap(),
                storage_quota: StorageQuota::from_bytes(10).unwrap(),
            },
            PortalSecrets::new("s".to_owned().into()),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn the_first_stripe_customer_stays() {
        let later = Timestamp::from_second(60).unwrap();
        let linked = university().with_stripe_customer("cus_1", later).unwrap();
        assert_eq!(linked.stripe_customer_id.as_deref(), Some("cus_1"));
        assert_eq!(linked.version.get(), 2);
        assert_eq!(linked.updated_at, later);
        assert_eq!(linked.with_stripe_customer("cus_2", later), None);
    }

    #[test]
    fn a_customer_deleted_at_stripe_makes_room_for_another() {
        let now = Timestamp::UNIX_EPOCH;
        let linked = university().with_stripe_customer("cus_1", now).unwrap();
        assert_eq!(linked.without_stripe_customer("cus_2", now), None);
        let lost = linked.without_stripe_customer("cus_1", now).unwrap();
        assert_eq!(lost.stripe_customers_lost, 1);
        assert_eq!(lost.without_stripe_customer("cus_1", now), None);
        let again = lost.with_stripe_customer("cus_2", now).unwrap();
        assert_eq!(again.stripe_customer_id.as_deref(), Some("cus_2"));
    }

    #[test]
    fn names_and_quotas() {
        assert_eq!(university().name.as_str(), "Uppsala");
        assert!(UniversityName::parse(" ").is_err());
        assert!(UniversityName::parse("a\nb").is_err());
        assert!(UniversityName::parse(&"å".repeat(200)).is_ok());
        assert!(UniversityName::parse(&"å".repeat(201)).is_err());
        assert!(StorageQuota::from_bytes(0).is_err());
        assert!(StorageQuota::from_bytes(1 << 50).is_ok());
        assert!(StorageQuota::from_bytes((1 << 50) + 1).is_err());
    }
}
