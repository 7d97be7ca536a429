//! The stack's clock: real time, which a test may push forward.
//!
//! Visibility timeouts, delays, delivery retries and schedules are all told by it, so that a test
//! sees a redelivery after a six-minute visibility timeout without waiting six minutes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// A cheap handle; all clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    ahead: Arc<watch::Sender<Duration>>,
}

impl Clock {
    /// A clock that tells real time.
    pub fn new() -> Self {
        Self {
            ahead: Arc::new(watch::Sender::new(Duration::ZERO)),
        }
    }

    /// The stack's time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the local stack's one clock"
    )]
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + *self.ahead.borrow()
    }

    /// Pushes the time forward to `when`; does nothing when it is past already.
    pub fn advance_to(&self, when: Timestamp) {
        let gap = when.duration_since(self.now());
        if let Ok(gap) = Duration::try_from(gap) {
            self.ahead.send_modify(|ahead| *ahead += gap);
        }
    }

    /// Returns once the clock tells `when` or later.
    pub async fn sleep_until(&self, when: Timestamp) {
        let mut ahead = self.ahead.subscribe();
        loop {
            ahead.borrow_and_update();
            let Ok(gap) = Duration::try_from(when.duration_since(self.now())) else {
                return;
            };
            if gap.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(gap) => {}
                changed = ahead.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
