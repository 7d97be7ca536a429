//! One try to tell one portal.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::{NotificationId, UniversityId};
use bitflow_domain::notification::Notification;
use bitflow_domain::notification::delivery::{Delivery, DeliveryState, Tried};
use bitflow_domain::university::{University, UniversityStatus};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Actor, ActorKind, Context, CorrelationId, Envelope};
use bitflow_events::payload::{self, Payload};
use bitflow_fault::Fault;
use bitflow_store::deliveries::{Deliveries, DueDelivery};
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use bitflow_university::guard::Refusal;
use bitflow_university::notify::{self, Maintenance, Portals};
use bitflow_university::outbound;
use futures_util::future::try_join;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::announce::CANCELLED;
use super::known;
use crate::contention::{self, Committed};
use crate::enqueue::Queue;
use crate::error::{PortalError, load};
use crate::fresh;
use crate::listen::{self, ListenError};

/// The longest that SQS delays a message; what waits longer is found by [`super::due`].
const LONGEST_DELAY: SignedDuration = SignedDuration::from_mins(15);

const OPERATION: &str = "deliver notification";

/// The message for one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryDue {
    /// Of what.
    pub notification_id: NotificationId,
    /// Whose portal.
    pub university_id: UniversityId,
    /// How many tries were made before: a message for a try that was made is old.
    pub attempts: u32,
    /// The request that began it all.
    pub correlation_id: CorrelationId,
}

impl TryDue {
    /// Reads a message's body: one of these, or the event that announces, which is the first.
    ///
    /// # Errors
    /// [`ListenError::Unexpected`] for another event, which a rule sent here by mistake;
    /// [`ListenError::Decode`] for what is neither.
    pub fn from_json(body: &str) -> Result<Self, ListenError> {
        if let Ok(due) = serde_json::from_str(body) {
            return Ok(due);
        }
        let event = listen::decode(body)?;
        let university_id = listen::university(&event)?;
        match event.payload {
            Payload::MaintenanceAnnounced(announced) => Ok(Self {
                notification_id: announced.notification_id,
                university_id,
                attempts: 0,
                correlation_id: event.correlation_id,
            }),
            other => Err(ListenError::Unexpected { kind: other.kind() }),
        }
    }
}

impl From<DueDelivery> for TryDue {
    fn from(due: DueDelivery) -> Self {
        Self {
            notification_id: due.notification_id,
            university_id: due.university_id,
            attempts: due.attempts,
            correlation_id: CorrelationId::new(due.correlation_id),
        }
    }
}

/// Tells portals of notifications, a try at a time.
#[derive(Debug)]
pub struct Courier {
    /// DynamoDB.
    pub dynamo: Client,
    /// What is told.
    pub notifications: Notifications,
    /// To whom.
    pub universities: Universities,
    /// What became of it.
    pub deliveries: Deliveries,
    /// Where events leave.
    pub outbox: Outbox,
    /// How portals are called.
    pub portals: Portals,
    /// Where the next try is asked for, while it is soon.
    pub queue: Queue,
}

/// What a message that asks for a try came to. Each is the end of that message: what is still to be
/// tried has, or gets, a message of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The portal was called, or given up; this is the delivery since. While it is pending another
    /// try is asked for, at the time that it says.
    Made(Box<Delivery>),
    /// The portal is not called: the notification was taken back, or the university deleted.
    Dropped,
    /// That try was made before, or another message is making it; nothing was done.
    Old,
}

impl Courier {
    /// Makes the try that `due` asks for: takes it on, calls the portal, notes what came of it.
    ///
    /// A portal may be told twice in two places, under the same `Idempotency-Key` each time: where it
    /// took it and its answer did not come in time, and where we die before that is noted. Such a
    /// try is taken for dead, and another is made.
    ///
    /// # Errors
    /// [`PortalError::NoDelivery`], [`PortalError::NoNotification`], [`PortalError::NoUniversity`].
    /// That the portal refuses, or gives no answer, is none: it is in [`Outcome::Made`]. Where
    /// it fails after the try was begun, the next is due two minutes later.
    pub async fn deliver(
        &self,
        due: &TryDue,
        clock: impl Fn() -> Timestamp,
    ) -> Result<Outcome, PortalError> {
        let key = (due.notification_id, due.university_id);
        let stored = self.deliveries.get(key.0, key.1).await;
        let stored = stored.map_err(load(OPERATION))?;
        let stored = stored.ok_or(PortalError::NoDelivery(key.0, key.1))?;
        let Some(begun) = stored.begun(due.attempts, clock()) else {
            return Ok(Outcome::Old);
        };
        if stored.is_exhausted() {
            return self.give_up(due, &stored, clock()).await;
        }
        let (notification, university) = try_join(
            known(&self.notifications, OPERATION, due.notification_id),
            self.university(due.university_id),
        )
        .await?;
        if let Some(why) = reason_to_drop(&notification, &university) {
            let dropped = stored.dropped(why, clock());
            let noted = self.note(&dropped, stored.attempts, None).await?;
            return Ok(if noted {
                Outcome::Dropped
            } else {
                Outcome::Old
            });
        }
        if !self.note(&begun, stored.attempts, None).await? {
            return Ok(Outcome::Old);
        }
        let tried = self.tell(due, &notification, &university, clock()).await;
        let mut after = begun.after(tried, rand::random(), clock());
        if after.state == DeliveryState::Pending {
            // What came of the try is noted all the same; the next one looks again.
            let now = known(&self.notifications, OPERATION, due.notification_id).await;
            let now = now.unwrap_or_else(|_| notification.clone());
            if let Some(why) = reason_to_drop(&now, &university) {
                after = after.dropped(why, clock());
            }
        }
        let unreachable = (after.state == DeliveryState::Failed)
            .then(|| unreachable(&after, &notification, due, clock()));
        if !self
            .note(&after, begun.attempts, unreachable.as_ref())
            .await?
        {
            return Ok(Outcome::Old);
        }
        self.ask_again(due, &after, clock()).await;
        Ok(Outcome::Made(Box::new(after)))
    }

