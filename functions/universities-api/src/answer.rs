//! The bodies that are answered.

use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{Metrics, StorageQuota, University, UniversityStatus};
use bitflow_domain::version::Version;
use bitflow_events::envelope::{Actor, EventId};
use bitflow_store::activities::Activity;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

/// A university.
#[derive(Serialize)]
pub(crate) struct UniversityView {
    id: UniversityId,
    name: String,
    primary_email: String,
    domain: String,
    storage_quota: StorageQuota,
    status: UniversityStatus,
    #[serde(flatten)]
    metrics: Metrics,
    stripe_customer_id: Option<String>,
    version: Version,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl UniversityView {
    pub(crate) fn of(university: &University) -> Self {
        Self {
            id: university.id,
            name: university.name.as_str().to_owned(),
            primary_email: university.primary_email.as_str().to_owned(),
            domain: university.domain.as_str().to_owned(),
            storage_quota: university.storage_quota,
            status: university.status,
            metrics: university.metrics,
            stripe_customer_id: university.stripe_customer_id.clone(),
            version: university.version,
            created_at: university.created_at,
            updated_at: university.updated_at,
        }
    }
}

/// A new university, with its portal's secret: the only time it is shown.
#[derive(Serialize)]
pub(crate) struct Created {
    #[serde(flatten)]
    university: UniversityView,
    portal_secret: String,
}

impl Created {
    pub(crate) fn of(university: &University) -> Self {
        Self {
            portal_secret: university.portal_secrets.current.expose_secret().to_owned(),
            university: UniversityView::of(university),
        }
    }
}

/// One line of a university's history.
#[derive(Serialize)]
pub(crate) struct ActivityView {
    id: EventId,
    university_id: UniversityId,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    metadata: serde_json::Value,
    actor: Actor,
    correlation_id: String,
    occurred_at: Timestamp,
}

impl ActivityView {
    pub(crate) fn of(activity: Activity) -> Self {
        Self {
            id: activity.id,
            university_id: activity.university_id,
            kind: activity.kind,
            description: activity.description,
            metadata: activity.metadata,
            actor: activity.actor,
            correlation_id: activity.correlation_id.as_str().to_owned(),
            occurred_at: activity.occurred_at,
        }
    }
}
