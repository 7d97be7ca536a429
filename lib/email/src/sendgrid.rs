//! SendGrid's v3 `mail/send`.
//! <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>

use std::sync::OnceLock;
use std::time::Duration;

use bitflow_fault::{Class, Fault};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::message::Message;

/// SendGrid.
#[derive(Debug)]
pub struct SendGrid {
    settings: Settings,
    /// Built on the first mail.
    http: OnceLock<reqwest::Client>,
}

/// Where and as whom to send.
#[derive(Debug)]
pub struct Settings {
    /// `https://api.sendgrid.com`.
    pub base: Url,
    /// `SG.…`
    pub api_key: SecretString,
    /// Who it comes from.
    pub from: Mailbox,
    /// SendGrid checks each mail and delivers none.
    pub sandbox: bool,
}

/// An address with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mailbox {
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
}

/// One mail to one mailbox.
#[derive(Debug)]
pub struct Email<'a> {
    /// Whom it goes to.
    pub to: Mailbox,
    /// What it says.
    pub message: &'a Message,
    /// The event it follows from; a custom argument, so that SendGrid's own events name it.
    pub event_id: String,
    /// The university it is about; a custom argument too.
    pub university_id: String,
}

/// SendGrid did not take the mail, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// No answer came back: it may have been sent.
    #[error("SendGrid mail/send got no answer")]
    Unreachable(#[source] reqwest::Error),
    /// SendGrid answered that it did not take it.
    #[error("SendGrid mail/send was refused with {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The fields at fault. Without SendGrid's messages, which may quote an address.
        reason: String,
    },
}

impl Fault for EmailError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Busy,
            Self::Refused { status, .. } => match status.as_u16() {
                429 => Class::TooMany,
                408 | 500.. => Class::Busy,
                400 | 413 => Class::Invalid,
                // The key is wrong or lacks the permission: ours to mend.
                _ => Class::Broken,
            },
        }
    }
}

impl SendGrid {
    /// Nothing is built or connected before the first mail.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            http: OnceLock::new(),
        }
    }

    /// Hands a mail to SendGrid. There is no idempotency key: twice is two mails.
    pub async fn send(&self, email: &Email<'_>) -> Result<(), EmailError> {
        let rendered = email.message.render();
        let body = json!({
            "personalizations": [{
                "to": [email.to],
                "custom_args": { "event_id": email.event_id, "university_id": email.university_id },
            }],
            "from": self.settings.from,
            "subject": rendered.subject,
            // In order of preference, the plainest first (RFC 2046 §5.1.4; SendGrid insists).
            "content": [
                { "type": "text/plain", "value": rendered.text },
                { "type": "text/html", "value": rendered.html },
            ],
            "categories": [rendered.category],
            "mail_settings": { "sandbox_mode": { "enable": self.settings.sandbox } },
        });
        let mut url = self.settings.base.clone();
        url.set_path(&format!(
            "{}/v3/mail/send",
            url.path().trim_end_matches('/')
        ));
        let unreachable = |error: reqwest::Error| EmailError::Unreachable(error.without_url());
        let answer = self
            .http()
            .post(url)
            .bearer_auth(self.settings.api_key.expose_secret())
            .json(&body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = answer.bytes().await.map_err(unreachable)?;
        Err(EmailError::Refused {
            status,
            reason: reason(&body),
        })
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(10))
                .build()
                .expect("the client has no setting that can fail")
        })
    }
}

/// The fields that SendGrid complains of.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        field: Option<String>,
    }
    let errors = serde_json::from_slice::<Body>(body)
        .map(|body| body.errors)
        .unwrap_or_default();
    let fields: Vec<_> = errors.into_iter().filter_map(|entry| entry.field).collect();
    if fields.is_empty() {
        "no field named".to_owned()
    } else {
        fields.join(", ")
    }
}
