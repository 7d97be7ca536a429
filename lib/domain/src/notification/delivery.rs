//! What becomes of a notification at one portal.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::{NotificationId, UniversityId};

/// One portal is told of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Of what.
    pub notification_id: NotificationId,
    /// Whose portal.
    pub university_id: UniversityId,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried, a try that is under way included. A write is made on the condition
    /// that this is as it was loaded, so that nobody tries or settles what another took on.
    pub attempts: u32,
    /// A try is under way, or died.
    pub under_way: bool,
    /// What the portal answered last, if anything: an HTTP status.
    pub last_status: Option<u16>,
    /// Why it is not delivered, for people.
    pub last_error: Option<String>,
    /// From when on it is to be tried (again); nothing once it is settled.
    pub due_at: Option<Timestamp>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// The request that began it all.
    pub correlation_id: String,
    /// When it was announced.
    pub created_at: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be tried (again).
    Pending,
    /// The portal took it.
    Delivered,
    /// It is not tried any more.
    Failed,
    /// It was taken back before the portal took it.
    Cancelled,
}

/// How many deliveries of a notification there are of each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// [`DeliveryState::Pending`].
    pub pending: u64,
    /// [`DeliveryState::Delivered`].
    pub delivered: u64,
    /// [`DeliveryState::Failed`].
    pub failed: u64,
    /// [`DeliveryState::Cancelled`].
    pub cancelled: u64,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The portal took it.
    Delivered {
        /// HTTP status.
        status: u16,
    },
    /// It did not, and would not another time.
    Refused {
        /// HTTP status, if it answered.
        status: Option<u16>,
        /// Why, for people.
        error: String,
    },
    /// It did not, or nobody knows; another time it may.
    NotNow {
        /// HTTP status, if it answered.
        status: Option<u16>,
        /// Why, for people.
        error: String,
        /// How long the portal wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// How long after each failed try there is another; after the last, none. With their jitter they
/// come to 20 to 23 hours.
const WAITS: [SignedDuration; 6] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(10),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(6),
    SignedDuration::from_hours(12),
];

/// Waits are longer by up to a fifth, so that what failed together is not tried together.
const JITTER: f64 = 0.2;

/// After how long a portal is not tried any more, however long it asks to be left alone.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// After how long a try that nobody settled is taken for dead: longer than a function may run.
pub const TRY_HOLDS: SignedDuration = SignedDuration::from_mins(2);

/// After how long a delivery that nobody tried is looked for.
pub const FIRST_TRY_WITHIN: SignedDuration = SignedDuration::from_mins(15);

impl Delivery {
    /// A delivery that is announced.
    pub fn announced(
        notification_id: NotificationId,
        university_id: UniversityId,
        correlation_id: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            notification_id,
            university_id,
            state: DeliveryState::Pending,
            attempts: 0,
            under_way: false,
            last_status: None,
            last_error: None,
            due_at: Some(now + FIRST_TRY_WITHIN),
            settled_at: None,
            correlation_id: correlation_id.to_owned(),
            created_at: now,
        }
    }

    /// The delivery while it is tried, for whoever was told to make the try after `attempts`.
    /// `None` where that try was made, or none is to be.
    #[must_use]
    pub fn begun(&self, attempts: u32, now: Timestamp) -> Option<Self> {
        let right = self.state == DeliveryState::Pending && self.attempts == attempts;
        right.then(|| Self {
            attempts: self.attempts + 1,
            under_way: true,
            due_at: Some(now + TRY_HOLDS),
            ..self.clone()
        })
    }

    /// Whether every try was begun, and none lived to say what came of it.
    pub fn is_exhausted(&self) -> bool {
        let tries = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        self.state == DeliveryState::Pending && tries > WAITS.len()
    }

    /// The delivery after the try that is under way. `jitter` is from 0 to 1.
    #[must_use]
    pub fn after(&self, tried: Tried, jitter: f64, now: Timestamp) -> Self {
        let (state, status, error, due_at) = match tried {
            Tried::Delivered { status } => (DeliveryState::Delivered, Some(status), None, None),
            Tried::Refused { status, error } => (DeliveryState::Failed, status, Some(error), None),
            Tried::NotNow {
                status,
                error,
                retry_after,
            } => {
                let due_at = wait(self.attempts, retry_after, jitter).map(|wait| now + wait);
                let due_at = due_at.filter(|at| *at <= self.created_at + GIVEN_UP_AFTER);
                let state = match due_at {
                    Some(_) => DeliveryState::Pending,
                    None => DeliveryState::Failed,
                };
                (state, status, Some(error), due_at)
            }
        };
        Self {
            state,
            under_way: false,
            last_status: status,
            last_error: error,
            settled_at: due_at.is_none().then_some(now),
            due_at,
            ..self.clone()
        }
    }

    /// The delivery that is not made, for a reason that people read.
    #[must_use]
    pub fn dropped(&self, why: &str, now: Timestamp) -> Self {
        Self {
            state: DeliveryState::Cancelled,
            under_way: false,
            last_error: Some(why.to_owned()),
            due_at: None,
            settled_at: Some(now),
            ..self.clone()
        }
    }
}

