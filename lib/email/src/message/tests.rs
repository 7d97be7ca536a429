//! What each mail says, in full.

use super::*;
use crate::format::{Amount, Bytes, Invoice, Link};
use jiff::Timestamp;

fn check(name: &str, message: Message) {
    let Rendered {
        subject,
        html,
        text,
        category,
    } = message.render("Uppsala universitet");
    assert!(
        text.lines()
            .all(|line| line.len() <= 78 || line.contains("://")),
        "{text}"
    );
    let mail =
        format!("category: {category}\nsubject: {subject}\n--- text\n{text}\n--- html\n{html}");
    insta::assert_snapshot!(name, mail);
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn number() -> Invoice {
    Invoice::new(Some("UU-0042".to_owned()))
}

fn amount() -> Amount {
    Amount {
        minor: 123_450,
        currency: "USD".to_owned(),
        decimals: 2,
    }
}

fn page() -> Option<Link> {
    let link = Link::parse("https://invoice.stripe.com/i/acct_1/live_1?s=ap&x=1");
    assert!(link.is_some());
    link
}

fn welcome() -> Welcome {
    Welcome {
        domain: "portal.uu.example".to_owned(),
        storage_quota: Bytes(500_000_000_000),
    }
}

fn failed() -> PaymentFailed {
    PaymentFailed {
        invoice: number(),
        amount_due: amount(),
        next_attempt_at: Some(time("2025-11-13T02:00:00Z")),
        pay_url: page(),
    }
}

fn reminder(reminded_at: &str) -> PaymentReminder {
    PaymentReminder {
        invoice: number(),
        amount_due: amount(),
        due_at: time("2025-11-13T00:00:00Z"),
        reminded_at: time(reminded_at),
        pay_url: page(),
    }
}

fn downtime() -> SystemDowntime {
    SystemDowntime {
        title: "Scheduled Maintenance".to_owned(),
        message: "System will be down for 2 hours.\nSave your work before.\n\nWe are sorry for the trouble.".to_owned(),
        scheduled_at: time("2025-11-15T02:00:00Z"),
    }
}

#[test]
fn welcomes() {
    check("welcome", Message::Welcome(welcome()));
}

#[test]
fn invoices() {
    let mail = InvoiceGenerated {
        invoice: number(),
        amount_due: amount(),
        due_at: time("2025-11-30T00:00:00Z"),
        pay_url: page(),
    };
    check("invoice_generated", Message::InvoiceGenerated(mail.clone()));
    let bare = InvoiceGenerated {
        invoice: Invoice::new(None),
        pay_url: None,
        ..mail
    };
    check("invoice_generated_bare", Message::InvoiceGenerated(bare));
    let mail = InvoiceVoided {
        invoice: number(),
        amount: amount(),
    };
    check("invoice_voided", Message::InvoiceVoided(mail.clone()));
    let bare = InvoiceVoided {
        invoice: Invoice::new(None),
        ..mail
    };
    check("invoice_voided_bare", Message::InvoiceVoided(bare));
}

#[test]
fn payments() {
    let mail = PaymentReceived {
        invoice: number(),
        amount: amount(),
        method: Some("sepa_debit".to_owned()),
        paid_at: time("2025-11-13T02:00:00Z"),
    };
    check("payment_received", Message::PaymentReceived(mail.clone()));
    let bare = PaymentReceived {
        invoice: Invoice::new(None),
        method: None,
        ..mail
    };
    check("payment_received_bare", Message::PaymentReceived(bare));
    check("payment_failed", Message::PaymentFailed(failed()));
    let bare = PaymentFailed {
        invoice: Invoice::new(None),
        next_attempt_at: None,
        pay_url: None,
        ..failed()
    };
    check("payment_failed_bare", Message::PaymentFailed(bare));
    let mail = PaymentActionRequired {
        invoice: number(),
        amount_due: amount(),
        confirm_url: page(),
    };
    check(
        "payment_action_required",
        Message::PaymentActionRequired(mail.clone()),
    );
    let bare = PaymentActionRequired {
        invoice: Invoice::new(None),
        confirm_url: None,
        ..mail
    };
    check(
        "payment_action_required_bare",
        Message::PaymentActionRequired(bare),
    );
}

#[test]
fn reminders() {
    for (name, reminded_at) in [
        ("payment_reminder_early", "2025-11-10T09:00:00Z"),
        ("payment_reminder", "2025-11-14T09:00:00Z"),
        ("payment_reminder_firm", "2025-11-27T09:00:00Z"),
    ] {
        check(name, Message::PaymentReminder(reminder(reminded_at)));
    }
    let bare = PaymentReminder {
        invoice: Invoice::new(None),
        pay_url: None,
        ..reminder("2025-11-20T09:00:00Z")
    };
    check("payment_reminder_bare", Message::PaymentReminder(bare));
}

#[test]
fn subscriptions() {
    let at = time("2025-12-01T00:00:00Z");
    for (name, end) in [
        ("subscription_cancelled", End::Was(at)),
        ("subscription_cancelled_at_period_end", End::WillBe(at)),
    ] {
        let mail = SubscriptionCancelled { end };
        check(name, Message::SubscriptionCancelled(mail));
    }
    for (name, given_up) in [
        ("subscription_past_due", false),
        ("subscription_past_due_given_up", true),
    ] {
        let mail = SubscriptionPastDue { given_up };
        check(name, Message::SubscriptionPastDue(mail));
    }
    for (name, what) in [
        ("subscription_expiring", Expiring::Subscription),
        ("subscription_expiring_trial", Expiring::Trial),
    ] {
        let mail = SubscriptionExpiring { what, ends_at: at };
        check(name, Message::SubscriptionExpiring(mail));
    }
}

#[test]
fn warnings() {
    let mail = StorageWarning {
        usage_percentage: "91.5".to_owned(),
        used: Bytes(457_500_000_000),
        quota: Bytes(500_000_000_000),
    };
    check("storage_warning", Message::StorageWarning(mail));
    check("system_downtime", Message::SystemDowntime(downtime()));
}

#[test]
fn names_are_escaped_in_html_only() {
    let mail = Message::Welcome(welcome()).render("<b>A&M</b>");
    assert!(!mail.html.contains("<b>A"), "{}", mail.html);
    assert!(mail.text.contains("<b>A&M</b>"));
    assert_eq!(mail.subject, "Welcome to Bitflow, <b>A&M</b>");
    let invoice = Invoice::new(Some("<i>1</i>".to_owned()));
    let mail = PaymentReceived {
        invoice,
        amount: amount(),
        method: Some("<u>cash</u>".to_owned()),
        paid_at: Timestamp::UNIX_EPOCH,
    };
    let mail = Message::PaymentReceived(mail).render("<b>A&M</b>");
    for tag in ["<b>", "<i>", "<u>"] {
        assert!(!mail.html.contains(tag), "{}", mail.html);
        assert!(mail.text.contains(tag), "{}", mail.text);
    }
    // Macros hand what they are given on as it is: nothing is escaped twice.
    assert!(mail.html.contains("&#60;u&#62;cash"), "{}", mail.html);
    assert!(mail.html.contains("&#60;b&#62;A&#38;M"), "{}", mail.html);
}

#[test]
fn what_an_admin_wrote_is_escaped_too() {
    let mail = SystemDowntime {
        title: "<b>Now</b>".to_owned(),
        message: "<script>1</script>".to_owned(),
        ..downtime()
    };
    let mail = Message::SystemDowntime(mail).render("Uppsala");
    for tag in ["<b>", "<script>"] {
        assert!(!mail.html.contains(tag), "{}", mail.html);
        assert!(mail.text.contains(tag), "{}", mail.text);
    }
    assert!(mail.html.contains("&#60;script&#62;1"), "{}", mail.html);
}

#[test]
fn a_subject_is_one_line() {
    let mail = Message::Welcome(welcome()).render("Uppsala\r\nBcc: all@uu.example");
    assert_eq!(
        mail.subject,
        "Welcome to Bitflow, Uppsala Bcc: all@uu.example"
    );
    let mail = PaymentFailed {
        invoice: Invoice::new(Some("1\r\nBcc: all@uu.example".to_owned())),
        ..failed()
    };
    let mail = Message::PaymentFailed(mail).render("Uppsala");
    assert_eq!(
        mail.subject,
        "Payment failed for invoice 1 Bcc: all@uu.example"
    );
}
