//! Announcing a notification: a delivery, and the event that has it mailed and delivered, for each
//! active university; and dropping what is not delivered yet once it is taken back.

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use bitflow_domain::id::{NotificationId, UniversityId};
use bitflow_domain::notification::Notification;
use bitflow_domain::notification::delivery::{Delivery, DeliveryState};
use bitflow_domain::university::UniversityStatus;
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Context, Envelope};
use bitflow_events::payload::MaintenanceAnnounced;
use bitflow_store::deliveries::Deliveries;
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::page::PageRequest;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::{known, listing};
use crate::contention::{self, Committed};
use crate::error::{PortalError, load};
use crate::fresh;

/// Universities read at a time.
const PAGE: u16 = 500;

/// Universities of one transaction: each is two of its 100 items, and the notification is one.
const TOGETHER: usize = 49;

/// Why a delivery is dropped.
pub(super) const CANCELLED: &str = "the notification was cancelled";

/// Drops under way at a time.
const DROPS: usize = 16;

/// Announces notifications to universities, and drops what is taken back.
#[derive(Debug)]
pub struct Announcer {
    /// DynamoDB.
    pub dynamo: Client,
    /// What is announced.
    pub notifications: Notifications,
    /// To whom.
    pub universities: Universities,
    /// What was announced.
    pub deliveries: Deliveries,
    /// Where events leave.
    pub outbox: Outbox,
}

/// What came of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// To this many more universities.
    To(usize),
    /// It was taken back.
    Cancelled,
    /// All were reached before.
    Before,
}

impl Announcer {
    /// Announces a notification to every active university that it was not announced to.
    ///
    /// Universities are gone through until none is new, because one that is renamed meanwhile moves
    /// in the list. Each transaction makes deliveries that must be new, so that a run that died, and
    /// two at once, announce to each university once.
    ///
    /// # Errors
    /// [`PortalError::NoNotification`]. Whoever was announced to before it failed is not again: the
    /// next try goes on.
    pub async fn announce(
        &self,
        id: NotificationId,
        context: &Context,
        now: Timestamp,
    ) -> Result<Announced, PortalError> {
        const OPERATION: &str = "announce maintenance";
        let notification = known(&self.notifications, OPERATION, id).await?;
        if notification.announced_at.is_some() {
            return Ok(Announced::Before);
        }
        let mut told = self.told(id).await?;
        let mut more = 0;
        loop {
            let new = self.active_but(&told).await?;
            if new.is_empty() {
                break;
            }
            for universities in new.chunks(TOGETHER) {
                let transaction = || self.transaction(&notification, universities, context, now);
                match contention::commit(OPERATION, transaction).await? {
                    Committed::Done => more += universities.len(),
                    Committed::Lost(Notifications::ENTITY) => return Ok(Announced::Cancelled),
                    // Another run is at it, or was: what it did not do comes round again.
                    Committed::Lost(_) => {
                        told = self.told(id).await?;
                        break;
                    }
                }
                told.extend(universities);
            }
        }
        let finished = self.notifications.finish(id, now).await;
        finished.map_err(load(OPERATION))?;
        Ok(Announced::To(more))
    }

    fn transaction(
        &self,
        notification: &Notification,
        universities: &[UniversityId],
        context: &Context,
        now: Timestamp,
    ) -> Transaction {
        let id = notification.id;
        let mut transaction = Transaction::new(&self.dynamo);
        self.notifications
            .announced(&mut transaction, id, universities.len());
        for university in universities {
            let correlation_id = context.correlation_id.as_str();
            let delivery = Delivery::announced(id, *university, correlation_id, now);
            self.deliveries.insert(&mut transaction, &delivery);
            let announced = MaintenanceAnnounced {
                notification_id: id,
                notice: notification.notice.clone(),
            };
            let event = Envelope::new(
                fresh::event_id(now),
                now,
                context,
                *university,
                (id, Version::FIRST),
                announced.into(),
            );
            self.outbox.put(&mut transaction, &event);
        }
        transaction
    }

    /// Drops what is not delivered yet of a notification that is taken back. A try that is under
    /// way is left to whoever makes it, who sees for himself. How many were dropped; after a
    /// failure the next try goes on.
    pub async fn drop_pending(
        &self,
        id: NotificationId,
        now: Timestamp,
    ) -> Result<usize, PortalError> {
        const OPERATION: &str = "drop deliveries";
        let mut page = PageRequest {
            limit: 100,
            cursor: None,
        };
        let mut dropped = 0;
        loop {
            let pending = self
                .deliveries
                .list(id, Some(DeliveryState::Pending), &page);
            let pending = pending.await.map_err(listing(OPERATION))?;
            let idle = pending.data.into_iter().filter(|it| !it.under_way);
            dropped += stream::iter(idle)
                .map(|delivery| self.drop_one(delivery, now))
                .buffer_unordered(DROPS)
                .try_fold(0, async |sum, one| Ok(sum + usize::from(one)))
                .await?;
            let Some(next) = pending.next_cursor else {
                return Ok(dropped);
            };
            page.cursor = Some(next);
        }
    }

    async fn drop_one(&self, delivery: Delivery, now: Timestamp) -> Result<bool, PortalError> {
        let dropped = delivery.dropped(CANCELLED, now);
        let transaction = || {
            let mut transaction = Transaction::new(&self.dynamo);
            self.deliveries
                .replace(&mut transaction, &dropped, delivery.attempts);
            transaction
        };
        // Whoever took it on meanwhile sees for himself.
        let committed = contention::commit("drop delivery", transaction).await?;
        Ok(committed == Committed::Done)
    }

    async fn told(&self, id: NotificationId) -> Result<HashSet<UniversityId>, PortalError> {
        let told = self.deliveries.universities(id).await;
        told.map_err(listing("announce maintenance"))
    }

    /// The active universities that are not among those.
    async fn active_but(
        &self,
        told: &HashSet<UniversityId>,
    ) -> Result<Vec<UniversityId>, PortalError> {
        let mut new = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let active = UniversityStatus::Active;
            let page = self.universities.ids(active, PAGE, cursor.as_deref());
            let page = page.await.map_err(listing("announce maintenance"))?;
            new.extend(page.data.into_iter().filter(|id| !told.contains(id)));
            let Some(next) = page.next_cursor else {
                let mut new = Vec::from_iter(new);
                new.sort_unstable();
                return Ok(new);
            };
            cursor = Some(next);
        }
    }
}
