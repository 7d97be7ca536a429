//! Pages of a list, and the opaque cursor between them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitflow_fault::{Class, Fault, Violation};

use crate::error::StoreError;
use crate::item::{Item, s};

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// How many at most; not 0.
    pub limit: u8,
    /// Where the page before ended, as it said.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// For the next page; nothing after the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(change).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// A list could not be read. A wrong cursor is the doing of who sent it, who begins anew without one.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is not one of this list's.
    #[error("the cursor is not one that this list gave")]
    Cursor([Violation; 1]),
    /// The table could not be read.
    #[error("the list could not be read")]
    Store(#[from] StoreError),
}

impl ListError {
    /// The cursor is not one of this list's.
    pub(crate) fn cursor() -> Self {
        let must = "must be a next_cursor of this same list";
        Self::Cursor([Violation::new("cursor", must)])
    }
}

impl Fault for ListError {
    fn class(&self) -> Class {
        match self {
            Self::Cursor(_) => Class::Invalid,
            Self::Store(error) => error.class(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Cursor(violation) => violation,
            Self::Store(_) => &[],
        }
    }
}

/// The key attributes of a list: the partition with its value, then the others.
pub(crate) struct CursorKey<'a> {
    pub(crate) partition: (&'static str, &'a str),
    pub(crate) others: &'static [&'static str],
}

impl CursorKey<'_> {
    /// DynamoDB's `LastEvaluatedKey` as a cursor.
    pub(crate) fn encode(&self, key: &Item) -> String {
        let strings: BTreeMap<&str, &str> = self
            .others
            .iter()
            .filter_map(|name| Some((*name, key.get(*name)?.as_s().ok()?.as_str())))
            .collect();
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&strings).expect("strings are JSON"))
    }

    /// A cursor as DynamoDB's `ExclusiveStartKey`. The partition is ours, never the client's, so
    /// that no cursor reaches into another list.
    pub(crate) fn decode(&self, cursor: &str) -> Result<Item, ListError> {
        let json = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| ListError::cursor())?;
        let strings: BTreeMap<String, String> =
            serde_json::from_slice(&json).map_err(|_| ListError::cursor())?;
        let expected = strings.len() == self.others.len()
            && self
                .others
                .iter()
                .all(|name| strings.get(*name).is_some_and(|v| !v.is_empty()));
        if !expected {
            return Err(ListError::cursor());
        }
        let mut key: Item = strings
            .into_iter()
            .map(|(name, value)| (name, AttributeValue::S(value)))
            .collect();
        key.insert(self.partition.0.to_owned(), s(self.partition.1));
        Ok(key)
    }
}

/// A client's cursor read and written again, where a list would take it: for the fuzzer, which sees
/// nothing of keys. What a list would refuse is [`ListError::Cursor`].
pub fn rewritten(cursor: &str) -> Result<String, ListError> {
    const KEY: CursorKey<'_> = CursorKey {
        partition: ("status", "active"),
        others: &["university_id", "name_key"],
    };
    KEY.decode(cursor).map(|key| KEY.encode(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: CursorKey<'_> = CursorKey {
        partition: ("status", "active"),
        others: &["id", "name"],
    };

    #[test]
    fn a_cursor_comes_back_as_the_key_it_was() {
        let key = Item::from([
            ("status".to_owned(), s("active")),
            ("id".to_owned(), s("1")),
            ("name".to_owned(), s("Å")),
        ]);
        assert_eq!(KEY.decode(&KEY.encode(&key)).unwrap(), key);
    }

    #[test]
    fn what_the_list_did_not_give_is_refused() {
        let other = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for wrong in [
            String::new(),
            "%".to_owned(),
            other("[]"),
            other(r#"{"id":"1"}"#),
            other(r#"{"id":"1","name":""}"#),
            other(r#"{"id":"1","name":"x","status":"deleted"}"#),
            other(r#"{"id":1,"name":"x"}"#),
        ] {
            assert!(
                matches!(KEY.decode(&wrong), Err(ListError::Cursor(_))),
                "{wrong}"
            );
        }
    }
}