    /// Settles a delivery each try of which died.
    async fn give_up(
        &self,
        due: &TryDue,
        stored: &Delivery,
        now: Timestamp,
    ) -> Result<Outcome, PortalError> {
        let notification = known(&self.notifications, OPERATION, due.notification_id).await?;
        let died = Tried::Refused {
            status: stored.last_status,
            error: "no try came to its end".to_owned(),
        };
        let after = stored.after(died, 0.0, now);
        let event = unreachable(&after, &notification, due, now);
        let noted = self.note(&after, stored.attempts, Some(&event)).await?;
        Ok(if noted {
            Outcome::Made(Box::new(after))
        } else {
            Outcome::Old
        })
    }

    async fn university(&self, id: UniversityId) -> Result<University, PortalError> {
        let found = self.universities.get(id).await.map_err(load(OPERATION))?;
        found.ok_or(PortalError::NoUniversity(id))
    }

    async fn tell(
        &self,
        due: &TryDue,
        notification: &Notification,
        university: &University,
        now: Timestamp,
    ) -> Tried {
        let id = format!("{}.{}", due.notification_id, due.university_id);
        let delivery = notify::Delivery {
            id: &id,
            domain: university.domain.as_str(),
            secret: &university.portal_secrets.current,
            correlation_id: due.correlation_id.as_str(),
        };
        let notice = &notification.notice;
        let maintenance = Maintenance {
            title: notice.title.as_str().to_owned(),
            message: notice.message.as_str().to_owned(),
            scheduled_at: notice.scheduled_at,
        };
        match self.portals.notify(&delivery, &maintenance, now).await {
            Ok(delivered) => Tried::Delivered {
                status: delivered.status,
            },
            Err(error) => tried(&error),
        }
    }

    /// Writes the delivery that had that many attempts, with the event that tells of it; whether
    /// nobody was faster.
    async fn note(
        &self,
        delivery: &Delivery,
        attempts: u32,
        event: Option<&Envelope>,
    ) -> Result<bool, PortalError> {
        let transaction = || {
            let mut transaction = Transaction::new(&self.dynamo);
            self.deliveries
                .replace(&mut transaction, delivery, attempts);
            if let Some(event) = event {
                self.outbox.put(&mut transaction, event);
            }
            transaction
        };
        let committed = contention::commit(OPERATION, transaction).await?;
        Ok(committed == Committed::Done)
    }

    /// Asks for the next try, where that is soon. Where it is later, or cannot be asked for, it is
    /// found once it is due.
    async fn ask_again(&self, due: &TryDue, delivery: &Delivery, now: Timestamp) {
        let Some(due_at) = delivery.due_at else {
            return;
        };
        let delay = due_at.duration_since(now);
        if delay > LONGEST_DELAY {
            return;
        }
        let next = TryDue {
            attempts: delivery.attempts,
            ..due.clone()
        };
        if let Err(error) = self.queue.send_after(&next, delay).await {
            tracing::warn!(target: "bitflow", %error, "the next try was not asked for; it will be found");
        }
    }
}

/// Why a portal is not to be told any more, if it is not.
fn reason_to_drop(notification: &Notification, university: &University) -> Option<&'static str> {
    if notification.cancelled.is_some() {
        Some(CANCELLED)
    } else if university.status == UniversityStatus::Deleted {
        Some("the university was deleted")
    } else {
        None
    }
}

/// What an error of the call means. Its text names no address and nothing that the portal said; the
/// log has the cause.
fn tried(error: &outbound::PortalError) -> Tried {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    tracing::info!(target: "bitflow::outcome", causes = causes.join(": "), "the portal was not told");
    let status = error.status();
    let text = match error {
        outbound::PortalError::Guarded(Refusal::Special { kind, .. }) => {
            format!("{error}: its address is {kind}")
        }
        outbound::PortalError::Guarded(refusal) => format!("{error}: {refusal}"),
        _ => error.to_string(),
    };
    if error.class().is_transient() {
        Tried::NotNow {
            status,
            error: text,
            retry_after: error.retry_after(),
        }
    } else {
        Tried::Refused {
            status,
            error: text,
        }
    }
}

fn unreachable(
    delivery: &Delivery,
    notification: &Notification,
    due: &TryDue,
    now: Timestamp,
) -> Envelope {
    let unreachable = payload::PortalUnreachable {
        notification_id: notification.id,
        title: notification.notice.title.clone(),
        attempts: delivery.attempts,
        last_status: delivery.last_status,
        reason: delivery.last_error.clone().unwrap_or_default(),
    };
    let context = Context {
        actor: Actor {
            kind: ActorKind::System,
            id: "portal-delivery-listener".to_owned(),
        },
        correlation_id: due.correlation_id.clone(),
    };
    Envelope::new(
        fresh::event_id(now),
        now,
        &context,
        delivery.university_id,
        (notification.id, Version::FIRST),
        unreachable.into(),
    )
}
