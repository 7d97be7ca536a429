//! How the stack knows that it has come to rest.
//!
//! Every part tells [`Progress`] when its state changed, and can say what it still has to do.
//! Waiting is for a change, never for a span of time.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

/// A cheap handle that every part of the stack holds.
#[derive(Debug, Clone)]
pub struct Progress {
    changes: Arc<watch::Sender<u64>>,
}

impl Progress {
    /// A new one; one for each stack.
    pub fn new() -> Self {
        Self {
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Something changed: whoever waits looks again.
    pub fn touch(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Sees every later [`touch`](Self::touch).
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// What a part of the stack still has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// It is being worked on, or could be at once.
    Now(String),
    /// Nothing happens before this time of the stack's [`Clock`](crate::clock::Clock).
    Later(Timestamp, String),
}
