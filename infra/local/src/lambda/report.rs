//! What an invocation took: what Lambda writes as its REPORT line, and the CPU time besides.
//! <https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html>

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::FunctionError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One invocation, as it ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// The function's binary.
    pub function: String,
    /// When the process was given its event, or, where it was started for it, when that began.
    pub began: Instant,
    /// From then until it answered.
    pub took: Duration,
    /// Whether it failed.
    pub function_error: Option<FunctionError>,
    /// Whether a process was started for it.
    pub is_cold: bool,
    /// What the process used since its last report, or since its start; known on Linux only.
    pub cpu: Option<Duration>,
    /// The most memory that the process had in use so far, KiB; known on Linux only.
    pub peak_memory_kib: Option<u64>,
}

/// Whom reports are sent to: nobody, until somebody asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    to: Arc<Mutex<Option<UnboundedSender<Report>>>>,
}

impl Reports {
    /// Sends them here from now on.
    pub(super) fn subscribe(&self) -> UnboundedReceiver<Report> {
        let (sender, reports) = unbounded_channel();
        *self.to.lock().expect("no holder panics") = Some(sender);
        reports
    }

    /// Sends a report where somebody asked for them: only then is it made.
    pub(super) fn send(&self, report: impl FnOnce() -> Report) {
        let mut to = self.to.lock().expect("no holder panics");
        if let Some(sender) = to.as_ref()
            && sender.send(report()).is_err()
        {
            *to = None;
        }
    }
}

/// The CPU time that the living threads of a process used so far: the first number of each one's
/// `schedstat`, nanoseconds. Its `stat` counts hundredths of a second only.
/// <https://docs.kernel.org/scheduler/sched-stats.html>
pub(super) fn cpu(process_id: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process_id}/task")).ok()?;
    let nanoseconds = threads.filter_map(|thread| {
        let schedstat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanoseconds.sum()))
}
