//! The secrets a university's portal signs with.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// The secret in force, and the one before it while a rotation is going on.
#[derive(Debug, Clone)]
pub struct PortalSecrets {
    /// Signs and verifies.
    pub current: SecretString,
    /// Verifies until it expires.
    pub previous: Option<PreviousSecret>,
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
        }
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
    }
}

impl Eq for PortalSecrets {}
