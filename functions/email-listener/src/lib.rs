//! SQS: one e-mail for each event that has one (contract sections 1.3, 2.1 and
//! 6.1).
//!
//! Promise: each mail is handed to SendGrid at least once, and more than once only where the
//! process dies between SendGrid's answer and noting it.
//!
//! On a retry: the claim in the inbox says whether the mail was sent.

use bitflow_email::sendgrid::{Mailbox, SendGrid, Settings};
use bitflow_portal::listen::{self, ListenError};
use bitflow_portal::mail::{Mailed, Mailroom};
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};
use bitflow_store::inbox::{Delivery, Inbox};
use bitflow_store::notifications::Notifications;
use bitflow_store::universities::Universities;

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::UNIVERSITIES_TABLE,
    config::NOTIFICATIONS_TABLE,
    config::INBOX_TABLE,
    config::SENDGRID_API_KEY,
    config::SENDGRID_API_BASE,
    config::SENDGRID_SANDBOX,
    config::MAIL_FROM,
    config::MAIL_FROM_NAME,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    mailroom: Mailroom,
}

impl Cx {
    /// Clients and tables; nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let dynamo = aws_sdk_dynamodb::Client::new(config.aws());
        let sendgrid = SendGrid::new(Settings {
            base: config.url(config::SENDGRID_API_BASE),
            api_key: config.secret(config::SENDGRID_API_KEY),
            from: Mailbox {
                email: config.text(config::MAIL_FROM).to_owned(),
                name: config.text(config::MAIL_FROM_NAME).to_owned(),
            },
            sandbox: config.flag(config::SENDGRID_SANDBOX),
        });
        let mailroom = Mailroom {
            inbox: Inbox::new(&dynamo, config.text(config::INBOX_TABLE), "email-listener"),
            universities: Universities::new(&dynamo, config.text(config::UNIVERSITIES_TABLE)),
            notifications: Notifications::new(&dynamo, config.text(config::NOTIFICATIONS_TABLE)),
            sendgrid,
        };
        Self { mailroom }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    let delivery = Delivery {
        sqs_message_id: message.id.to_owned(),
        receive_count: message.receive_count,
    };
    match cx.mailroom.deliver(&event, &delivery, clock::now()).await? {
        Mailed::Sent => {
            tracing::info!(target: "bitflow::outcome", event_id = %event.event_id, "mail sent");
        }
        Mailed::Before => {
            tracing::info!(target: "bitflow::outcome", event_id = %event.event_id, "mail was sent before");
        }
        Mailed::None => tracing::info!(
            target: "bitflow::outcome",
            event_id = %event.event_id,
            event_type = event.payload.kind(),
            "the event has no mail",
        ),
        Mailed::NotOfThisListener => {
            return Err(ListenError::Unexpected {
                kind: event.payload.kind(),
            });
        }
    }
    Ok(())
}
