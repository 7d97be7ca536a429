//! Maintenance that every active university is told of, by mail and at its portal (contract
//! section 3.2).

pub mod delivery;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::NotificationId;
use crate::version::Version;

/// Something that all are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What is told.
    pub notice: Notice,
    /// Who took it back, and when.
    pub cancelled: Option<Cancelled>,
    /// How many universities it was announced to so far; each has a [`Delivery`](delivery::Delivery).
    pub universities: u64,
    /// When all were reached that were active; nothing while that is still going on.
    pub announced_at: Option<Timestamp>,
    /// Who asked for it: the admin's subject.
    pub created_by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Counts the decisions about it: that it is, and that it is taken back.
    pub version: Version,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What people read first.
    pub title: NoticeTitle,
    /// What it is about.
    pub message: NoticeMessage,
    /// When the maintenance begins.
    pub scheduled_at: Timestamp,
}

/// Somebody took a notification back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The admin's subject.
    pub by: String,
    /// When it was taken back.
    pub at: Timestamp,
}

/// 1 to 200 characters, trimmed, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeTitle(String);

/// The text is not a notification's title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 200 characters and no control characters")]
pub struct InvalidNoticeTitle;

/// 1 to 4,000 characters, trimmed, without control characters but line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeMessage(String);

/// The text is not a notification's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 4000 characters and no control characters but line breaks")]
pub struct InvalidNoticeMessage;

impl Notification {
    /// A notification that is new.
    pub fn new(id: NotificationId, notice: Notice, by: &str, now: Timestamp) -> Self {
        Self {
            id,
            notice,
            cancelled: None,
            universities: 0,
            announced_at: None,
            created_by: by.to_owned(),
            created_at: now,
            version: Version::FIRST,
        }
    }

    /// The notification once `by` has taken it back; `None` where somebody had.
    #[must_use]
    pub fn cancelled(&self, by: &str, now: Timestamp) -> Option<Self> {
        self.cancelled.is_none().then(|| Self {
            cancelled: Some(Cancelled {
                by: by.to_owned(),
                at: now,
            }),
            version: self.version.next(),
            ..self.clone()
        })
    }
}

impl NoticeTitle {
    /// Longest title, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Reads a title of 1 to [`MAX_CHARS`](Self::MAX_CHARS) characters, none of them a control
    /// character; surrounding white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidNoticeTitle> {
        let title = text.trim();
        let chars = title.chars().count();
        if (1..=Self::MAX_CHARS).contains(&chars) && !title.chars().any(char::is_control) {
            Ok(Self(title.to_owned()))
        } else {
            Err(InvalidNoticeTitle)
        }
    }

    /// The title.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NoticeMessage {
    /// Longest message, in characters.
    pub const MAX_CHARS: usize = 4000;

    /// Reads a message of 1 to [`MAX_CHARS`](Self::MAX_CHARS) characters, none of them a control
    /// character but line breaks and tabs; surrounding white space is not part of it.
    pub fn parse(text: &str) -> Result<Self, InvalidNoticeMessage> {
        let message = text.trim();
        let chars = message.chars().count();
        let control = |it: char| it.is_control() && !matches!(it, '\n' | '\r' | '\t');
        if (1..=Self::MAX_CHARS).contains(&chars) && !message.chars().any(control) {
            Ok(Self(message.to_owned()))
        } else {
            Err(InvalidNoticeMessage)
        }
    }

    /// The message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NoticeTitle {
    type Error = InvalidNoticeTitle;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<NoticeTitle> for String {
    fn from(title: NoticeTitle) -> Self {
        title.0
    }
}

impl TryFrom<String> for NoticeMessage {
    type Error = InvalidNoticeMessage;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<NoticeMessage> for String {
    fn from(message: NoticeMessage) -> Self {
        message.0
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_notification_is_taken_back_once() {
        let notice = Notice {
            title: NoticeTitle::parse(" Scheduled Maintenance ").unwrap(),
            message: NoticeMessage::parse("System will be down\nfor 2 hours").unwrap(),
            scheduled_at: NOW,
        };
        let id = NotificationId::from_uuid(Uuid::from_u128(1));
        let notification = Notification::new(id, notice, "auth0|7", NOW);
        let cancelled = notification.cancelled("auth0|8", NOW).unwrap();
        assert_eq!(cancelled.version.get(), 2);
        assert_eq!(cancelled.cancelled("auth0|9", NOW), None);
    }

    #[test]
    fn titles_and_messages() {
        for wrong in ["", "  ", "a\nb", &"å".repeat(201)] {
            assert!(NoticeTitle::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(NoticeTitle::parse(&"å".repeat(200)).is_ok());
        for wrong in ["", " \n ", "a\0b", &"å".repeat(4001)] {
            assert!(NoticeMessage::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(NoticeMessage::parse(&"å".repeat(4000)).is_ok());
    }
}
