//! What the owner of Bitflow is alerted of (contract sections 2.2, 3.1).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::{AlertId, UniversityId};
use crate::version::Version;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whom it is about; nothing where it is about the platform.
    pub university_id: Option<UniversityId>,
    /// What kind of thing happened.
    pub kind: AlertType,
    /// How bad that is.
    pub severity: Severity,
    /// What happened, for people.
    pub message: AlertMessage,
    /// How often it was raised: repeats within [`FOLDED_WITHIN`] are counted, not raised again.
    pub count: u64,
    /// Who has seen it, and when.
    pub acknowledged: Option<Acknowledged>,
    /// Counts its writes.
    pub version: Version,
    /// When it was raised first.
    pub created_at: Timestamp,
    /// When it was raised last.
    pub last_raised_at: Timestamp,
}

/// How long after an alert was raised the same one is a repeat of it.
pub const FOLDED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Somebody has seen an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The admin's subject.
    pub by: String,
    /// When it was seen.
    pub at: Timestamp,
}

/// What raising an alert takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// See [`Alert::university_id`].
    pub university_id: Option<UniversityId>,
    /// See [`Alert::kind`].
    pub kind: AlertType,
    /// Which of several things of that type, e.g. of several queues: a repeat is about the same.
    pub subject: Option<String>,
    /// See [`Alert::message`].
    pub message: AlertMessage,
}

/// Whether somebody has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Not yet.
    Open,
    /// Yes.
    Acknowledged,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Low,
    /// Worth a look this week.
    Medium,
    /// Worth a look today.
    High,
    /// Something does not work until somebody looks.
    Critical,
}

/// A kind of alert, e.g. `storage_exceeded`: portals may have kinds of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlertType(String);

/// The text is not an alert's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 lower case letters, digits and underscores, and begin with a letter")]
pub struct InvalidAlertType;

/// What we raise alerts of ourselves. Nobody else does: an alert of one of these types says what we
/// have seen, not what a portal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OurAlert {
    /// A university comes near its quota (contract section 2.2).
    StorageQuota,
    /// A payment failed.
    PaymentFailed,
    /// A subscription is not paid, and payment is tried again.
    SubscriptionPastDue,
    /// A subscription is not paid, and no further payment is tried.
    SubscriptionUnpaid,
    /// A message could not be handled.
    DeadLetter,
    /// A portal does not take what it is sent.
    PortalUnreachable,
}

/// The text is not the type of an alert that a portal may raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPortals {
    /// It is no type at all.
    #[error(transparent)]
    Invalid(#[from] InvalidAlertType),
    /// It is one of [`OurAlert`]'s.
    #[error("is a type of our own alerts, which no portal raises; take another")]
    Ours,
}

/// 1 to 1,000 characters, trimmed, without control characters but line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlertMessage(String);

/// The text is not an alert's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 1000 characters and no control characters")]
pub struct InvalidAlertMessage;

impl Alert {
    /// Raises an alert.
    pub fn raise(id: AlertId, new: NewAlert, now: Timestamp) -> Self {
        Self {
            id,
            university_id: new.university_id,
            severity: Severity::of(&new.kind),
            kind: new.kind,
            message: new.message,
            count: 1,
            acknowledged: None,
            version: Version::FIRST,
            created_at: now,
            last_raised_at: now,
        }
    }

    /// Whether the same one, raised now, is a repeat of this. Once somebody has seen it, it is news.
    pub fn takes_repeats(&self, now: Timestamp) -> bool {
        self.acknowledged.is_none() && now < self.created_at + FOLDED_WITHIN
    }

    /// The alert once `by` has seen it; `None` where somebody had.
    #[must_use]
    pub fn acknowledged(&self, by: &str, now: Timestamp) -> Option<Self> {
        self.acknowledged.is_none().then(|| Self {
            acknowledged: Some(Acknowledged {
                by: by.to_owned(),
                at: now,
            }),
            version: self.version.next(),
            ..self.clone()
        })
    }

    /// Whether somebody has seen it.
    pub fn state(&self) -> AlertState {
        match self.acknowledged {
            None => AlertState::Open,
            Some(_) => AlertState::Acknowledged,
        }
    }
}

impl AlertState {
    /// Reads the word on the wire. Of another, the error says which there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "open" => Ok(Self::Open),
            "acknowledged" => Ok(Self::Acknowledged),
            _ => Err("must be open or acknowledged"),
        }
    }

    /// The word on the wire and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
        }
    }
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// How bad a type is: high (contract section 3.1), unless it is one of ours that is something
    /// else.
    pub fn of(kind: &AlertType) -> Self {
        OurAlert::of(kind).map_or(Self::High, OurAlert::severity)
    }

    /// Reads the word on the wire. Of another, the error says which there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == text);
        known.ok_or("must be low, medium, high or critical")
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl AlertType {
    /// Longest type, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Reads a type: 1 to [`MAX_CHARS`](Self::MAX_CHARS) lower case letters, digits and
    /// underscores, the first of them a letter.
    pub fn parse(text: &str) -> Result<Self, InvalidAlertType> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let right = (1..=Self::MAX_CHARS).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(letters);
        right.then(|| Self(text.to_owned())).ok_or(InvalidAlertType)
    }

    /// Reads the type of an alert that a portal raises.
    ///
    /// # Errors
    /// [`NotAPortals::Ours`] for a type that [`OurAlert`] has: we alone raise those.
    pub fn parse_portals(text: &str) -> Result<Self, NotAPortals> {
        let kind = Self::parse(text)?;
        match OurAlert::of(&kind) {
            None => Ok(kind),
            Some(_) => Err(NotAPortals::Ours),
        }
    }

    /// The type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OurAlert {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::StorageQuota,
        Self::PaymentFailed,
        Self::SubscriptionPastDue,
        Self::SubscriptionUnpaid,
        Self::DeadLetter,
        Self::PortalUnreachable,
    ];

    /// Which of ours a type is, if it is one.
    pub fn of(kind: &AlertType) -> Option<Self> {
        let mut ours = Self::ALL.into_iter();
        ours.find(|it| it.as_str() == kind.as_str())
    }

    /// The type on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StorageQuota => "storage_quota",
            Self::PaymentFailed => "payment_failed",
            Self::SubscriptionPastDue => "subscription_past_due",
            Self::SubscriptionUnpaid => "subscription_unpaid",
            Self::DeadLetter => "dead_letter",
            Self::PortalUnreachable => "portal_unreachable",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::DeadLetter => Severity::Critical,
            Self::SubscriptionPastDue => Severity::Medium,
            Self::StorageQuota
            | Self::PaymentFailed
            | Self::SubscriptionUnpaid
            | Self::PortalUnreachable => Severity::High,
        }
    }
}

