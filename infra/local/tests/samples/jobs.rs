//! What comes by the clock.

use crate::answers::{
    GENERATE_MONTHLY_INVOICES_JOB, RETRY_PORTAL_DELIVERIES_JOB, SEND_PAYMENT_REMINDERS_JOB,
    SWEEP_OUTBOX_JOB, SYNC_STORAGE_USAGE_JOB, WARN_EXPIRING_SUBSCRIPTIONS_JOB,
    WATCH_DEAD_LETTERS_JOB,
};
use crate::seed::World;

#[tokio::test]
pub(crate) async fn generate_monthly_invoices_job() {
    let world = World::start().await;
    world.insert_plan("2025-12-10T00:00:00Z").await;
    world.run(&GENERATE_MONTHLY_INVOICES_JOB).await;
    world.is_billed_until("2026-02-01T00:00:00Z").await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn retry_portal_deliveries_job() {
    let world = World::start().await;
    world.insert_notification().await;
    // It was announced a day before, and its message was lost.
    world.insert_delivery().await;
    world.run(&RETRY_PORTAL_DELIVERIES_JOB).await;
    assert_eq!(world.stack.portal.requests().len(), 1);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn send_payment_reminders_job() {
    let world = World::start().await;
    world.make_invoice(Some("2026-01-01T00:00:00Z")).await;
    world.run(&SEND_PAYMENT_REMINDERS_JOB).await;
    let subjects = world.subjects();
    let last = subjects.last().expect("a mail");
    assert!(
        last.starts_with("Reminder: ") && last.ends_with("is 14 days overdue"),
        "{last}"
    );
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn sweep_outbox_job() {
    let world = World::start().await;
    world.run(&SWEEP_OUTBOX_JOB).await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn sync_storage_usage_job() {
    let world = World::start().await;
    world.run(&SYNC_STORAGE_USAGE_JOB).await;
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn warn_expiring_subscriptions_job() {
    let world = World::start().await;
    world.insert_ending_plan("2026-01-10T00:00:00Z").await;
    world.run(&WARN_EXPIRING_SUBSCRIPTIONS_JOB).await;
    let warning = "Your Bitflow subscription ends on 1 February 2026";
    assert_eq!(world.subjects(), [warning]);
    world.stack.finish().await;
}

#[tokio::test]
pub(crate) async fn watch_dead_letters_job() {
    let world = World::start().await;
    world.run(&WATCH_DEAD_LETTERS_JOB).await;
    assert!(world.stack.rows("alerts").await.is_empty());
    world.stack.finish().await;
}
