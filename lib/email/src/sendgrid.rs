//! SendGrid's v3 `mail/send`.
//! <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bitflow_fault::{Class, Fault};
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use url::Url;

use crate::message::{Message, one_line};

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

/// An address with a name. `Debug` shows neither: logs hold no personal data.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Mailbox {
    /// The address.
    pub email: String,
    /// The name; may be empty.
    #[serde(
        serialize_with = "display_name",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox(..)")
    }
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
    /// What the mail calls it.
    pub university_name: String,
}

/// SendGrid took a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `X-Message-Id`; the sandbox gives none.
    pub message_id: Option<String>,
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
        /// SendGrid's messages, each after its field; without what they quote of the mail.
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

    /// Hands a mail to SendGrid, which queues it (its sandbox only checks it). There is no
    /// idempotency key: twice is two mails.
    ///
    /// # Errors
    /// [`EmailError::Unreachable`]: the mail may have been sent, and another try may send it twice.
    /// [`EmailError::Refused`]: it was not. Whether another try may help is its class: 408, 429 and
    /// 5xx pass; 400 and 413 are of this mail, any other of our key or sender.
    pub async fn send(&self, email: &Email<'_>) -> Result<Sent, EmailError> {
        let sent = self.hand_over(email).await;
        metrics::counter!("Mails", "Outcome" => outcome(&sent)).increment(1);
        sent
    }

    async fn hand_over(&self, email: &Email<'_>) -> Result<Sent, EmailError> {
        let rendered = email.message.render(&email.university_name);
        let sent = [
            self.settings.api_key.expose_secret(),
            &email.to.name,
            &email.university_name,
            &rendered.subject,
        ];
        let sent = sent.into_iter().chain(rendered.text.lines());
        let sent: Vec<String> = sent.map(|part| part.trim().to_owned()).collect();
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
            // Tracking would lead each link through a host of SendGrid's, the one on which an
            // invoice is paid too; and nobody unsubscribes from what is owed.
            "tracking_settings": {
                "click_tracking": { "enable": false, "enable_text": false },
                "open_tracking": { "enable": false },
                "subscription_tracking": { "enable": false },
            },
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
            let id = answer.headers().get("x-message-id");
            return Ok(Sent {
                message_id: id
                    .and_then(|id| id.to_str().ok())
                    .filter(|id| !id.is_empty())
                    .map(str::to_owned),
            });
        }
        // The status alone says what it means; the body only tells why.
        let body = answer.bytes().await.unwrap_or_default();
        Err(EmailError::Refused {
            status,
            reason: reason(&body, &sent),
        })
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(10))
                // A mail goes where it was configured to go, or nowhere.
                .redirect(Policy::none())
                .build()
                .expect("the client has no setting that can fail")
        })
    }
}

/// What came of a mail, as it is counted: `refused` is for good, the others are tried again.
fn outcome(sent: &Result<Sent, EmailError>) -> &'static str {
    match sent {
        Ok(_) => "sent",
        Err(EmailError::Unreachable(_)) => "unanswered",
        Err(refused) => match refused.class() {
            Class::TooMany => "throttled",
            Class::Busy => "failed",
            _ => "refused",
        },
    }
}

/// Longest message of SendGrid's that is passed on, bytes; its own are sentences.
const LONGEST: usize = 300;

/// What SendGrid complains of, one after the other: for a log, so without what was `sent`.
fn reason(body: &[u8], sent: &[String]) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        message: String,
        field: Option<String>,
    }
    let errors = serde_json::from_slice::<Body>(body)
        .map(|body| body.errors)
        .unwrap_or_default();
    let reasons: Vec<_> = errors
        .into_iter()
        .map(|entry| {
            let mut sent = sent.iter().filter(|part| !part.is_empty());
            let message =
                if entry.message.len() > LONGEST || sent.any(|part| entry.message.contains(part)) {
                    "a message that quotes the mail".to_owned()
                } else {
                    without_addresses(&entry.message)
                };
            match entry.field {
                Some(field) => format!("{field}: {message}"),
                None => message,
            }
        })
        .collect();
    if reasons.is_empty() {
        "no reason given".to_owned()
    } else {
        reasons.join("; ")
    }
}

/// SendGrid quotes the address it complains of: every word with an `@` goes.
fn without_addresses(message: &str) -> String {
    let words = message.split_whitespace();
    let kept = words.map(|word| {
        if word.contains('@') {
            "[address]"
        } else {
            word
        }
    });
    kept.collect::<Vec<_>>().join(" ")
}

/// A name as SendGrid shows it right: it cuts an unquoted one at a comma or semicolon
/// (<https://github.com/sendgrid/sendgrid-python/issues/578>).
fn display_name<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let name = one_line(name);
    if name.contains([',', ';']) {
        serializer.serialize_str(&format!("\"{}\"", name.replace('"', "'")))
    } else {
        serializer.serialize_str(&name)
    }
}
