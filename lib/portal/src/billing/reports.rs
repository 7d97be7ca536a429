//! Subscriptions as Stripe reports them, in our words.

use bitflow_domain::billing::subscription::{Billing, Subscription, SubscriptionStatus, Terms};
use bitflow_domain::id::{SubscriptionId, UniversityId};
use bitflow_domain::version::Version;
use bitflow_events::envelope::Context;
use bitflow_events::payload::SubscriptionStatusChanged;
use bitflow_store::transaction::Transaction;
use bitflow_stripe::object::Subscription as Told;
use jiff::Timestamp;

use crate::billing::ledger::Ledger;

/// What Stripe tells, in our words; nothing where it uses a status we do not know.
pub(crate) fn terms(told: &Told, deleted: bool) -> Option<Terms> {
    let status = match told.status.as_str() {
        _ if deleted => SubscriptionStatus::Cancelled,
        "incomplete" => SubscriptionStatus::Incomplete,
        "incomplete_expired" => SubscriptionStatus::IncompleteExpired,
        "trialing" => SubscriptionStatus::Trialing,
        "active" => SubscriptionStatus::Active,
        "past_due" => SubscriptionStatus::PastDue,
        "unpaid" => SubscriptionStatus::Unpaid,
        "paused" => SubscriptionStatus::Paused,
        "canceled" => SubscriptionStatus::Cancelled,
        _ => return None,
    };
    Some(Terms {
        status,
        stripe_price_id: told.price.clone(),
        current_period_start: told.current_period_start,
        current_period_end: told.current_period_end,
        cancel_at_period_end: told.cancel_at_period_end,
    })
}

/// A subscription at Stripe that is new to us.
pub(crate) fn new_subscription(
    (id, university_id): (SubscriptionId, UniversityId),
    stripe_subscription_id: &str,
    terms: Terms,
    reported_at: Timestamp,
    now: Timestamp,
) -> Subscription {
    Subscription {
        id,
        university_id,
        billing: Billing::Stripe {
            subscription_id: stripe_subscription_id.to_owned(),
        },
        terms,
        reported_at,
        ends_at: None,
        warned_of: None,
        version: Version::FIRST,
        created_at: now,
        updated_at: now,
    }
}

/// Adds a subscription to the transaction; tells of it where its status, or whether it goes on,
/// changed. A period that moved on is no news.
pub(crate) fn put_subscription(
    ledger: &Ledger,
    transaction: &mut Transaction,
    before: Option<&Subscription>,
    after: &Subscription,
    when: (&Context, Timestamp),
) {
    match before {
        Some(before) => ledger
            .subscriptions
            .replace(transaction, after, before.version),
        None => ledger.subscriptions.insert(transaction, after),
    }
    let seen = |it: &Subscription| (it.terms.status, it.terms.cancel_at_period_end);
    if before.map(seen) != Some(seen(after)) {
        let changed = SubscriptionStatusChanged {
            subscription_id: after.id,
            stripe_subscription_id: after.stripe_subscription_id().map(str::to_owned),
            from: before.map(|before| before.terms.status),
            to: after.terms.status,
            cancel_at_period_end: after.terms.cancel_at_period_end,
            current_period_end: after.terms.current_period_end,
        };
        let of = (after.id, after.version);
        ledger.raise(transaction, when, after.university_id, of, changed);
    }
}
