//! E-mail: what each says, and how SendGrid is told to send it.
//!
//! - [`message`]: one type for each e-mail, rendered from compile-time checked templates
//!   (`templates/<name>/email.{html,txt}`; what they share lies beside the folders)
//! - [`mod@format`]: amounts, days, invoices and links as people read them
//! - [`sendgrid`]: SendGrid's v3 `mail/send`

pub mod format;
pub mod message;
pub mod sendgrid;
