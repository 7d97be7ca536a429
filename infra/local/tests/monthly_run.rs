//! The monthly run: an invoice for each subscription and month, once, whatever is run again or
//! dies; and the daily jobs beside it.

mod support;

use bitflow_domain::billing::invoice::{Invoice, InvoiceStatus};
use bitflow_domain::billing::month::Month;
use bitflow_domain::id::UniversityId;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::json;
use support::{TestStack, real_now, text};

const RUN: &str = "generate-monthly-invoices-job";

/// The run after the next change of the month: what is made today is billed from then on.
fn next_run() -> Month {
    Month::containing(real_now()).next()
}

fn first(month: Month) -> String {
    month.period().start.to_string()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

impl TestStack {
    async fn invoices_of(&self, university: UniversityId) -> Vec<Invoice> {
        let page = bitflow_store::page::PageRequest {
            limit: 100,
            cursor: None,
        };
        let listed = self.invoices().of_university(university, &page).await;
        listed.expect("read").data
    }
}

#[tokio::test]
async fn a_manual_plan_gets_one_invoice_a_month() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let plan = stack.manual_plan(university, 9900).await;
    stack.settle().await;
    let (one, two) = (next_run(), next_run().next());

    stack.fire(RUN, &first(Month::containing(real_now()))).await;
    stack.settle().await;
    assert!(
        stack.invoices_of(university).await.is_empty(),
        "free until the 1st"
    );
    for run in [one, one, two, one] {
        stack.fire(RUN, &first(run)).await;
        stack.settle().await;
    }
    let invoices = stack.invoices_of(university).await;
    let mut periods: Vec<_> = invoices.iter().map(|it| it.period.unwrap()).collect();
    periods.sort_by_key(|period| period.start);
    assert_eq!(periods, [one.period(), two.period()]);
    for invoice in &invoices {
        assert_eq!(invoice.subscription_id, Some(plan));
        assert_eq!(invoice.amount_due.amount, 9900);
        assert_eq!(invoice.due_at, invoice.created_at + days(14));
    }
    let at_stripe = stack.stripe.objects_of("invoice", &customer);
    assert_eq!(at_stripe.len(), 2);
    let generated = |kind: &&String| *kind == "InvoiceGenerated";
    let events = stack.events(university).await;
    assert_eq!(events.iter().filter(generated).count(), 2);
    let of_run = |it: &&_| text_of(it).starts_with("Invoice ");
    assert_eq!(stack.mails().iter().filter(of_run).count(), 2);
    let activity = stack.activity(university).await;
    assert_eq!(
        activity
            .iter()
            .filter(|it| *it == "invoice_generated")
            .count(),
        2
    );

    // An invoice takes three calls.
    let asked = stack.stripe.requests();
    let calls = asked.iter().filter(|it| it.path.starts_with("/v1/invoice"));
    assert_eq!(calls.count(), 6);
    stack.finish().await;
}

fn text_of(mail: &bitflow_local::simulators::sendgrid::Mail) -> &str {
    &mail.subject
}

#[tokio::test]
async fn what_stripe_bills_is_adopted_and_not_billed_again() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let (_, stripe_id) = stack.subscription(university).await;
    let first_invoice = text(&stack.stripe.object(&stripe_id).unwrap()["latest_invoice"]);
    stack.stripe.pay(&first_invoice).unwrap();
    stack.settle().await;
    // A cycle whose webhooks are still on their way: the run is first.
    stack.stripe.hold_deliveries();
    stack.stripe.advance(&stripe_id).unwrap();
    stack.fire(RUN, &first(next_run())).await;
    stack.settle().await;
    assert_eq!(
        stack.invoices_of(university).await.len(),
        2,
        "adopted by the run"
    );
    let held: Vec<_> = stack
        .stripe
        .held()
        .iter()
        .map(|it| text(&it["id"]))
        .collect();
    let held: Vec<_> = held.iter().map(String::as_str).collect();
    stack.stripe.release(&held).await;
    stack.settle().await;

    let invoices = stack.invoices_of(university).await;
    assert_eq!(invoices.len(), 2);
    assert_eq!(stack.stripe.objects_of("invoice", &customer).len(), 2);
    let mailed = |number: &Option<String>| {
        let subject = format!("Invoice {} from Bitflow", number.as_deref().unwrap());
        stack
            .mails()
            .iter()
            .filter(|it| it.subject == subject)
            .count()
    };
    for invoice in &invoices {
        assert_eq!(mailed(&invoice.number), 1, "{:?}", invoice.number);
    }
    stack.finish().await;
}

