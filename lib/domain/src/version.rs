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
