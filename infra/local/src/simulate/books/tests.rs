//! The books must notice: each thing that goes wrong, by its own line.

use serde_json::json;

use super::*;
use crate::simulate::expected::Manual;
use crate::simulate::expected::ManualState;

const END: i64 = 1_767_225_600;

/// One university, one month of one manual plan, paid by card.
fn good() -> (Books, Expected) {
    let event = |id: &str, kind: &str, data: Value| json!({ "event_id": id, "type": kind, "university_id": "u", "data": data });
    let due = json!({ "invoice_id": "i", "amount_due": { "amount": 500 } });
    let paid = json!({ "payment_id": "p", "amount": { "amount": 500 } });
    let events = vec![
        event("1", "UniversityCreated", json!({})),
        event("2", "InvoiceGenerated", due),
        event("3", "PaymentProcessed", paid),
    ];
    let mails = ["1", "2", "3"].map(|id| (id.to_owned(), "to".to_owned()));
    let activities = ["1", "2", "3"].map(|id| json!({ "activity_id": id }));
    let invoice = json!({
        "invoice_id": "i", "stripe_invoice_id": "in_1", "subscription_id": "s", "status": "paid",
        "period_start": "2026-01-01T00:00:00Z", "amount_due": 500, "currency": "USD",
        "items": [{ "amount": 500 }],
    });
    let payment = json!({
        "payment_id": "p", "invoice_id": "i", "amount": 500, "currency": "USD",
        "amount_refunded": 0, "stripe_payment_intent_id": "pi_1", "method": "card",
    });
    let books = Books {
        universities: vec![json!({ "university_id": "u", "primary_email": "to" })],
        subscriptions: vec![json!({ "subscription_id": "s", "status": "active" })],
        invoices: vec![invoice],
        payments: vec![payment],
        outbox: vec![json!({ "event_id": "1" })],
        events,
        activities: activities.into(),
        mails: mails.into(),
        at_stripe: AtStripe {
            customers: 1,
            subscriptions: Vec::new(),
            invoices: vec![json!({
                "id": "in_1", "status": "paid", "metadata": { "invoice_id": "i" },
                "amount_due": 500, "amount_paid": 500, "currency": "usd", "created": END,
            })],
            charges: vec![json!({
                "payment_intent": "pi_1", "status": "succeeded", "amount": 500, "currency": "usd",
                "amount_refunded": 0, "disputed": false,
                "payment_method_details": { "type": "card" },
            })],
        },
        dead_letters: Vec::new(),
        pending: Vec::new(),
        stripe_requests: 0,
    };
    let mut expected = Expected::default();
    expected.manual.push(Manual {
        university: 0,
        id: "s".to_owned(),
        amount: 500,
        currency: "USD".to_owned(),
        free: "2025-12".to_owned(),
        state: ManualState::Active,
        cancel: None,
    });
    expected.month_begins("2026-01");
    (books, expected)
}

/// What the books say after something went wrong.
fn notices(wrong: impl FnOnce(&mut Books, &mut Expected), expect: &[&str]) {
    let (mut books, mut expected) = good();
    wrong(&mut books, &mut expected);
    let seen = check(&books, &expected, &BTreeMap::new());
    let noticed = |words: &&&str| !seen.iter().any(|line| line.contains(**words));
    let missed: Vec<_> = expect.iter().filter(noticed).collect();
    assert!(missed.is_empty(), "{missed:?} is not in {seen:#?}");
    assert_eq!(seen.is_empty(), expect.is_empty(), "{seen:#?}");
}

#[test]
fn good_books_hold() {
    notices(|_, _| {}, &[]);
}

#[test]
fn invoices_too_many_too_few_or_other() {
    notices(
        |_, it| it.month_begins("2026-02"),
        &["s for 2026-02 has 0 invoices"],
    );
    let twice = |it: &mut Books, _: &mut Expected| {
        let mut copy = it.at_stripe.invoices[0].clone();
        copy["id"] = "in_2".into();
        it.at_stripe.invoices.push(copy);
    };
    notices(
        twice,
        &[
            "i is at Stripe more than once",
            "in_2 is stored so many times: 0",
        ],
    );
    let stored_twice = |it: &mut Books, _: &mut Expected| it.invoices.push(it.invoices[0].clone());
    notices(
        stored_twice,
        &["in_1 is stored so many times: 2", "has 2 invoices"],
    );
    notices(|_, it| it.billed.clear(), &["s was not active in 2026-01"]);
    notices(
        |it, _| it.invoices[0]["status"] = "open".into(),
        &["in_1 is open, and paid"],
    );
    notices(
        |it, _| it.invoices[0]["amount_due"] = 400.into(),
        &["in_1's amount: 400"],
    );
    notices(
        |it, _| it.at_stripe.invoices[0]["status"] = "draft".into(),
        &["or a draft there"],
    );
    notices(
        |it, _| it.subscriptions[0]["status"] = "cancelled".into(),
        &["manual plan s"],
    );
}

#[test]
fn money_that_differs() {
    notices(
        |it, _| it.payments.clear(),
        &["in_1 is paid, and has 0", "the sums differ"],
    );
    let twice = |it: &mut Books, _: &mut Expected| it.payments.push(it.payments[0].clone());
    notices(twice, &["in_1 is paid, and has 2", "the sums differ"]);
    notices(
        |it, _| it.payments[0]["amount"] = 1.into(),
        &["the payment of in_1: 1 USD"],
    );
    let refunded = |it: &mut Books, _: &mut Expected| {
        it.at_stripe.charges[0]["amount_refunded"] = 5.into();
    };
    notices(
        refunded,
        &["refunded of in_1: 0, and should be 5", "the sums differ"],
    );
    let disputed = |it: &mut Books, _: &mut Expected| {
        it.at_stripe.charges[0]["disputed"] = true.into();
    };
    notices(disputed, &["in_1 is disputed"]);
}

#[test]
fn what_was_told_too_often_or_not() {
    notices(
        |it, _| drop(it.mails.remove(1)),
        &["InvoiceGenerated 2 has 0 mails"],
    );
    notices(
        |it, _| it.mails.push(it.mails[1].clone()),
        &["1 mails came again, and 0 may"],
    );
    notices(|it, _| it.mails[1].1 = "other".to_owned(), &["went to"]);
    notices(
        |it, _| drop(it.events.remove(2)),
        &["PaymentProcessed of p: 0", "a mail of no event"],
    );
    let twice = |it: &mut Books, _: &mut Expected| {
        let mut copy = it.events[1].clone();
        copy["event_id"] = "4".into();
        it.events.push(copy);
    };
    notices(
        twice,
        &["InvoiceGenerated of i: 2", "line in the history of 4: 0"],
    );
    let reminder = ("in_1".to_owned(), 7);
    notices(
        |_, it| it.reminders.extend([reminder]),
        &["a reminder did not come"],
    );
    notices(
        |_, it| it.warnings.extend([("s".to_owned(), END)]),
        &["a warning did not"],
    );
}

#[test]
fn what_was_left_lying() {
    notices(
        |it, _| it.outbox[0]["pending"] = "0".into(),
        &["waits in the outbox"],
    );
    notices(
        |it, _| it.pending.push("a queue".to_owned()),
        &["still going on"],
    );
    let dead = ("dead".to_owned(), vec!["body".to_owned()]);
    notices(
        |it, _| it.dead_letters.push(dead),
        &["dead letter in dead: body"],
    );
    notices(
        |it, _| it.at_stripe.customers = 2,
        &["customers at Stripe: 2"],
    );
}
