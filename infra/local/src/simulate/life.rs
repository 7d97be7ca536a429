//! The year as it is lived: months, and what happens on their days.

use bitflow_portal::stripe_events::followed;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use reqwest::Client;
use serde_json::Value;

use super::admin::{Admin, text, wanted};
use super::expected::{ByStripe, Customer, Expected, Manual, ManualState};
use super::fate::{After, Fate, Unpaid};
use super::plan::{Cancel, Plan, Terms};
use super::trouble::Tampered;
use crate::rows;

/// Admins that work at the same time.
const ADMINS: usize = 6;

const INVOICES: &str = "generate-monthly-invoices-job";
const REMINDERS: &str = "send-payment-reminders-job";
const WARNINGS: &str = "warn-expiring-subscriptions-job";

/// Lives so many months.
pub(super) async fn live(
    plan: &Plan,
    months: u32,
    tampered: &Tampered<'_>,
    expected: &mut Expected,
) -> Result<(), String> {
    let now = tampered.stack.clock().now();
    let mut life = Life {
        plan,
        tampered,
        admin: Admin {
            tampered,
            http: Client::new(),
        },
        expected,
        first: Offset::UTC.to_datetime(now).date().first_of_month(),
    };
    // What the endpoint is registered for.
    let events: Vec<&str> = followed().collect();
    tampered.stack.stripe.enable_events(&events);
    tampered.stack.stripe.disturb(plan.seed, 10, 10);
    life.begin().await?;
    for month in 1..=months {
        life.month(month).await?;
    }
    Ok(())
}

struct Life<'a> {
    plan: &'a Plan,
    tampered: &'a Tampered<'a>,
    admin: Admin<'a>,
    expected: &'a mut Expected,
    /// The 1st of the month in which it begins.
    first: Date,
}

