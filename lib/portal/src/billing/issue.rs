//! Making an invoice at Stripe: draft, items, finalize. However often it is tried, and wherever it
//! died before, it is one invoice.
//!
//! Within a day Stripe knows our idempotency keys, and a repeat gets the objects of the first try.
//! Later, and where Stripe repeats a failure of its own under a key, the invoice is looked up by
//! the id in its metadata, and only where there is none are the calls made again, under new keys. A
//! draft that was left behind is never charged.

use bitflow_domain::billing::item::Lines;
use bitflow_domain::billing::month::Month;
use bitflow_domain::id::{InvoiceId, SubscriptionId, UniversityId};
use bitflow_stripe::api::{Client, NewInvoice, NewItem};
use bitflow_stripe::error::StripeError;
use bitflow_stripe::object::{Invoice as Told, Line};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

/// Stripe keeps an idempotency key at least 24 h. After a little less we look first.
const KEY_IS_TRUSTED_FOR: SignedDuration = SignedDuration::from_hours(23);

/// An invoice to be.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) id: InvoiceId,
    pub(crate) university_id: UniversityId,
    pub(crate) customer: &'a str,
    /// Where it bills a month of a manual plan.
    pub(crate) of: Option<(SubscriptionId, Month)>,
    pub(crate) lines: &'a Lines,
    pub(crate) days_until_due: Option<u16>,
}

/// How many times the trust in our keys ran out since `started_at`: part of each key.
pub(crate) fn age(started_at: Timestamp, now: Timestamp) -> i64 {
    let waited = now.duration_since(started_at).as_secs().max(0);
    waited / KEY_IS_TRUSTED_FOR.as_secs()
}

/// Keys of one call: as many as failures of Stripe's that it repeats under them.
const MOST_KEYS: u32 = 5;

/// Calls `make` with a part of its idempotency keys: the same on every try, another where Stripe
/// repeats a failure under the keys before, or has forgotten them. Before each but the very first,
/// `find` looks whether it was made all the same.
pub(crate) async fn once<'a, T>(
    age: i64,
    find: impl Fn() -> BoxFuture<'a, Result<Option<T>, StripeError>>,
    make: impl Fn(String) -> BoxFuture<'a, Result<T, StripeError>>,
) -> Result<T, StripeError> {
    let mut failures = 0;
    loop {
        if (age > 0 || failures > 0)
            && let Some(found) = find().await?
        {
            return Ok(found);
        }
        let keys = match failures {
            0 => age.to_string(),
            more => format!("{age}.{more}"),
        };
        match make(keys).await {
            Err(error) if error.is_stored_failure() && failures < MOST_KEYS => failures += 1,
            made => return made,
        }
    }
}

/// The open invoice at Stripe. The first try began at `started_at`.
pub(crate) async fn issue(
    stripe: &Client,
    draft: &Draft<'_>,
    started_at: Timestamp,
    now: Timestamp,
) -> Result<Told, StripeError> {
    let id = &*draft.id.to_string();
    let find = || {
        let reads = stripe.reads();
        reads.find_invoice(draft.customer, id, started_at).boxed()
    };
    let make = |keys: String| async move { make(stripe, draft, id, &keys).await }.boxed();
    let mut told = once(age(started_at, now), find, make).await?;
    // Stripe tells the first ten.
    told.lines = draft
        .lines
        .items()
        .iter()
        .map(|item| Line {
            description: Some(item.description.clone()),
            amount: item.amount,
            period: None,
        })
        .collect();
    Ok(told)
}

async fn make(
    stripe: &Client,
    draft: &Draft<'_>,
    id: &str,
    keys: &str,
) -> Result<Told, StripeError> {
    let key = |call: &str| format!("invoice:{id}:{call}:{keys}");
    let university_id = draft.university_id.to_string();
    let mut metadata = vec![
        ("university_id", university_id.as_str()),
        ("invoice_id", id),
    ];
    let of = draft
        .of
        .map(|(subscription, month)| (subscription.to_string(), month.to_string()));
    if let Some((subscription, month)) = &of {
        metadata.extend([("subscription_id", subscription.as_str()), ("month", month)]);
    }
    let total = draft.lines.total();
    let new = NewInvoice {
        customer: draft.customer,
        currency: total.currency.as_str(),
        days_until_due: draft.days_until_due,
        metadata: &metadata,
    };
    let made = stripe.create_invoice(&new, &key("create")).await?;
    for (at, line) in draft.lines.items().iter().enumerate() {
        let item = NewItem {
            customer: draft.customer,
            invoice: &made.id,
            amount: line.amount,
            currency: total.currency.as_str(),
            description: &line.description,
        };
        stripe
            .create_invoice_item(&item, &key(&format!("item-{at}")))
            .await?;
    }
    stripe.finalize_invoice(&made.id, &key("finalize")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_trusted_for_less_than_stripe_keeps_them() {
        let start = Timestamp::UNIX_EPOCH;
        for (hours, expect) in [(-1, 0), (0, 0), (22, 0), (23, 1), (45, 1), (46, 2)] {
            let now = start + SignedDuration::from_hours(hours);
            assert_eq!(age(start, now), expect, "{hours}");
        }
    }
}
