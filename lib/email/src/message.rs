//! One type for each e-mail (contract section 1.3, "Email Types").

use askama::Template;
use jiff::Timestamp;

use crate::format::{Amount, time};

/// Any e-mail we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A university was onboarded.
    Welcome(Welcome),
    /// A payment failed.
    PaymentFailed(PaymentFailed),
}

/// "University welcome email".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Its name.
    pub university_name: String,
    /// Where its portal is.
    pub domain: String,
    /// What it may store, bytes.
    pub storage_quota: u64,
}

/// "Payment failure alert".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFailed {
    /// Whose payment.
    pub university_name: String,
    /// The number people read.
    pub invoice_number: Option<String>,
    /// What is still to be paid.
    pub amount_due: Amount,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Where it can be paid.
    pub pay_url: Option<String>,
}

/// An e-mail as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject.
    pub subject: String,
    /// For clients that show HTML.
    pub html: String,
    /// For those that do not.
    pub text: String,
    /// SendGrid's category, for its statistics.
    pub category: &'static str,
}

impl Message {
    /// Subject, both bodies and category.
    pub fn render(&self) -> Rendered {
        match self {
            Self::Welcome(mail) => Rendered {
                subject: one_line(&format!("Welcome to Bitflow, {}", mail.university_name)),
                html: rendered(&WelcomeHtml { mail }),
                text: rendered(&WelcomeText { mail }),
                category: "welcome",
            },
            Self::PaymentFailed(mail) => Rendered {
                subject: match &mail.invoice_number {
                    Some(number) => one_line(&format!("Payment failed for invoice {number}")),
                    None => "A payment failed".to_owned(),
                },
                html: rendered(&PaymentFailedHtml { mail }),
                text: rendered(&PaymentFailedText { mail }),
                category: "payment_failed",
            },
        }
    }
}

impl Welcome {
    /// `500 GB`, as people count storage.
    fn quota(&self) -> String {
        const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
        let mut unit = 0;
        let (mut whole, mut rest) = (self.storage_quota, 0);
        while whole >= 1000 && unit + 1 < UNITS.len() {
            (whole, rest) = (whole / 1000, whole % 1000);
            unit += 1;
        }
        match (rest / 100, whole) {
            (0, _) | (_, 100..) => format!("{whole} {}", UNITS[unit]),
            (tenth, _) => format!("{whole}.{tenth} {}", UNITS[unit]),
        }
    }
}

impl PaymentFailed {
    fn invoice(&self) -> String {
        self.invoice_number.as_ref().map_or_else(
            || "your invoice".to_owned(),
            |number| format!("invoice {number}"),
        )
    }

    fn next_attempt(&self) -> Option<String> {
        self.next_attempt_at.map(time)
    }
}

/// `text` on one line: a line break in a subject or a name would start another header.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|it: char| it.is_whitespace() || it.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Templates are checked when they are compiled; only a broken `Display` could fail here.
fn rendered(template: &impl Template) -> String {
    template
        .render()
        .expect("everything a template shows can be shown")
}

#[derive(Template)]
#[template(path = "welcome/email.html")]
struct WelcomeHtml<'a> {
    mail: &'a Welcome,
}

#[derive(Template)]
#[template(path = "welcome/email.txt")]
struct WelcomeText<'a> {
    mail: &'a Welcome,
}

#[derive(Template)]
#[template(path = "payment_failed/email.html")]
struct PaymentFailedHtml<'a> {
    mail: &'a PaymentFailed,
}

#[derive(Template)]
#[template(path = "payment_failed/email.txt")]
struct PaymentFailedText<'a> {
    mail: &'a PaymentFailed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, message: &Message) {
        let Rendered {
            subject,
            html,
            text,
            category,
        } = message.render();
        insta::assert_snapshot!(
            name,
            format!("category: {category}\nsubject: {subject}\n--- text\n{text}\n--- html\n{html}")
        );
    }

    fn welcome(university_name: &str, storage_quota: u64) -> Welcome {
        Welcome {
            university_name: university_name.to_owned(),
            domain: "portal.uu.example".to_owned(),
            storage_quota,
        }
    }

    fn payment_failed() -> PaymentFailed {
        PaymentFailed {
            university_name: "Uppsala universitet".to_owned(),
            invoice_number: Some("UU-0042".to_owned()),
            amount_due: Amount {
                minor: 123_450,
                currency: "USD".to_owned(),
            },
            next_attempt_at: Some(Timestamp::from_second(1_762_999_200).unwrap()),
            pay_url: Some("https://invoice.stripe.com/i/acct_1/live_1?s=ap&x=1".to_owned()),
        }
    }

    #[test]
    fn every_mail() {
        check(
            "welcome",
            &Message::Welcome(welcome("Uppsala universitet", 500_000_000_000)),
        );
        check("payment_failed", &Message::PaymentFailed(payment_failed()));
        let bare = PaymentFailed {
            invoice_number: None,
            next_attempt_at: None,
            pay_url: None,
            ..payment_failed()
        };
        check("payment_failed_bare", &Message::PaymentFailed(bare));
    }

    #[test]
    fn names_are_escaped_in_html_only() {
        let mail = Message::Welcome(welcome("<b>A&M</b>", 1)).render();
        assert!(!mail.html.contains("<b>A"), "{}", mail.html);
        assert!(mail.text.contains("<b>A&M</b>"));
        assert_eq!(mail.subject, "Welcome to Bitflow, <b>A&M</b>");
    }

    #[test]
    fn a_subject_is_one_line() {
        let mail = Message::Welcome(welcome("Uppsala\r\nBcc: all@uu.example", 1)).render();
        assert_eq!(
            mail.subject,
            "Welcome to Bitflow, Uppsala Bcc: all@uu.example"
        );
    }

    #[test]
    fn quotas() {
        for (bytes, expect) in [
            (1, "1 bytes"),
            (1500, "1.5 kB"),
            (500_000_000_000, "500 GB"),
            (1_099_511_627_776, "1 TB"),
            (1 << 50, "1.1 PB"),
        ] {
            assert_eq!(welcome("x", bytes).quota(), expect);
        }
    }
}