#[tokio::test]
async fn whatever_dies_each_plan_is_billed_once() {
    let stack = TestStack::start().await;
    let mut universities = Vec::new();
    for name in ["Aachen", "Bologna", "Cambridge"] {
        let (university, customer) = stack.onboarded(name).await;
        for cents in [1000, 2000, 3000, 4000] {
            stack.manual_plan(university, cents).await;
        }
        universities.push((university, customer));
    }
    stack.settle().await;
    // In each month the dispatcher dies while it works, and the listener with Stripe's answer to
    // another of its calls in its hands.
    let mut month = next_run();
    for call in ["/v1/invoices", "/v1/invoiceitems", "/v1/invoices/in_"] {
        let held = stack.stripe.hold_answer(call);
        let at = month.period().start;
        let (fired, killed) = tokio::join!(stack.scheduler.fire(RUN, at), stack.lambda.kill(RUN));
        killed.unwrap();
        // Whether it came to its end before it died is left to chance.
        drop(fired);
        stack.fire(RUN, &at.to_string()).await;
        held.taken_effect().await;
        stack.lambda.kill("invoice-listener").await.unwrap();
        held.release();
        stack.settle().await;
        stack.fire(RUN, &at.to_string()).await;
        stack.settle().await;
        month = month.next();
    }
    let each_month = |amounts: [i64; 4]| amounts.map(|it| [it; 3]).concat();
    let expected = each_month([1000, 2000, 3000, 4000]);
    for (university, customer) in &universities {
        let amounts = |it: &mut Vec<i64>| it.sort_unstable();
        let mut ours: Vec<_> = stack
            .invoices_of(*university)
            .await
            .iter()
            .map(|it| it.amount_due.amount)
            .collect();
        amounts(&mut ours);
        assert_eq!(ours, expected);
        let mut at_stripe: Vec<_> = stack
            .stripe
            .objects_of("invoice", customer)
            .iter()
            .map(|it| it["amount_due"].as_i64().unwrap())
            .collect();
        amounts(&mut at_stripe);
        assert_eq!(at_stripe, ours);
        let events = stack.events(*university).await;
        let generated = events.iter().filter(|it| *it == "InvoiceGenerated");
        assert_eq!(generated.count(), 12);
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_plan_that_was_cancelled_for_its_end_is_warned_of_and_ends() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let plan = stack.manual_plan(university, 9900).await;
    let path = format!("/api/admin/universities/{university}/subscriptions/{plan}");
    let ending = format!("{path}?at_period_end=true");
    stack.call(Method::DELETE, &ending, None).await;
    stack.settle().await;
    let end = next_run().period().start;
    let warn = async |before: i64| {
        let at = (end - days(before)).to_string();
        stack.fire("warn-expiring-subscriptions-job", &at).await;
        stack.settle().await;
        let events = stack.events(university).await;
        events
            .iter()
            .filter(|it| *it == "SubscriptionExpiring")
            .count()
    };
    assert_eq!(warn(8).await, 0, "too early");
    assert_eq!(warn(7).await, 1);
    assert_eq!(warn(7).await, 1, "again");
    assert_eq!(warn(1).await, 1, "later");
    stack.fire(RUN, &first(next_run())).await;
    stack.settle().await;
    assert!(stack.invoices_of(university).await.is_empty());
    assert_eq!(stack.get(&path).await.1["status"], "cancelled");
    stack.finish().await;
}

#[tokio::test]
async fn an_overdue_invoice_is_reminded_of_once_for_each_step() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let path = format!("/api/admin/universities/{university}/invoices");
    let body = json!({ "days_until_due": 10, "items": [{ "description": "x", "amount": 5 }] });
    let made = stack.post(&path, &body).await.1;
    let due_at: Timestamp = text(&made["due_at"]).parse().unwrap();
    stack.settle().await;
    let reminded = async |late: i64| {
        let at = (due_at + days(late)).to_string();
        stack.fire("send-payment-reminders-job", &at).await;
        stack.fire("send-payment-reminders-job", &at).await;
        stack.settle().await;
        let reminder = |it: &&_| text_of(it).starts_with("Reminder");
        stack.mails().iter().filter(reminder).count()
    };
    assert_eq!(reminded(0).await, 0);
    assert_eq!(reminded(1).await, 1);
    assert_eq!(reminded(6).await, 1);
    assert_eq!(reminded(8).await, 2, "a day late for the step of 7");
    assert_eq!(reminded(14).await, 3);
    stack.stripe.pay(&text(&made["stripe_invoice_id"])).unwrap();
    stack.settle().await;
    assert_eq!(reminded(30).await, 3, "paid");
    let invoice = &stack.invoices_of(university).await[0];
    assert_eq!(invoice.status, InvoiceStatus::Paid);
    assert_eq!(invoice.last_reminder_step, Some(14));
    stack.finish().await;
}
