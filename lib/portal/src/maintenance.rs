//! Maintenance notifications: asked for by an admin, announced to every active university, told to
//! each by mail and at its portal (contract section 3.2).
//!
//! - here: asking for it, looking at it, taking it back
//! - [`announce`]: one delivery and one event for each university
//! - [`deliver`]: one try to tell one portal
//! - [`due`]: finding what is to be tried again

pub mod announce;
pub mod deliver;
pub mod due;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::NotificationId;
use bitflow_domain::notification::delivery::{Delivery, DeliveryCounts, DeliveryState};
use bitflow_domain::notification::{Notice, Notification};
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::{MaintenanceCancelled, MaintenanceScheduled};
use bitflow_fault::Violation;
use bitflow_store::deliveries::Deliveries;
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::{ListError, Page, PageRequest};
use bitflow_store::transaction::{CommitError, Transaction};
use jiff::Timestamp;

use crate::contention::{self, Committed};
use crate::error::{PortalError, commit, load};
use crate::fresh;

/// Asks for notifications, takes them back, and shows how far they are.
#[derive(Debug)]
pub struct Maintenance {
    /// DynamoDB.
    pub dynamo: Client,
    /// Their table.
    pub notifications: Notifications,
    /// Who was told.
    pub deliveries: Deliveries,
    /// Where events leave.
    pub outbox: Outbox,
}

/// A notification, and what became of its deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The notification.
    pub notification: Notification,
    /// Its deliveries; as many as it was announced to.
    pub deliveries: DeliveryCounts,
}

impl Maintenance {
    /// Asks for a notification under `id`, of what is not past at `now`. Where it was asked for
    /// under that id before, it is answered as it is.
    ///
    /// # Errors
    /// [`PortalError::Past`].
    pub async fn schedule(
        &self,
        id: NotificationId,
        notice: Notice,
        context: &Context,
        now: Timestamp,
    ) -> Result<Notification, PortalError> {
        const OPERATION: &str = "schedule maintenance";
        if notice.scheduled_at < now {
            let violation = Violation::new("scheduled_at", "must not be in the past");
            return Err(PortalError::Past([violation]));
        }
        let notification = Notification::new(id, notice.clone(), &context.actor.id, now);
        let scheduled = MaintenanceScheduled {
            notification_id: id,
            notice,
        };
        let event = Envelope::new(
            fresh::event_id(now),
            now,
            context,
            None,
            (id, notification.version),
            scheduled.into(),
        );
        let mut transaction = Transaction::new(&self.dynamo);
        self.notifications.insert(&mut transaction, &notification);
        self.outbox.put(&mut transaction, &event);
        match transaction.commit().await {
            Ok(()) => Ok(notification),
            Err(CommitError::Conflict { .. }) => self.known(OPERATION, id).await,
            Err(error) => Err(commit(OPERATION)(error)),
        }
    }

    /// Takes a notification back: whoever was not told yet is not told. Whoever was first stays.
    ///
    /// # Errors
    /// [`PortalError::NoNotification`]. [`PortalError::Contended`] after some seconds in which the
    /// announcement was faster each time: it goes on.
    pub async fn cancel(
        &self,
        id: NotificationId,
        context: &Context,
        now: Timestamp,
    ) -> Result<Notification, PortalError> {
        const OPERATION: &str = "cancel maintenance";
        loop {
            let stored = self.known(OPERATION, id).await?;
            let Some(next) = stored.cancelled(&context.actor.id, now) else {
                return Ok(stored);
            };
            let cancelled = MaintenanceCancelled {
                notification_id: id,
                notice: next.notice.clone(),
            };
            let event = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                None,
                (id, next.version),
                cancelled.into(),
            );
            let transaction = || {
                let mut transaction = Transaction::new(&self.dynamo);
                self.notifications.cancel(&mut transaction, &next);
                self.outbox.put(&mut transaction, &event);
                transaction
            };
            // The announcement writes the same row, many times in a row.
            match contention::commit(OPERATION, transaction).await? {
                Committed::Done => return Ok(next),
                // Somebody else took it back: nothing else is in the way.
                Committed::Lost(_) => {}
            }
        }
    }

    /// Notifications, newest first. A cursor of another list is refused.
    pub async fn list(&self, page: &PageRequest) -> Result<Page<Notification>, PortalError> {
        let listed = self.notifications.list(page).await;
        listed.map_err(listing("list notifications"))
    }

    /// A notification, and how far it is.
    ///
    /// # Errors
    /// [`PortalError::NoNotification`].
    pub async fn report(&self, id: NotificationId) -> Result<Report, PortalError> {
        const OPERATION: &str = "report notification";
        let notification = self.known(OPERATION, id).await?;
        let counts = self.deliveries.counts(id).await;
        let deliveries = counts.map_err(listing(OPERATION))?;
        // Some may have been announced between the two reads: what was counted is what is shown.
        let notification = Notification {
            universities: deliveries.total(),
            ..notification
        };
        Ok(Report {
            notification,
            deliveries,
        })
    }

    /// What became of it at each university.
    ///
    /// # Errors
    /// [`PortalError::NoNotification`].
    pub async fn deliveries(
        &self,
        id: NotificationId,
        state: Option<DeliveryState>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, PortalError> {
        const OPERATION: &str = "list deliveries";
        self.known(OPERATION, id).await?;
        let listed = self.deliveries.list(id, state, page).await;
        listed.map_err(listing(OPERATION))
    }

    async fn known(
        &self,
        operation: &'static str,
        id: NotificationId,
    ) -> Result<Notification, PortalError> {
        known(&self.notifications, operation, id).await
    }
}

/// The notification, which there must be.
async fn known(
    notifications: &Notifications,
    operation: &'static str,
    id: NotificationId,
) -> Result<Notification, PortalError> {
    let found = notifications.get(id).await.map_err(load(operation))?;
    found.ok_or(PortalError::NoNotification(id))
}

/// What a list says when it cannot be read, for `map_err`.
fn listing(operation: &'static str) -> impl Fn(ListError) -> PortalError {
    move |source| PortalError::List { operation, source }
}
