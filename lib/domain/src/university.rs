//! A university and the rules of its life.

pub mod logo;
pub mod usage;

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contact::{DomainName, EmailAddress};
use crate::id::UniversityId;
use crate::secret::PortalSecrets;
use crate::version::Version;
use logo::Logo;
use usage::Metrics;

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
    /// Its logo, where it has one.
    pub logo: Option<Logo>,
    /// What its files with us came to when they were measured last, bytes.
    pub measured_storage: u64,
    /// It was warned that it comes near its quota, and has not gone far from it since.
    pub quota_warned: bool,
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

/// What an admin may change of a university; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UniversityChanges {
    /// See [`University::name`].
    pub name: Option<UniversityName>,
    /// See [`University::primary_email`].
    pub primary_email: Option<EmailAddress>,
    /// See [`University::domain`].
    pub domain: Option<DomainName>,
    /// See [`University::storage_quota`].
    pub storage_quota: Option<StorageQuota>,
}

/// A field of a university that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniversityField {
    /// See [`University::name`].
    Name,
    /// See [`University::primary_email`].
    PrimaryEmail,
    /// See [`University::domain`].
    Domain,
    /// See [`University::storage_quota`].
    StorageQuota,
    /// See [`University::logo`].
    Logo,
    /// See [`Metrics::students`].
    Students,
    /// See [`Metrics::faculty`].
    Faculty,
    /// See [`Metrics::storage`].
    Storage,
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
            logo: None,
            measured_storage: 0,
            quota_warned: false,
            stripe_customer_id: None,
            stripe_customers_lost: 0,
            portal_secrets,
            version: Version::FIRST,
            created_at: now,
            updated_at: now,
        }
    }

    /// The university with `changes`; `None` where they change nothing.
    #[must_use]
    pub fn changed(&self, changes: UniversityChanges, now: Timestamp) -> Option<Self> {
        let next = Self {
            name: changes.name.unwrap_or_else(|| self.name.clone()),
            primary_email: changes
                .primary_email
                .unwrap_or_else(|| self.primary_email.clone()),
            domain: changes.domain.unwrap_or_else(|| self.domain.clone()),
            storage_quota: changes.storage_quota.unwrap_or(self.storage_quota),
            ..self.clone()
        };
        (next != *self).then(|| next.weighed().written(now))
    }

    /// The fields in which `other` is another.
    pub fn differences(&self, other: &Self) -> Vec<UniversityField> {
        [
            (UniversityField::Name, self.name != other.name),
            (
                UniversityField::PrimaryEmail,
                self.primary_email != other.primary_email,
            ),
            (UniversityField::Domain, self.domain != other.domain),
            (
                UniversityField::StorageQuota,
                self.storage_quota != other.storage_quota,
            ),
            (UniversityField::Logo, self.logo != other.logo),
            (
                UniversityField::Students,
                self.metrics.students != other.metrics.students,
            ),
            (
                UniversityField::Faculty,
                self.metrics.faculty != other.metrics.faculty,
            ),
            (
                UniversityField::Storage,
                self.metrics.storage != other.metrics.storage,
            ),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }

    /// The university once it is deleted; `None` where it is.
    #[must_use]
    pub fn deleted(&self, now: Timestamp) -> Option<Self> {
        self.moved(UniversityStatus::Deleted, now)
    }

    /// The university once it is back; `None` where it is not gone.
    #[must_use]
    pub fn restored(&self, now: Timestamp) -> Option<Self> {
        self.moved(UniversityStatus::Active, now)
    }

    fn moved(&self, status: UniversityStatus, now: Timestamp) -> Option<Self> {
        let next = Self {
            status,
            ..self.clone()
        };
        (self.status != status).then(|| next.written(now))
    }

    /// The university with a new secret for its portal; see [`PortalSecrets::rotate`].
    #[must_use]
    pub fn with_new_secret(&self, fresh: SecretString, rotation: Uuid, now: Timestamp) -> Self {
        let next = Self {
            portal_secrets: self.portal_secrets.rotate(fresh, rotation, now),
            ..self.clone()
        };
        next.written(now)
    }

    fn written(self, now: Timestamp) -> Self {
        Self {
            version: self.version.next(),
            updated_at: now,
            ..self
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

    /// Reads a name of 1 to [`MAX_CHARS`](Self::MAX_CHARS) characters, none of them a control
    /// character; surrounding white space is not part of it.
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

    /// What names are sorted and found by: whatever the case.
    pub fn key(&self) -> String {
        fold(&self.0)
    }
}

/// How names begin that are looked for, whatever the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix(String);

impl NamePrefix {
    /// Reads the beginning of a name; white space before it is not part of it. What no name begins
    /// with is refused, as a name would be.
    pub fn parse(text: &str) -> Result<Self, InvalidUniversityName> {
        let prefix = text.trim_start();
        UniversityName::parse(prefix).map(|_| Self(fold(prefix)))
    }

    /// What the keys of these names begin with.
    pub fn key(&self) -> &str {
        &self.0
    }
}

/// Letter by letter, so that the key of a beginning is the beginning of the key: a word as a whole
/// has other lower case, where it ends with a sigma.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
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

    /// Takes a number of bytes: 1 to [`MAX_BYTES`](Self::MAX_BYTES).
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
    use proptest::prelude::*;

    use super::*;

    pub(super) fn university() -> University {
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

    fn changes(name: Option<&str>, domain: Option<&str>, quota: Option<u64>) -> UniversityChanges {
        UniversityChanges {
            name: name.map(|it| UniversityName::parse(it).unwrap()),
            primary_email: None,
            domain: domain.map(|it| DomainName::parse(it).unwrap()),
            storage_quota: quota.map(|it| StorageQuota::from_bytes(it).unwrap()),
        }
    }

    #[test]
    fn a_change_touches_what_it_names() {
        use UniversityField::{Domain, Name, StorageQuota};
        let later = Timestamp::from_second(60).unwrap();
        let check = |changes: UniversityChanges, expect: &[UniversityField]| {
            let before = university();
            let after = before.changed(changes, later);
            assert_eq!(after.is_some(), !expect.is_empty());
            let Some(after) = after else { return };
            assert_eq!(before.differences(&after), expect);
            assert_eq!((after.version.get(), after.updated_at), (2, later));
        };
        check(changes(None, None, None), &[]);
        check(
            changes(Some("Uppsala"), Some("PORTAL.uu.example"), Some(10)),
            &[],
        );
        check(changes(Some("Lund"), None, Some(10)), &[Name]);
        check(
            changes(Some("Lund"), Some("lu.example"), Some(11)),
            &[Name, Domain, StorageQuota],
        );
    }

    #[test]
    fn gone_and_back() {
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(university().restored(later), None, "it is not gone");
        let gone = university().deleted(later).unwrap();
        assert_eq!(gone.status, UniversityStatus::Deleted);
        assert_eq!((gone.version.get(), gone.updated_at), (2, later));
        assert_eq!(gone.deleted(later), None, "it is gone");
        let back = gone.restored(later).unwrap();
        assert_eq!(
            (back.status, back.version.get()),
            (UniversityStatus::Active, 3)
        );
    }

    #[test]
    fn a_rotation_is_a_write() {
        let later = Timestamp::from_second(60).unwrap();
        let rotated = university().with_new_secret("t".to_owned().into(), Uuid::nil(), later);
        assert_eq!((rotated.version.get(), rotated.updated_at), (2, later));
        assert_eq!(rotated.portal_secrets.rotation, Some(Uuid::nil()));
    }

    proptest! {
        #[test]
        fn a_name_is_found_by_every_beginning_in_any_case(name in "[A-Za-zÅåΣσςİß][ A-Za-zÅåΣσςİß]{0,20}", chars in 1_usize..20) {
            let beginning: String = name.chars().take(chars).collect();
            let name = UniversityName::parse(&name).unwrap();
            prop_assume!(beginning.len() <= name.as_str().len());
            let prefix = NamePrefix::parse(&beginning).unwrap();
            prop_assert!(name.key().starts_with(prefix.key()));
            let lower: String = beginning.chars().flat_map(char::to_lowercase).collect();
            prop_assert_eq!(NamePrefix::parse(&lower).unwrap(), prefix);
        }
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
