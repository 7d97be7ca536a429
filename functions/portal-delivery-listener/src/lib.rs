//! SQS: one signed POST to one university's portal (contract section 3.2).
//!
//! Promise: a portal that can be reached within about a day takes each notification, once; one that
//! cannot has its delivery noted as failed, with `PortalUnreachable`.
//!
//! On a retry: the delivery counts its tries; a message for a try that was made does nothing. A try
//! that died is found by retry-portal-deliveries-job.

use bitflow_portal::enqueue::Queue;
use bitflow_portal::listen::ListenError;
use bitflow_portal::maintenance::deliver::{Courier, Outcome, TryDue};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::metrics;
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::deliveries::Deliveries;
use bitflow_store::notifications::Notifications;
use bitflow_store::outbox::Outbox;
use bitflow_store::universities::Universities;
use bitflow_university::guard::Allowed;
use bitflow_university::notify::Portals;
use bitflow_university::outbound::{Outbound, Settings};
use bitflow_university::template::UrlTemplate;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::NOTIFICATIONS_TABLE,
    config::DELIVERIES_TABLE,
    config::UNIVERSITIES_TABLE,
    config::OUTBOX_TABLE,
    config::PORTAL_DELIVERY_QUEUE_URL,
    PORTAL_URL_TEMPLATE,
    PORTAL_ALLOWED_NETWORKS,
];

const PORTAL_URL_TEMPLATE: Variable = config::PORTAL_URL_TEMPLATE.of::<UrlTemplate>();
const PORTAL_ALLOWED_NETWORKS: Variable = config::PORTAL_ALLOWED_NETWORKS.of::<Allowed>();

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    courier: Courier,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let allowed: Allowed = config.parsed(PORTAL_ALLOWED_NETWORKS);
        let template: UrlTemplate = config.parsed(PORTAL_URL_TEMPLATE);
        let courier = Courier {
            notifications: Notifications::new(&dynamo, config.text(config::NOTIFICATIONS_TABLE)),
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            deliveries: Deliveries::new(&dynamo, config.text(config::DELIVERIES_TABLE)),
            outbox: Outbox::new(&dynamo, config.text(config::OUTBOX_TABLE)),
            dynamo,
            portals: Portals::new(template, Outbound::new(Settings::new(allowed))),
            queue: Queue::new(
                aws_sdk_sqs::Client::new(config.aws()),
                config.text(config::PORTAL_DELIVERY_QUEUE_URL),
            ),
        };
        Self { courier }
    }
}

/// Makes one try.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let due = TryDue::from_json(message.body)?;
    sqs::correlate(&due.correlation_id);
    match cx.courier.deliver(&due, clock::now).await? {
        Outcome::Made(delivery) => {
            metrics::portal_delivery(delivery.state.as_str());
            tracing::info!(
                target: "bitflow::outcome",
                notification_id = %due.notification_id,
                university_id = %due.university_id,
                state = delivery.state.as_str(),
                attempts = delivery.attempts,
                status = delivery.last_status,
                refusal = delivery.last_error,
                "a try to tell the portal was made",
            );
        }
        Outcome::Dropped => {
            metrics::portal_delivery("dropped");
            tracing::info!(
                target: "bitflow::outcome",
                notification_id = %due.notification_id,
                university_id = %due.university_id,
                "the delivery was dropped",
            );
        }
        Outcome::Old => {
            metrics::portal_delivery("old");
            tracing::info!(
                target: "bitflow::outcome",
                notification_id = %due.notification_id,
                university_id = %due.university_id,
                attempts = due.attempts,
                "the try was made before, or another is making it",
            );
        }
    }
    Ok(())
}
