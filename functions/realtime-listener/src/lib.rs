//! SQS: pushes what the owner's browser is to know at once (contract section 5).
//!
//! Promise: each event is pushed at least once; whoever shows it knows it by its `event_id`.
//!
//! On a retry: it is pushed again.

use bitflow_portal::listen::{self, ListenError};
use bitflow_portal::pushes::push;
use bitflow_realtime::Pusher;
use bitflow_realtime::auth::App;
use bitflow_runtime::clock;
use bitflow_runtime::config::{self, Config, Variable};
use bitflow_runtime::sqs::{self, Message};

/// What the function is configured by.
pub const VARIABLES: &[Variable] = &[
    config::PUSHER_APP_ID,
    config::PUSHER_APP_KEY,
    config::PUSHER_APP_SECRET,
    config::PUSHER_API_BASE,
];

/// What every message shares.
#[derive(Debug)]
pub struct Cx {
    pusher: Pusher,
}

impl Cx {
    /// Nothing is connected before the first message.
    pub fn new(config: &Config) -> Self {
        let app = App {
            id: config.text(config::PUSHER_APP_ID).to_owned(),
            key: config.text(config::PUSHER_APP_KEY).to_owned(),
            secret: config.secret(config::PUSHER_APP_SECRET),
        };
        Self {
            pusher: Pusher::new(config.url(config::PUSHER_API_BASE), app),
        }
    }
}

/// Handles one event.
pub async fn handle(cx: &Cx, message: Message<'_>) -> Result<(), ListenError> {
    let event = listen::decode(message.body)?;
    sqs::correlate(&event.correlation_id);
    if push(&cx.pusher, &event, clock::now()).await? {
        tracing::info!(
            target: "bitflow::outcome",
            event_id = %event.event_id,
            event_type = event.payload.kind(),
            "event pushed",
        );
        Ok(())
    } else {
        Err(ListenError::Unexpected {
            kind: event.payload.kind(),
        })
    }
}
