//! `POST /api/notifications` of a portal (contract section 3.2).

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::SecretString;
use serde::{Serialize, Serializer};

use crate::outbound::{Call, Delivered, Outbound, PortalError};
use crate::template::UrlTemplate;
use crate::{HEADER, sign};

/// All portals.
#[derive(Debug)]
pub struct Portals {
    template: UrlTemplate,
    outbound: Outbound,
}

/// The system will be down.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "maintenance")]
pub struct Maintenance {
    /// What people read first.
    pub title: String,
    /// What it is about.
    pub message: String,
    /// When it begins; without what is below a second.
    #[serde(serialize_with = "plain")]
    pub scheduled_at: Timestamp,
}

/// One message to one portal.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The same for every try: by it, a portal that took the message knows it again.
    pub id: &'a str,
    /// The portal's domain.
    pub domain: &'a str,
    /// What its calls are signed with.
    pub secret: &'a SecretString,
    /// The request that began it all.
    pub correlation_id: &'a str,
}

impl Portals {
    /// Nothing is built or connected before the first message.
    pub fn new(template: UrlTemplate, outbound: Outbound) -> Self {
        Self { template, outbound }
    }

    /// Tells a portal once, signed at `now`. Whoever tells it again does so under the same id.
    ///
    /// # Errors
    /// [`PortalError::NotNow`] and [`PortalError::Unreachable`] may pass; after the second it may
    /// know already. [`PortalError::Refused`] stays. [`PortalError::Guarded`]: nothing was
    /// connected to.
    pub async fn notify(
        &self,
        delivery: &Delivery<'_>,
        maintenance: &Maintenance,
        now: Timestamp,
    ) -> Result<Delivered, PortalError> {
        let url = self.template.url(delivery.domain, "/api/notifications");
        let url = url.map_err(PortalError::Guarded)?;
        let body = serde_json::to_vec(maintenance).expect("texts become JSON");
        let signature = sign(delivery.secret, &body, now);
        let mut headers = vec![
            (HEADER, signature.as_str()),
            ("idempotency-key", delivery.id),
        ];
        // Another's request may have begun it, under an id that no header holds: the message goes
        // out all the same.
        if HeaderValue::from_str(delivery.correlation_id).is_ok() {
            headers.push(("x-correlation-id", delivery.correlation_id));
        }
        let call = Call { url, headers, body };
        self.outbound.post(call, now).await
    }
}

/// `2025-11-15 02:00:00`, in UTC: the contract's form of a time.
fn plain<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.strftime("%Y-%m-%d %H:%M:%S"))
}