impl From<OurAlert> for AlertType {
    fn from(ours: OurAlert) -> Self {
        Self(ours.as_str().to_owned())
    }
}

impl AlertMessage {
    /// Longest message, in characters.
    pub const MAX_CHARS: usize = 1000;

    /// Reads a message of 1 to [`MAX_CHARS`](Self::MAX_CHARS) characters, none of them a control
    /// character but line breaks; surrounding white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidAlertMessage> {
        let message = text.trim();
        let chars = message.chars().count();
        let right = (1..=Self::MAX_CHARS).contains(&chars)
            && !message.chars().any(|it| it.is_control() && it != '\n');
        right
            .then(|| Self(message.to_owned()))
            .ok_or(InvalidAlertMessage)
    }

    /// Makes a message of our own words: what is too long is cut, what is no text is left out.
    pub fn saying(text: &str) -> Self {
        let kept = text.chars().filter(|it| !it.is_control() || *it == '\n');
        let message: String = kept.take(Self::MAX_CHARS).collect();
        Self::parse(&message).unwrap_or_else(|_| Self("No details.".to_owned()))
    }

    /// The message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AlertType {
    type Error = InvalidAlertType;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AlertType> for String {
    fn from(kind: AlertType) -> Self {
        kind.0
    }
}

impl TryFrom<String> for AlertMessage {
    type Error = InvalidAlertMessage;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AlertMessage> for String {
    fn from(message: AlertMessage) -> Self {
        message.0
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn alert(kind: &str) -> Alert {
        let new = NewAlert {
            university_id: None,
            kind: AlertType::parse(kind).unwrap(),
            subject: None,
            message: AlertMessage::parse(" Storage quota exceeded ").unwrap(),
        };
        Alert::raise(
            AlertId::from_uuid(Uuid::from_u128(1)),
            new,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn severity_follows_the_type() {
        for (kind, expect) in [
            ("storage_exceeded", Severity::High),
            ("storage_quota", Severity::High),
            ("nobody_knows_this", Severity::High),
            ("subscription_past_due", Severity::Medium),
            ("dead_letter", Severity::Critical),
        ] {
            assert_eq!(alert(kind).severity, expect, "{kind}");
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Ok(severity));
        }
    }

    #[test]
    fn what_we_raise_no_portal_does() {
        for ours in OurAlert::ALL {
            let kind = AlertType::from(ours);
            assert_eq!(AlertType::parse(ours.as_str()), Ok(kind.clone()));
            assert_eq!(OurAlert::of(&kind), Some(ours));
            assert_eq!(Severity::of(&kind), ours.severity());
            let portals = AlertType::parse_portals(ours.as_str());
            assert_eq!(portals, Err(NotAPortals::Ours));
        }
        // Contract section 3.1.
        assert!(AlertType::parse_portals("storage_exceeded").is_ok());
        let no_type = Err(NotAPortals::Invalid(InvalidAlertType));
        assert_eq!(AlertType::parse_portals("Storage"), no_type);
    }

    #[test]
    fn repeats_are_folded_until_it_is_seen_or_old() {
        let now = Timestamp::UNIX_EPOCH;
        let alert = alert("storage_exceeded");
        let almost = FOLDED_WITHIN - SignedDuration::from_secs(1);
        assert!(alert.takes_repeats(now + almost));
        assert!(!alert.takes_repeats(now + FOLDED_WITHIN));
        let seen = alert.acknowledged("auth0|7", now).unwrap();
        assert!(!seen.takes_repeats(now + almost));
        assert_eq!(
            (seen.state(), seen.version.get()),
            (AlertState::Acknowledged, 2)
        );
        assert_eq!(seen.acknowledged("auth0|8", now), None, "it was seen");
    }

    #[test]
    fn types_and_messages() {
        for wrong in ["", "Storage", "1st", "a b", "a-b", "_a", &"a".repeat(65)] {
            assert!(AlertType::parse(wrong).is_err(), "{wrong}");
        }
        assert!(AlertType::parse("a1_b").is_ok());
        for wrong in ["", " \n ", "a\0b", &"å".repeat(1001)] {
            assert!(AlertMessage::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(AlertMessage::parse(&"å".repeat(1000)).is_ok());
        assert_eq!(AlertMessage::saying(&"å".repeat(2000)).as_str().len(), 2000);
        assert_eq!(AlertMessage::saying("a\0b\nc").as_str(), "ab\nc");
        assert_eq!(AlertMessage::saying("\0").as_str(), "No details.");
    }
}
