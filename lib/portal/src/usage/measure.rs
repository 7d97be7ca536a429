//! What a university's files with us come to.

use bitflow_events::envelope::{Actor, ActorKind, Context};
use bitflow_store::files::Files;
use jiff::Timestamp;

use super::Usage;
use super::due::MeasurementDue;
use crate::error::{PortalError, load};

const OPERATION: &str = "measure storage";

/// Measures.
#[derive(Debug)]
pub struct Measuring {
    /// The files.
    pub files: Files,
    /// Where use is written down.
    pub usage: Usage,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many files.
    pub files: u64,
    /// What they come to.
    pub bytes: u64,
}

impl Measuring {
    /// Counts all files of the university, and writes down what they come to.
    pub async fn measure(&self, due: &MeasurementDue, now: Timestamp) -> Result<Seen, PortalError> {
        let mut seen = Seen::default();
        let mut cursor = None;
        loop {
            let page = self
                .files
                .of_university(due.university_id, cursor.as_deref())
                .await
                .map_err(load(OPERATION))?;
            for file in page.data {
                seen.files += 1;
                seen.bytes = seen.bytes.saturating_add(file.bytes);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let context = Context {
            actor: Actor {
                kind: ActorKind::System,
                id: "storage-usage-listener".to_owned(),
            },
            correlation_id: due.correlation(),
        };
        self.usage
            .measured(due.university_id, seen.bytes, &context, now)
            .await?;
        Ok(seen)
    }
}
