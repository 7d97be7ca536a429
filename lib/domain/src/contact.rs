//! How a university is reached: its e-mail address and its portal's domain.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An e-mail address that a mail server will take: `local@domain`, ASCII.
///
/// The local part's case is kept, the domain's is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// The text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address such as registrar@example.edu")]
pub struct InvalidEmailAddress;

impl EmailAddress {
    /// Reads an address: a dot-atom of at most 64 characters (no quotes), and a [`DomainName`], in
    /// 254 characters. Surrounding white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmailAddress)?;
        let dot_atom = !local.is_empty()
            && local.len() <= 64
            && local.split('.').all(|atom| {
                !atom.is_empty()
                    && atom
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
            });
        if !dot_atom || text.len() > 254 {
            return Err(InvalidEmailAddress);
        }
        let domain = DomainName::parse(domain).map_err(|_| InvalidEmailAddress)?;
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A DNS name with at least two labels, lower case, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

/// The text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a domain name such as portal.example.edu, without scheme, port or path")]
pub struct InvalidDomainName;

impl DomainName {
    /// Reads a name of two labels or more, in 253 characters; case and surrounding white space are
    /// not part of it. An IP address is not a domain name. International names are written in their
    /// `xn--` form.
    pub fn parse(text: &str) -> Result<Self, InvalidDomainName> {
        let name = text.trim().to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let labels: Vec<&str> = name.split('.').collect();
        // RFC 3696 §2: no top-level domain is all digits, which also rules out IPv4 addresses.
        let digits_at_the_top = labels
            .last()
            .is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
        if labels.len() < 2
            || name.len() > 253
            || digits_at_the_top
            || !labels.iter().all(|l| label(l))
        {
            return Err(InvalidDomainName);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text!(EmailAddress, InvalidEmailAddress);
text!(DomainName, InvalidDomainName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("registrar@example.edu", "registrar@example.edu"),
            (" A.B+c@Example.EDU ", "A.B+c@example.edu"),
        ] {
            assert_eq!(EmailAddress::parse(text).unwrap().as_str(), want);
        }
        for wrong in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a b@c.de",
            "a..b@c.de",
            ".a@c.de",
            "a@b@c.de",
            "a@c.de\r\nBcc: x@y.zz",
            "ü@c.de",
            "a@1.2.3.4",
        ] {
            assert_eq!(
                EmailAddress::parse(wrong),
                Err(InvalidEmailAddress),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn domains() {
        assert_eq!(
            DomainName::parse(" Portal.Example.EDU").unwrap().as_str(),
            "portal.example.edu"
        );
        for wrong in [
            "",
            "edu",
            "http://a.edu",
            "a.edu:8000",
            "a.edu/x",
            "-a.edu",
            "a-.edu",
            "a..edu",
            "a.edu.",
            "127.0.0.1",
            "[::1]",
            "a_b.edu",
            "ü.edu",
            "localhost",
        ] {
            assert_eq!(
                DomainName::parse(wrong),
                Err(InvalidDomainName),
                "{wrong:?}"
            );
        }
        assert!(DomainName::parse(&format!("{}.edu", "a".repeat(64))).is_err());
    }
}