/// How long to wait after that many tries, if there is to be another.
fn wait(attempts: u32, retry_after: Option<Duration>, jitter: f64) -> Option<SignedDuration> {
    let tries = usize::try_from(attempts).unwrap_or(usize::MAX);
    let wait = WAITS.get(tries.checked_sub(1)?)?;
    let wait = *wait + wait.mul_f64(JITTER * jitter.clamp(0.0, 1.0));
    let asked = retry_after.and_then(|asked| SignedDuration::try_from(asked).ok());
    Some(wait.max(asked.unwrap_or_default()))
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 4] = [
        Self::Pending,
        Self::Delivered,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Reads the word on the wire. Of another, the error says which there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == text);
        known.ok_or("must be pending, delivered, failed or cancelled")
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl DeliveryCounts {
    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.pending + self.delivered + self.failed + self.cancelled
    }

    /// Counts one more.
    pub fn add(&mut self, state: DeliveryState) {
        *match state {
            DeliveryState::Pending => &mut self.pending,
            DeliveryState::Delivered => &mut self.delivered,
            DeliveryState::Failed => &mut self.failed,
            DeliveryState::Cancelled => &mut self.cancelled,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn announced() -> Delivery {
        Delivery::announced(
            NotificationId::from_uuid(Uuid::from_u128(1)),
            UniversityId::from_uuid(Uuid::from_u128(2)),
            "request-1",
            NOW,
        )
    }

    fn not_now(retry_after: Option<u64>) -> Tried {
        Tried::NotNow {
            status: Some(503),
            error: "the portal answered 503 for now".to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// The waits between all tries of a portal that never takes it, seconds.
    fn waits(retry_after: Option<u64>, jitter: f64) -> Vec<i64> {
        let mut delivery = announced();
        let mut now = NOW;
        let mut waits = Vec::new();
        loop {
            assert!(!delivery.is_exhausted());
            let begun = delivery.begun(delivery.attempts, now).unwrap();
            assert_eq!(begun.due_at, Some(now + TRY_HOLDS));
            delivery = begun.after(not_now(retry_after), jitter, now);
            let Some(due_at) = delivery.due_at else { break };
            assert_eq!(delivery.state, DeliveryState::Pending);
            waits.push(due_at.duration_since(now).as_secs());
            now = due_at;
        }
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert_eq!(delivery.settled_at, Some(now));
        waits
    }

    #[test]
    fn tries_go_on_for_about_a_day() {
        let all = [5, 60, 600, 3600, 21_600, 43_200];
        assert_eq!(waits(None, 0.0), all);
        assert_eq!(waits(None, 1.0), all.map(|wait| wait * 6 / 5));
        assert_eq!(waits(Some(120), 1.0)[..2], [120, 120]);
        // However long it asks, it is over after a day.
        assert_eq!(waits(Some(36_000), 0.0), [36_000, 36_000]);
        assert!(waits(Some(86_401), 0.0).is_empty());
    }

    #[test]
    fn tries_that_all_died_come_to_an_end() {
        let mut delivery = announced();
        for tries in 0..7 {
            assert!(!delivery.is_exhausted(), "after {tries}");
            delivery = delivery.begun(tries, NOW).unwrap();
        }
        assert!(delivery.is_exhausted());
        let told = delivery.after(Tried::Delivered { status: 200 }, 0.0, NOW);
        assert!(!told.is_exhausted());
    }

    #[test]
    fn a_try_is_made_by_one() {
        let delivery = announced();
        let begun = delivery.begun(0, NOW).unwrap();
        assert_eq!((begun.attempts, begun.under_way), (1, true));
        assert_eq!(begun.begun(0, NOW), None, "it is made already");
        let taken = begun.after(Tried::Delivered { status: 201 }, 0.5, NOW);
        assert_eq!(taken.state, DeliveryState::Delivered);
        assert_eq!(
            (taken.last_status, taken.due_at, taken.settled_at),
            (Some(201), None, Some(NOW))
        );
        assert_eq!(taken.begun(1, NOW), None, "it is delivered");
        assert_eq!(
            delivery.dropped("it was cancelled", NOW).begun(0, NOW),
            None
        );
    }

    #[test]
    fn what_is_refused_is_not_tried_again() {
        let begun = announced().begun(0, NOW).unwrap();
        let refused = Tried::Refused {
            status: Some(404),
            error: "the portal refused with 404".to_owned(),
        };
        let failed = begun.after(refused, 0.0, NOW);
        assert_eq!(failed.state, DeliveryState::Failed);
        assert_eq!((failed.due_at, failed.attempts), (None, 1));
    }

    #[test]
    fn states_and_counts() {
        let mut counts = DeliveryCounts::default();
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Ok(state));
            counts.add(state);
        }
        let one_each = DeliveryCounts {
            pending: 1,
            delivered: 1,
            failed: 1,
            cancelled: 1,
        };
        assert_eq!(counts, one_each);
        assert_eq!(counts.total(), 4);
    }
}