impl Life<'_> {
    /// Onboards, subscribes, and has the first invoices paid.
    async fn begin(&mut self) -> Result<(), String> {
        let admin = &self.admin;
        let onboarded = stream::iter(&self.plan.universities)
            .map(|university| admin.onboard(university))
            .buffered(ADMINS);
        let ids: Vec<String> = onboarded.try_collect().await?;
        self.drain(1, true).await?;
        let rows = rows::of(self.tampered.stack, "universities").await?;
        for (id, university) in ids.into_iter().zip(&self.plan.universities) {
            let row = rows.iter().find(|row| row["university_id"] == *id);
            let customer = text(row.unwrap_or(&Value::Null), "stripe_customer_id")?;
            let stripe = &self.tampered.stack.stripe;
            stripe.set_payment_behaviour(&customer, university.method.clone())?;
            let university = id;
            self.expected.customers.push(Customer {
                university,
                customer,
            });
        }
        self.subscribe().await?;
        self.one_offs(0).await?;
        self.drain(2, true).await?;
        self.visit(3).await?;
        self.cancel(0).await?;
        self.drain(3, true).await
    }

    /// Every subscription of the plan.
    async fn subscribe(&mut self) -> Result<(), String> {
        let (plan, admin, customers) = (self.plan, &self.admin, &self.expected.customers);
        let stripe = &self.tampered.stack.stripe;
        let mut requests = Vec::new();
        for (at, university) in plan.universities.iter().enumerate() {
            for (nth, subscription) in university.subscriptions.iter().enumerate() {
                let price = match subscription.terms {
                    Terms::Manual { .. } => String::new(),
                    Terms::Price { amount } => {
                        let form = format!(
                            "currency={}&unit_amount={amount}&recurring[interval]=month&product_data[name]=Campus",
                            university.currency
                        );
                        text(&stripe.create("prices", &form)?, "id")?
                    }
                };
                let body = wanted(subscription.terms, university.currency, &price);
                requests.push((at, format!("subscription-{nth}"), body, subscription));
            }
        }
        let made = stream::iter(&requests)
            .map(|(at, key, body, subscription)| {
                admin.subscribe(&customers[*at].university, body, key, subscription.trouble)
            })
            .buffered(ADMINS);
        let made: Vec<Value> = made.try_collect().await?;
        for ((at, _, _, subscription), answer) in requests.iter().zip(made) {
            let id = text(&answer, "id")?;
            match subscription.terms {
                Terms::Manual { amount, .. } => self.expected.manual.push(Manual {
                    university: *at,
                    id,
                    amount,
                    currency: plan.universities[*at].currency.to_uppercase(),
                    free: text(&answer, "created_at")?[..7].to_owned(),
                    state: ManualState::Active,
                    cancel: subscription.cancel,
                }),
                Terms::Price { .. } => self.expected.by_stripe.push(ByStripe {
                    university: *at,
                    id,
                    stripe_id: text(&answer, "stripe_subscription_id")?,
                    invoices: 1,
                    cancel: subscription.cancel,
                }),
            }
        }
        Ok(())
    }

    async fn month(&mut self, month: u32) -> Result<(), String> {
        let day = |day: u64| u64::from(month) * 100 + day;
        let run = self.at(month, 1, 0)?;
        self.push(run);
        let stripe = &self.tampered.stack.stripe;
        stripe.set_webhook_shape(self.plan.shape(month));
        self.renew()?;
        self.tampered
            .fire(INVOICES, run, self.plan.run(1, day(1)))
            .await?;
        self.expected.month_begins(&run.to_string()[..7]);
        self.drain(day(1), true).await?;
        self.billed_so_far().await?;

        self.push(self.at(month, 4, 12)?);
        self.visit(day(4)).await?;
        self.one_offs(month).await?;
        self.drain(day(4), true).await?;

        self.remind(month, 8).await?;

        self.push(self.at(month, 15, 12)?);
        self.visit(day(15)).await?;
        self.cancel(month).await?;
        self.drain(day(15), true).await?;

        self.warn(month, 22).await?;
        self.remind(month, 22).await?;
        self.warn(month, 26).await
    }

    /// Stripe begins the next period of every subscription that lives.
    fn renew(&mut self) -> Result<(), String> {
        let stripe = &self.tampered.stack.stripe;
        for subscription in &mut self.expected.by_stripe {
            if !ended(stripe.object(&subscription.stripe_id).as_ref()) {
                let after = stripe.advance(&subscription.stripe_id)?;
                subscription.invoices += usize::from(!ended(Some(&after)));
            }
        }
        Ok(())
    }

    /// What customers, banks and admins make of the invoices that are open.
    async fn visit(&mut self, day: u64) -> Result<(), String> {
        let stripe = &self.tampered.stack.stripe;
        let mut withdrawn = Vec::new();
        for (at, customer) in self.expected.customers.iter().enumerate() {
            let mut open = stripe.objects_of("invoice", &customer.customer);
            open.retain(|it| it["status"] == "open" || it["status"] == "uncollectible");
            open.sort_by_key(|it| (it["created"].as_i64(), it["amount_due"].as_i64()));
            for (nth, invoice) in (0_u64..).zip(&open) {
                let id = invoice["id"].as_str().unwrap_or_default();
                let ours = invoice["metadata"]["invoice_id"].as_str();
                let unpaid = match invoice["collection_method"].as_str() {
                    _ if invoice["status"] == "uncollectible" => Unpaid::GivenUp,
                    Some("charge_automatically") => Unpaid::Charged,
                    _ => Unpaid::Sent,
                };
                let after = match self.plan.fate(at, day, nth, unpaid) {
                    Fate::Leave => continue,
                    Fate::Pay => stripe.pay(id)?,
                    Fate::PayElsewhere => {
                        let pay = format!("invoices/{id}/pay");
                        stripe.create(&pay, "paid_out_of_band=true")?;
                        // There is no charge to be given back.
                        continue;
                    }
                    Fate::Collect => stripe.collect(id)?,
                    Fate::Fail => stripe.fail(id)?,
                    Fate::RequireAction => stripe.require_action(id)?,
                    Fate::GiveUp => {
                        stripe.create(&format!("invoices/{id}/mark_uncollectible"), "")?
                    }
                    Fate::Void => match ours {
                        Some(ours) => {
                            withdrawn.push((at, ours.to_owned()));
                            continue;
                        }
                        // Made by Stripe: withdrawn there.
                        None => stripe.create(&format!("invoices/{id}/void"), "")?,
                    },
                };
                if after["status"] != "paid" || after["amount_paid"].as_i64() < Some(2) {
                    continue;
                }
                match self.plan.after(at, day, nth) {
                    After::Kept => continue,
                    After::Refunded => stripe.refund(id, None)?,
                    After::RefundedInPart => stripe.refund(id, 1)?,
                    After::Disputed => stripe.dispute(id)?,
                };
            }
        }
        let (admin, customers) = (&self.admin, &self.expected.customers);
        let voided = stream::iter(&withdrawn)
            .map(|(at, invoice)| admin.void(&customers[*at].university, invoice))
            .buffered(ADMINS);
        voided.try_for_each(async |_| Ok(())).await
    }

    /// The invoices that admins make this month.
    async fn one_offs(&mut self, month: u32) -> Result<(), String> {
        let mut wanted = Vec::new();
        for (university, customer) in self.plan.universities.iter().zip(&self.expected.customers) {
            let due = university.one_offs.iter().filter(|it| it.month == month);
            wanted.extend(due.map(|one_off| (university, &customer.university, one_off)));
        }
        let admin = &self.admin;
        let made = stream::iter(&wanted)
            .map(|(university, id, one_off)| admin.invoice(id, university.currency, one_off))
            .buffered(ADMINS);
        let made: Vec<Value> = made.try_collect().await?;
        for ((university, _, one_off), answer) in wanted.iter().zip(made) {
            let worth = (
                one_off.amounts.iter().sum(),
                university.currency.to_uppercase(),
            );
            self.expected.one_offs.insert(text(&answer, "id")?, worth);
        }
        self.dashboard(month)
    }

    /// The invoices that are made in Stripe's dashboard this month, without a word to us.
    fn dashboard(&mut self, month: u32) -> Result<(), String> {
        let stripe = &self.tampered.stack.stripe;
        for (at, university) in self.plan.universities.iter().enumerate() {
            let Some(amount) = self.plan.dashboard(at, month) else {
                continue;
            };
            let customer = &self.expected.customers[at].customer;
            let currency = university.currency;
            let form = format!(
                "customer={customer}&currency={currency}&collection_method=send_invoice&days_until_due=14"
            );
            let id = text(&stripe.create("invoices", &form)?, "id")?;
            let form = format!(
                "customer={customer}&invoice={id}&amount={amount}&currency={currency}&description=Extra"
            );
            stripe.create("invoiceitems", &form)?;
            stripe.create(&format!("invoices/{id}/finalize"), "")?;
            let worth = (amount, currency.to_uppercase());
            self.expected.dashboard.insert(id, worth);
        }
        Ok(())
    }

    /// The cancellations of this month.
    async fn cancel(&mut self, month: u32) -> Result<(), String> {
        let now = |cancel: &Option<Cancel>| cancel.filter(|it| it.month == month);
        let stripe = &self.tampered.stack.stripe;
        let manual = self.expected.manual.iter().filter_map(|it| {
            let cancel = now(&it.cancel)?;
            Some((it.university, it.id.clone(), cancel.at_period_end))
        });
        let by_stripe = self.expected.by_stripe.iter().filter_map(|it| {
            let cancel = now(&it.cancel)?;
            let over = ended(stripe.object(&it.stripe_id).as_ref());
            (!over).then(|| (it.university, it.id.clone(), cancel.at_period_end))
        });
        let wanted: Vec<_> = manual.chain(by_stripe).collect();
        let (admin, customers) = (&self.admin, &self.expected.customers);
        let cancelled = stream::iter(&wanted)
            .map(|(at, id, at_end)| admin.cancel(&customers[*at].university, id, *at_end))
            .buffered(ADMINS);
        cancelled.try_for_each(async |_| Ok(())).await?;
        for plan in &mut self.expected.manual {
            if let Some(cancel) = now(&plan.cancel) {
                plan.state = if cancel.at_period_end {
                    ManualState::Ending
                } else {
                    ManualState::Over
                };
            }
        }
        Ok(())
    }

    async fn remind(&mut self, month: u32, day: u64) -> Result<(), String> {
        let at = self.at(month, day, 9)?;
        self.push(at);
        let invoices = self.tampered.stack.stripe.objects("invoice");
        self.expected.remind(&invoices, at.as_second());
        let number = u64::from(month) * 100 + day;
        self.tampered
            .fire(REMINDERS, at, self.plan.run(2, number))
            .await?;
        self.drain(number + 50, false).await
    }

    async fn warn(&mut self, month: u32, day: u64) -> Result<(), String> {
        let (at, next) = (self.at(month, day, 8)?, self.at(month + 1, 1, 0)?);
        self.push(at);
        let subscriptions = self.tampered.stack.stripe.objects("subscription");
        self.expected
            .warn(&subscriptions, next.as_second(), at.as_second());
        let number = u64::from(month) * 100 + day;
        self.tampered
            .fire(WARNINGS, at, self.plan.run(3, number))
            .await?;
        self.drain(number, false).await
    }

    /// Each month: as many invoices of the monthly run as there must be by now.
    async fn billed_so_far(&self) -> Result<(), String> {
        let rows = rows::of(self.tampered.stack, "subscriptions").await?;
        let ends = self.tampered.stack.clock().now().to_string();
        let behind = rows.iter().find(|row| {
            let end = row["current_period_end"].as_str();
            row["billing"] == "manual" && row["status"] == "active" && end <= Some(&*ends)
        });
        match behind {
            Some(row) => Err(format!("after the monthly run a plan is behind: {row}")),
            None => Ok(()),
        }
    }

    async fn drain(&self, day: u64, much: bool) -> Result<(), String> {
        self.tampered.drain(self.plan.blows(day, much)).await
    }

    fn push(&self, to: Timestamp) {
        self.tampered.stack.clock().advance_to(to);
    }

    /// An hour of a day of a month; month 0 is the one in which it begins.
    fn at(&self, month: u32, day: u64, hour: i64) -> Result<Timestamp, String> {
        let (months, days) = (i64::from(month), i64::try_from(day).unwrap_or(1) - 1);
        let first = self.first.checked_add(Span::new().months(months));
        let at = first.and_then(|first| {
            let midnight = first.checked_add(Span::new().days(days))?.at(0, 0, 0, 0);
            Offset::UTC.to_timestamp(midnight.checked_add(Span::new().hours(hour))?)
        });
        at.map_err(|error| error.to_string())
    }
}

fn ended(subscription: Option<&Value>) -> bool {
    let status = subscription.and_then(|it| it["status"].as_str());
    matches!(status, None | Some("canceled" | "incomplete_expired"))
}
