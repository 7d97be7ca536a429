//! One line for each outcome.
//!
//! Whatever a function does (a request, a message, a record, a run of a job) ends with one line that
//! tells what came of it: its class or status, how long it took, whose it was. What a function has to
//! add is an event of the target `bitflow::outcome`; that is no line of its own, but part of this one:
//! its fields, and in place of the general message its own.

use std::cell::RefCell;

use serde_json::{Map, Value};
use tracing::Level;

/// The target of what is part of the line.
pub(crate) const PART: &str = "bitflow::outcome";

/// The target of the line.
pub(crate) const LINE: &str = "bitflow::line";

tokio::task_local! {
    static SAID: RefCell<Said>;
}

/// What a function has said of an outcome so far.
#[derive(Debug, Default)]
struct Said {
    fields: Map<String, Value>,
    level: Option<Level>,
}

/// Does `work`, which ends with its line.
pub(crate) async fn gather<F: Future>(work: F) -> F::Output {
    SAID.scope(RefCell::default(), work).await
}

/// Writes the line of what was said elsewhere.
pub(crate) fn gathered(fields: Map<String, Value>, line: impl FnOnce()) {
    let level = None;
    SAID.sync_scope(RefCell::new(Said { fields, level }), line);
}

/// Keeps a part for the line; gives it back where there will be none.
pub(crate) fn keep(level: Level, fields: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut fields = Some(fields);
    let _ = SAID.try_with(|said| {
        let mut said = said.borrow_mut();
        said.level = Some(said.level.map_or(level, |other| other.min(level)));
        said.fields.extend(fields.take().unwrap_or_default());
    });
    fields
}

/// The parts of the line that is written now.
pub(crate) fn parts() -> Map<String, Value> {
    let said = SAID.try_with(|said| said.borrow().fields.clone());
    said.unwrap_or_default()
}

/// How loud the line is: as loud as its loudest part. `Level` counts from the loudest.
pub(crate) fn level(own: Level) -> Level {
    let said = SAID.try_with(|said| said.borrow().level);
    said.ok().flatten().map_or(own, |said| said.min(own))
}

/// Writes the line, at the level of its outcome.
macro_rules! line {
    ($level:expr, $($fields:tt)*) => {
        match $crate::outcome::level($level) {
            tracing::Level::ERROR => tracing::error!(target: $crate::outcome::LINE, $($fields)*),
            tracing::Level::WARN => tracing::warn!(target: $crate::outcome::LINE, $($fields)*),
            _ => tracing::info!(target: $crate::outcome::LINE, $($fields)*),
        }
    };
}

pub(crate) use line;

/// How loud a failure is: a warning where another try may mend it.
pub(crate) fn level_of(class: bitflow_fault::Class) -> Level {
    if class.is_transient() {
        Level::WARN
    } else {
        Level::ERROR
    }
}

/// Whole milliseconds.
pub(crate) fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
