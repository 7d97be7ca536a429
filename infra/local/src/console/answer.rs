//! How an invocation went.

use serde::Deserialize;
use serde_json::Value;

use crate::lambda::FunctionError;

/// What of a function's answer tells how it went.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Answer {
    pub(super) status_code: Option<u16>,
    batch_item_failures: Option<Vec<ItemFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl Answer {
    /// Whether a message failed; of a stream's rows, whether any did.
    pub(super) fn has_failed(&self, message: Option<&str>) -> bool {
        let mut failed = self.batch_item_failures.iter().flatten();
        failed.any(|it| message.is_none_or(|id| it.item_identifier == id))
    }
}

/// An error of an invocation, in a few words.
pub(super) fn describe(error: FunctionError, payload: &[u8]) -> String {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    match error {
        // What a handler says of itself may quote what it was given.
        FunctionError::Handled => "the handler returned an error".to_owned(),
        FunctionError::Unhandled => payload["errorMessage"]
            .as_str()
            .and_then(|it| it.split_once("Error: "))
            .map_or("it ended", |(_, what)| what)
            .to_owned(),
    }
}
