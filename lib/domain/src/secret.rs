//! The secrets a university's portal signs with.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// The secret in force, and the one before it while a rotation is going on.
#[derive(Debug, Clone)]
pub struct PortalSecrets {
    /// Signs and verifies.
    pub current: SecretString,
    /// Verifies until it expires.
    pub previous: Option<PreviousSecret>,
    /// The rotation that `current` came by; none: it is the first.
    pub rotation: Option<Uuid>,
}

/// A secret that was replaced.
#[derive(Debug, Clone)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: SecretString,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl PortalSecrets {
    /// The secrets of a new university.
    pub fn new(current: SecretString) -> Self {
        Self {
            current,
            previous: None,
            rotation: None,
        }
    }

    /// How long a secret that was replaced still verifies.
    pub const GRACE: SignedDuration = SignedDuration::from_hours(24);

    /// The secrets once `fresh` is in force by `rotation`. What was in force is good for
    /// [`GRACE`](Self::GRACE) more; what was replaced before that is worth nothing from now on.
    #[must_use]
    pub fn rotate(&self, fresh: SecretString, rotation: Uuid, now: Timestamp) -> Self {
        Self {
            current: fresh,
            previous: Some(PreviousSecret {
                secret: self.current.clone(),
                expires_at: now + Self::GRACE,
            }),
            rotation: Some(rotation),
        }
    }

    /// The secrets that verify at `now`, the one in force first.
    pub fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &SecretString> {
        let previous = self.previous.as_ref();
        let previous = previous.filter(|previous| now < previous.expires_at);
        std::iter::once(&self.current).chain(previous.map(|previous| &previous.secret))
    }
}

impl PartialEq for PortalSecrets {
    fn eq(&self, other: &Self) -> bool {
        let previous = |secrets: &Self| {
            secrets
                .previous
                .as_ref()
                .map(|p| (p.secret.expose_secret().to_owned(), p.expires_at))
        };
        self.current.expose_secret() == other.current.expose_secret()
            && previous(self) == previous(other)
            && self.rotation == other.rotation
    }
}

impl Eq for PortalSecrets {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(secrets: &PortalSecrets, at: i64) -> Vec<&str> {
        let at = Timestamp::from_second(at).unwrap();
        secrets
            .accepted(at)
            .map(ExposeSecret::expose_secret)
            .collect()
    }

    proptest! {
        /// However often it is rotated: the newest verifies for ever, the one before it for a day,
        /// nothing else does.
        #[test]
        fn the_newest_and_for_a_day_the_one_before(gaps in prop::collection::vec(0_i64..200_000, 1..6), after in 0_i64..200_000) {
            let mut secrets = PortalSecrets::new("0".to_owned().into());
            let mut at = 0;
            for (number, gap) in gaps.iter().enumerate() {
                at += gap;
                let now = Timestamp::from_second(at).unwrap();
                let fresh = (number + 1).to_string().into();
                secrets = secrets.rotate(fresh, Uuid::from_u128(number as u128), now);
                prop_assert_eq!(secrets.rotation, Some(Uuid::from_u128(number as u128)));
            }
            let (newest, before) = (gaps.len().to_string(), (gaps.len() - 1).to_string());
            let expect = if after < 24 * 60 * 60 {
                vec![newest.as_str(), before.as_str()]
            } else {
                vec![newest.as_str()]
            };
            prop_assert_eq!(accepted(&secrets, at + after), expect);
        }
    }

    #[test]
    fn the_first_is_by_no_rotation() {
        let secrets = PortalSecrets::new("0".to_owned().into());
        assert_eq!(secrets.rotation, None);
        assert_eq!(accepted(&secrets, 0), ["0"]);
    }
}
