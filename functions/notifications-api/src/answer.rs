//! The bodies that are answered.

use bitflow_domain::id::{NotificationId, UniversityId};
use bitflow_domain::notification::Notification;
use bitflow_domain::notification::delivery::{Delivery, DeliveryCounts, DeliveryState};
use bitflow_domain::version::Version;
use bitflow_portal::maintenance::Report;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A notification.
#[derive(Serialize, ToSchema)]
#[schema(as = Notification, example = json!({
    "id": "01900000-0000-7000-8000-000000000008",
    "type": "maintenance",
    "title": "Scheduled Maintenance",
    "message": "System will be down for 2 hours",
    "scheduled_at": "2026-02-01T02:00:00Z",
    "state": "scheduled",
    "universities": 240,
    "announced_at": "2026-01-15T09:00:03Z",
    "created_by": "admin-1",
    "created_at": "2026-01-15T09:00:00Z",
    "cancelled_by": null,
    "cancelled_at": null,
    "version": 1,
}))]
pub(crate) struct NotificationView {
    #[schema(value_type = String, format = "uuid")]
    id: NotificationId,
    #[serde(rename = "type")]
    #[schema(pattern = "^maintenance$")]
    kind: &'static str,
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[schema(min_length = 1, max_length = 4000)]
    message: String,
    /// When the maintenance begins.
    #[schema(value_type = String, format = DateTime)]
    scheduled_at: Timestamp,
    /// `scheduled`, or `cancelled`: whoever was not told by then is not told.
    #[schema(pattern = "^(scheduled|cancelled)$")]
    state: &'static str,
    /// How many universities it was announced to so far.
    universities: u64,
    /// When it was announced to all; null while that goes on, and where it was cancelled first.
    #[schema(value_type = Option<String>, format = DateTime)]
    announced_at: Option<Timestamp>,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    cancelled_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    cancelled_at: Option<Timestamp>,
    #[schema(value_type = u64, minimum = 1)]
    version: Version,
}

impl NotificationView {
    pub(crate) fn of(notification: Notification) -> Self {
        let state = match notification.cancelled {
            None => "scheduled",
            Some(_) => "cancelled",
        };
        let cancelled = notification.cancelled.map(|it| (it.by, it.at));
        let (cancelled_by, cancelled_at) = cancelled.unzip();
        Self {
            id: notification.id,
            kind: "maintenance",
            title: notification.notice.title.into(),
            message: notification.notice.message.into(),
            scheduled_at: notification.notice.scheduled_at,
            state,
            universities: notification.universities,
            announced_at: notification.announced_at,
            created_by: notification.created_by,
            created_at: notification.created_at,
            cancelled_by,
            cancelled_at,
            version: notification.version,
        }
    }
}

/// A notification, and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationReport)]
pub(crate) struct ReportView {
    #[serde(flatten)]
    notification: NotificationView,
    deliveries: CountsView,
}

/// How many portals there are of each state; in all, as many as it was announced to.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryCounts, example = json!({ "pending": 4, "delivered": 235, "failed": 1, "cancelled": 0 }))]
struct CountsView {
    pending: u64,
    delivered: u64,
    failed: u64,
    cancelled: u64,
}

impl ReportView {
    pub(crate) fn of(report: Report) -> Self {
        let DeliveryCounts {
            pending,
            delivered,
            failed,
            cancelled,
        } = report.deliveries;
        Self {
            notification: NotificationView::of(report.notification),
            deliveries: CountsView {
                pending,
                delivered,
                failed,
                cancelled,
            },
        }
    }
}

/// What became of a notification at one portal.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery, example = json!({
    "university_id": "01900000-0000-7000-8000-000000000001",
    "state": "pending",
    "attempts": 2,
    "last_status": 503,
    "last_error": "the portal answered 503 for now",
    "next_try_at": "2026-01-15T09:01:10Z",
    "settled_at": null,
}))]
pub(crate) struct DeliveryView {
    #[schema(value_type = String, format = "uuid")]
    university_id: UniversityId,
    #[schema(value_type = crate::openapi::DeliveryState)]
    state: DeliveryState,
    /// How often it was tried, a try that is under way included.
    attempts: u32,
    /// The HTTP status that the portal answered last, if it answered.
    last_status: Option<u16>,
    /// Why it is not delivered.
    last_error: Option<String>,
    /// When it is tried (again) at the latest, give or take five minutes; null once it is settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
    /// When it was delivered, failed for good, or was cancelled.
    #[schema(value_type = Option<String>, format = DateTime)]
    settled_at: Option<Timestamp>,
}

impl DeliveryView {
    pub(crate) fn of(delivery: Delivery) -> Self {
        Self {
            university_id: delivery.university_id,
            state: delivery.state,
            attempts: delivery.attempts,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            next_try_at: delivery.due_at,
            settled_at: delivery.settled_at,
        }
    }
}
