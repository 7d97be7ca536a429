//! Nothing is granted that no function needs.

use std::collections::BTreeSet;
use std::sync::Mutex;

use bitflow_local::aws::iam::Grant;
use bitflow_local::functions::workspace;

use crate::support::{TestStack, used_grants};
use crate::{apis, flows, jobs, listeners};

/// How a comment above a statement begins that says why some of it is not used here.
const EXPLANATION: &str = "# Not used by the samples:";

/// The samples.
const SAMPLES: &[fn()] = &[
    apis::alerts_api,
    apis::billing_api,
    apis::broadcasting_auth,
    apis::notifications_api,
    apis::stripe_webhook,
    apis::universities_api,
    apis::university_sync,
    jobs::generate_monthly_invoices_job,
    jobs::retry_portal_deliveries_job,
    jobs::send_payment_reminders_job,
    jobs::sweep_outbox_job,
    jobs::sync_storage_usage_job,
    jobs::warn_expiring_subscriptions_job,
    jobs::watch_dead_letters_job,
    listeners::activity_listener,
    listeners::alert_listener,
    listeners::email_listener,
    listeners::invoice_listener,
    listeners::maintenance_listener,
    listeners::outbox_relay,
    listeners::payment_details_listener,
    listeners::portal_delivery_listener,
    listeners::realtime_listener,
    listeners::report_listener,
    listeners::storage_usage_listener,
    listeners::stripe_customer_listener,
];

/// A grant is one action on one resource. Of several statements that grant the same, only the first
/// counts as used: what is granted twice is in the list, too.
#[test]
fn every_grant_is_used_or_explained() {
    let left = Mutex::new(SAMPLES.iter().chain(flows::ALL));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(flow) = next(&left) {
                    flow();
                }
            });
        }
    });
    let all = grants();
    let used = used_grants();
    let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("a template");
    let explained = explained(&template);
    let unused = all.difference(&used);
    let (_, unused): (Vec<_>, Vec<_>) = unused.partition(|grant| explained.contains(&grant.line));
    let unused: Vec<_> = unused.iter().map(ToString::to_string).collect();
    assert!(
        unused.is_empty(),
        "granted, and not used:\n{}",
        unused.join("\n")
    );
    // An explanation of nothing is as wrong.
    let needed: BTreeSet<usize> = all.difference(&used).map(|grant| grant.line).collect();
    let idle: Vec<_> = explained.difference(&needed).collect();
    assert!(
        idle.is_empty(),
        "used after all: the statements of lines {idle:?}"
    );
}

fn next(left: &Mutex<impl Iterator<Item = &'static fn()>>) -> Option<&'static fn()> {
    left.lock().expect("no holder panics").next()
}

/// All that the template grants.
#[tokio::main]
async fn grants() -> BTreeSet<Grant> {
    let stack = TestStack::start().await;
    let grants = stack.iam.grants();
    stack.finish().await;
    grants
}

/// The lines of the statements with an explanation in the comment above them.
fn explained(template: &str) -> BTreeSet<usize> {
    let mut explained = BTreeSet::new();
    let mut in_explanation = false;
    for (line, text) in (1..).zip(template.lines()) {
        let text = text.trim_start();
        if text.starts_with(EXPLANATION) {
            in_explanation = true;
        } else if !text.starts_with('#') {
            if in_explanation {
                explained.insert(line);
            }
            in_explanation = false;
        }
    }
    explained
}
