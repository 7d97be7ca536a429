//! The version of an entity: the condition of every write, and the ETag of every read.

use serde::{Deserialize, Serialize};

/// Counts the writes of one entity, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// What a new entity has.
    pub const FIRST: Self = Self(1);

    /// A version read back from where it was stored.
    pub const fn from_stored(number: u64) -> Self {
        Self(number)
    }

    /// The version after the next write.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Which versions of an entity a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is stored.
    Any,
    /// One of these, and no other.
    OneOf(Vec<Version>),
}

impl Expected {
    /// Whether a change may be made to `stored`.
    pub fn allows(&self, stored: Version) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_meant_for_the_versions_it_names() {
        let one_of = |versions: &[u64]| {
            Expected::OneOf(versions.iter().copied().map(Version::from_stored).collect())
        };
        assert!(Expected::Any.allows(Version::FIRST));
        assert!(one_of(&[7, 1]).allows(Version::FIRST));
        assert!(!one_of(&[7]).allows(Version::FIRST));
        assert!(!one_of(&[]).allows(Version::FIRST));
    }
}
