//! What a university's files with us come to, and the sweep of those that nobody names.

use bitflow_domain::university::{University, UniversityStatus};
use bitflow_events::envelope::{Actor, ActorKind, Context};
use bitflow_store::files::{File, FileKey, Files};
use jiff::{SignedDuration, Timestamp};

use super::due::MeasurementDue;
use super::{Measured, Usage};
use crate::error::{PortalError, load};

const OPERATION: &str = "measure storage";

/// How old a logo is that is swept away if its university does not name it: older than any call may
/// be between writing a file and naming it.
const SWEPT_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Measures the files of universities, and sweeps those that nobody names.
#[derive(Debug)]
pub struct Measuring {
    /// The files.
    pub files: Files,
    /// Where use is written down.
    pub usage: Usage,
}

/// What a measurement found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many files there are.
    pub files: u64,
    /// What they come to, bytes.
    pub bytes: u64,
    /// How many more there were, and are not any more.
    pub swept: u64,
}

impl Measuring {
    /// Counts all files of the university, removes logos that it has not named for a day, and writes
    /// down what the others come to. A deleted one is left as it is: it may come back.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`] for one that never was. What was removed stays so; nothing is
    /// written down.
    pub async fn measure(&self, due: &MeasurementDue, now: Timestamp) -> Result<Seen, PortalError> {
        let id = due.university_id;
        let university = self.usage.known(OPERATION, id).await?;
        let mut seen = Seen::default();
        if university.status == UniversityStatus::Deleted {
            return Ok(seen);
        }
        let mut cursor = None;
        loop {
            let page = self.files.of_university(id, cursor.as_deref()).await;
            let page = page.map_err(load(OPERATION))?;
            for file in page.data {
                if is_orphan(&file, &university, now) {
                    let swept = self.files.delete(&file.key).await;
                    swept.map_err(load("sweep files"))?;
                    seen.swept += 1;
                } else {
                    seen.files += 1;
                    seen.bytes = seen.bytes.saturating_add(file.bytes);
                }
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
        let measured = self.usage.measured(id, seen.bytes, &context, now).await?;
        if measured == Measured::Deleted {
            tracing::info!(target: "bitflow::outcome", university_id = %id, "the university was just deleted");
        }
        Ok(seen)
    }
}

/// Whether it is a logo that nobody names any more, or never did.
fn is_orphan(file: &File, university: &University, now: Timestamp) -> bool {
    let named = university.logo.as_ref();
    let named = named.map(|logo| FileKey::logo(university.id, logo));
    file.key.is_logo_of(university.id)
        && Some(&file.key) != named.as_ref()
        && file.written_at + SWEPT_AFTER < now
}
