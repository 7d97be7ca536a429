//! What the owner's browser is told at once (contract section 5).

use bitflow_domain::alert::{Alert, NewAlert};
use bitflow_events::envelope::Envelope;
use bitflow_events::payload::Payload;
use bitflow_realtime::Pusher;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alerts::view::AlertView;
use crate::error::PortalError;

/// The owner's channel: `bitflow-admin` to laravel-echo's `private`.
pub const CHANNEL: &str = "private-bitflow-admin";

/// Who of the owners is there: `bitflow-admin` to laravel-echo's `join`.
pub const PRESENCE_CHANNEL: &str = "presence-bitflow-admin";

/// What is pushed of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// Pusher's name of it, e.g. `alert.created`.
    pub name: &'static str,
    /// What it tells.
    pub data: Value,
}

/// Pushes what there is to push of `event`; whether there was.
///
/// Delivered again it is pushed again: whoever shows it knows it by `event_id`.
///
/// # Errors
/// [`PortalError::Push`]: whether it was pushed all the same, its source tells.
pub async fn push(pusher: &Pusher, event: &Envelope, now: Timestamp) -> Result<bool, PortalError> {
    let Some(mut push) = push_of(event) else {
        return Ok(false);
    };
    push.data["event_id"] = event.event_id.to_string().into();
    let data = push.data.to_string();
    let pushed = pusher.trigger(CHANNEL, push.name, &data, now).await;
    pushed.map_err(PortalError::Push)?;
    Ok(true)
}

/// Decides what is pushed of an event; the types are those of the rule in front of the queue.
fn push_of(event: &Envelope) -> Option<Push> {
    let (name, data) = match &event.payload {
        Payload::AlertCreated(it) => {
            let new = NewAlert {
                university_id: event.university_id,
                kind: it.kind.clone(),
                subject: None,
                message: it.message.clone(),
            };
            let alert = Alert {
                severity: it.severity,
                ..Alert::raise(it.alert_id, new, event.occurred_at)
            };
            ("alert.created", json!(AlertView::of(alert)))
        }
        Payload::AlertAcknowledged(it) => (
            "alert.acknowledged",
            json!({
                "id": it.alert_id,
                "type": it.kind,
                "university_id": event.university_id,
                "is_acknowledged": true,
                "acknowledged_by": it.acknowledged_by,
                "acknowledged_at": event.occurred_at,
            }),
        ),
        Payload::PaymentProcessed(it) => (
            "invoice.paid",
            json!({
                "id": it.invoice_id,
                "university_id": event.university_id,
                "number": it.invoice_number,
                "amount": it.amount.amount,
                "currency": it.amount.currency,
                "paid_at": event.occurred_at,
            }),
        ),
        Payload::UniversityCreated(it) => (
            "university.created",
            json!({
                "id": event.university_id,
                "name": it.name,
                "domain": it.domain,
                "created_at": event.occurred_at,
            }),
        ),
        _ => return None,
    };
    Some(Push { name, data })
}

#[cfg(test)]
mod tests {
    use bitflow_domain::alert::AlertMessage;
    use bitflow_realtime::MAX_DATA;

    use super::*;

    fn event(kind: &str, data: &Value) -> Envelope {
        let event = json!({
            "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "type": kind,
            "version": 1,
            "occurred_at": "2025-11-13T09:00:00Z",
            "aggregate_id": "x",
            "university_id": "019a0000-0000-7000-8000-000000000001",
            "aggregate_version": 1,
            "actor": { "kind": "portal", "id": "x" },
            "correlation_id": "request-1",
            "data": data,
        });
        Envelope::from_json(&event.to_string()).unwrap()
    }

    fn created(message: &str) -> Push {
        let data = json!({
            "alert_id": "019a0000-0000-7000-8000-000000000002",
            "type": "storage_exceeded",
            "severity": "high",
            "message": message,
        });
        push_of(&event("AlertCreated", &data)).unwrap()
    }

    #[test]
    fn an_alert_is_pushed_as_the_frontend_reads_it() {
        let Push { name, data } = created("Storage quota exceeded");
        assert_eq!(name, "alert.created");
        for (key, value) in [
            ("id", json!("019a0000-0000-7000-8000-000000000002")),
            ("type", json!("storage_exceeded")),
            (
                "university_id",
                json!("019a0000-0000-7000-8000-000000000001"),
            ),
            ("severity", json!("high")),
            ("message", json!("Storage quota exceeded")),
            ("is_acknowledged", json!(false)),
        ] {
            assert_eq!(data[key], value, "{key}");
        }
    }

    #[test]
    fn the_longest_alert_is_not_too_long_for_pusher() {
        let longest = "𝄞".repeat(AlertMessage::MAX_CHARS);
        assert!(created(&longest).data.to_string().len() + 100 < MAX_DATA);
    }

    #[test]
    fn most_events_are_not_pushed() {
        let data = json!({ "changes": [] });
        assert_eq!(push_of(&event("UniversityUpdated", &data)), None);
    }
}
