//! The simulator in the whole stack.

#[path = "../support/mod.rs"]
mod support;

use support::TestStack;

#[tokio::test]
async fn a_webhook_that_was_not_taken_is_delivered_again() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.invoice(university, 5000).await;
    stack.settle().await;
    // Each of the three attempts to apply each of the two events that tell of a payment.
    let began = stack.clock().now();
    stack.dynamodb.refuse_next(6);
    stack.stripe.pay(&stripe_id).expect("paid");
    stack.settle().await;
    assert_eq!(
        stack.stored_invoice(university, id).await.status.as_str(),
        "paid"
    );
    assert_eq!(stack.payments(university).await.len(), 1);
    assert!(
        stack.clock().now() > began + jiff::SignedDuration::from_mins(4),
        "it waited for Stripe's retry"
    );
    stack.finish().await;
}
