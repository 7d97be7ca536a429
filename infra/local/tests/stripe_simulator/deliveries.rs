//! Webhooks that come again, late, twice and in another order.

use std::collections::BTreeMap;

use bitflow_local::progress::Pending;
use jiff::SignedDuration;
use serde_json::json;

use super::harness::{Stripe, id};

fn taken(stripe: &Stripe) -> Vec<String> {
    stripe.taken().iter().map(id).collect()
}

/// The ids of all events, in the order in which they were raised.
fn raised(stripe: &Stripe) -> Vec<String> {
    stripe.objects("event").iter().map(id).collect()
}

#[tokio::test]
async fn a_delivery_that_was_not_taken_comes_again_later() {
    let stripe = Stripe::start().await;
    stripe.refuse_deliveries(2);
    let began = stripe.clock.now();
    stripe.customer().await;
    stripe.settle().await;
    assert_eq!(taken(&stripe), raised(&stripe));
    let waited = stripe.clock.now().duration_since(began);
    assert!(waited >= SignedDuration::from_mins(35), "5 and 30 minutes");
}

#[tokio::test]
async fn an_event_may_come_twice() {
    let stripe = Stripe::start().await;
    let how = json!({ "seed": 1, "duplicate_percent": 100, "reorder_percent": 0 });
    assert_eq!(stripe.control("disturb", &how).await.0, 204);
    // Only what was taken is repeated.
    stripe.refuse_deliveries(1);
    for _ in 0..5 {
        stripe.customer().await;
    }
    stripe.settle().await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for id in taken(&stripe) {
        *times.entry(id).or_default() += 1;
    }
    assert_eq!(times.len(), 5);
    assert!(times.values().all(|times| *times == 2), "{times:?}");
    stripe.disturb(1, 0, 0);
    stripe.customer().await;
    stripe.settle().await;
    assert_eq!(taken(&stripe).len(), 11);
}

#[tokio::test]
async fn an_event_may_come_after_later_ones() {
    let stripe = Stripe::start().await;
    stripe.disturb(7, 0, 40);
    let mut kept = Vec::new();
    for _ in 0..30 {
        stripe.customer().await;
        // What is not kept back has come before the next is raised.
        while stripe
            .pending()
            .iter()
            .any(|it| matches!(it, Pending::Now(_)))
        {
            tokio::task::yield_now().await;
        }
        let newest = raised(&stripe).pop().expect("it was raised");
        let waits = |it: &Pending| matches!(it, Pending::Later(_, what) if what.ends_with(&newest));
        kept.push(stripe.pending().iter().any(waits));
    }
    stripe.flush_disturbed();
    stripe.settle().await;
    let (taken, raised) = (taken(&stripe), raised(&stripe));
    assert_eq!(taken.len(), raised.len());
    let came = |at: usize| taken.iter().position(|id| *id == raised[at]);
    let came = |at: usize| came(at).expect("it came");
    let mut overtaken = 0;
    for at in 0..raised.len() {
        assert!(came(at) <= at + 3, "at most three come first");
        if kept[at] && kept.get(at + 1) == Some(&false) {
            assert!(came(at) > came(at + 1), "{at} was to wait");
            overtaken += 1;
        }
    }
    assert!(overtaken > 4, "{kept:?}");
}

#[tokio::test]
async fn what_is_kept_back_comes_even_if_nothing_follows() {
    let stripe = Stripe::start().await;
    stripe.disturb(1, 0, 100);
    stripe.customer().await;
    assert_eq!(stripe.pending().len(), 1);
    stripe.settle().await;
    assert_eq!(taken(&stripe), raised(&stripe));
    // Or when it is told to, with no time passing.
    stripe.customer().await;
    let before = stripe.clock.now();
    stripe.control("flush_disturbed", &json!({})).await;
    stripe.settle().await;
    assert_eq!(taken(&stripe), raised(&stripe));
    let passed = stripe.clock.now().duration_since(before);
    assert!(passed < SignedDuration::from_mins(1), "{passed}");
}
