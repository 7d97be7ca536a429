//! An alert as the contract's frontend reads it, from the API and pushed alike (contract sections
//! 3.1, 5.2).

use bitflow_domain::alert::{Alert, AlertMessage, AlertType, Severity};
use bitflow_domain::id::{AlertId, UniversityId};
use bitflow_domain::version::Version;
use jiff::Timestamp;
use serde::Serialize;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertView {
    id: AlertId,
    #[serde(rename = "type")]
    kind: AlertType,
    /// Null where it is about the platform.
    university_id: Option<UniversityId>,
    severity: Severity,
    message: AlertMessage,
    /// How often it was raised.
    count: u64,
    is_acknowledged: bool,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<Timestamp>,
    version: Version,
    created_at: Timestamp,
    last_raised_at: Timestamp,
}

impl AlertView {
    /// The view of `alert`.
    pub fn of(alert: Alert) -> Self {
        let (by, at) = alert.acknowledged.map(|it| (it.by, it.at)).unzip();
        Self {
            id: alert.id,
            kind: alert.kind,
            university_id: alert.university_id,
            severity: alert.severity,
            message: alert.message,
            count: alert.count,
            is_acknowledged: at.is_some(),
            acknowledged_by: by,
            acknowledged_at: at,
            version: alert.version,
            created_at: alert.created_at,
            last_raised_at: alert.last_raised_at,
        }
    }
}
