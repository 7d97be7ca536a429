//! What is counted, as CloudWatch reads it out of the log: the embedded metric format.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! [`ALL`] is every metric that there is. A library counts what only it sees (a call of Stripe's, a
//! mail, an event on its way) under these names through the facade `metrics`; what a function sees,
//! it counts through this module. Each dimension has few values, none of them an id: a metric is paid
//! for by the combinations of its dimensions.
//!
//! What was counted is written to the log before an invocation is answered: after that the process
//! may be frozen, and never wake. Lambda takes such a line for one of the level INFO, so a log level
//! above that would count nothing.

use std::borrow::Cow;
use std::io::Write;
use std::sync::OnceLock;

use ::metrics::{SharedString, Unit, counter, histogram, with_recorder};
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::outcome::ms;

/// Where CloudWatch files them.
pub const NAMESPACE: &str = "Bitflow";

/// The dimension of every metric: the stack that the function is part of.
pub const STACK: &str = "Stack";

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its dimensions, beside [`STACK`].
    pub dimensions: &'static [&'static str],
    /// What it tells.
    pub about: &'static str,
}

const fn metric(
    name: &'static str,
    unit: Unit,
    dimensions: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric {
        name,
        unit,
        dimensions,
        about,
    }
}

/// Every metric.
pub const ALL: &[Metric] = &[
    metric(
        "AnswersFailed",
        Unit::Count,
        &[],
        "Requests that were answered with a status of 500 and above.",
    ),
    metric(
        "Webhooks",
        Unit::Count,
        &["Webhook", "Type", "Outcome"],
        "Webhooks that were answered: whose, of what, and what came of it.",
    ),
    metric(
        "WebhooksFailed",
        Unit::Count,
        &["Webhook"],
        "Those among them that were genuine and not applied: the sender is to come again.",
    ),
    metric(
        "MessageAge",
        Unit::Milliseconds,
        &["Function"],
        "How long ago a message was sent when a listener was done with it.",
    ),
    metric(
        "RelayLag",
        Unit::Milliseconds,
        &[],
        "How long the oldest event of a batch had waited when it was on the bus.",
    ),
    metric(
        "Mails",
        Unit::Count,
        &["Outcome"],
        "Mails that were handed to SendGrid, and what it said.",
    ),
    metric(
        "StripeCalls",
        Unit::Count,
        &["Outcome"],
        "Requests to Stripe's API, each try by itself.",
    ),
    metric(
        "PortalDeliveries",
        Unit::Count,
        &["Outcome"],
        "Tries to tell a portal, and what became of the delivery.",
    ),
    metric(
        "InvoicesBilled",
        Unit::Count,
        &[],
        "Invoices of the monthly run.",
    ),
    metric(
        "JobItems",
        Unit::Count,
        &["Function"],
        "How much a run of a job found to do.",
    ),
];

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// The function, as metrics name it: without the stack's name in front.
static FUNCTION: OnceLock<String> = OnceLock::new();

/// Makes ready for counting, in this process; once. Starts nothing, and reads nothing.
pub(crate) fn init(stack: &str, function: &str) {
    let own = function.strip_prefix(stack).unwrap_or(function);
    let _ = FUNCTION.set(own.trim_start_matches('-').to_owned());
    let collector = Builder::new()
        .cloudwatch_namespace(NAMESPACE)
        .with_dimension(STACK, stack.to_owned())
        .init();
    let Ok(collector) = collector else {
        tracing::error!(target: "bitflow", "metrics are set up twice");
        return;
    };
    for metric in ALL {
        let name = metric.name.into();
        let unit = Some(metric.unit);
        with_recorder(|recorder| recorder.describe_counter(name, unit, metric.about.into()));
    }
    let _ = COLLECTOR.set(collector);
}

/// Writes what was counted since the last time, and forgets it.
pub(crate) fn flush() {
    let Some(collector) = COLLECTOR.get() else {
        return;
    };
    let mut lines = Vec::new();
    let written = collector
        .flush(&mut lines)
        .and_then(|()| std::io::stdout().lock().write_all(&lines));
    if let Err(error) = written {
        tracing::error!(target: "bitflow", %error, "what was counted is lost");
    }
}

/// What was counted and is not written, which it then counts as.
#[cfg(test)]
pub(crate) fn unwritten() -> String {
    let mut lines = Vec::new();
    let collector = COLLECTOR.get().expect("init was called");
    collector.flush(&mut lines).expect("a Vec takes it");
    String::from_utf8(lines).expect("it is JSON")
}

/// What came of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Webhook {
    /// It is in effect.
    Applied,
    /// It was before.
    Repeated,
    /// It changes nothing here.
    Ignored,
    /// It was none: not signed, not by who it says, or unreadable.
    Refused,
    /// It was one, and could not be applied.
    Failed,
}

/// Counts a webhook: whose it is, and what of. A `kind` is one of few, never what a stranger wrote.
pub fn webhook(whose: &'static str, kind: impl Into<Cow<'static, str>>, outcome: Webhook) {
    let said = match outcome {
        Webhook::Applied => "applied",
        Webhook::Repeated => "repeated",
        Webhook::Ignored => "ignored",
        Webhook::Refused => "refused",
        Webhook::Failed => "failed",
    };
    let kind = SharedString::from(kind.into());
    counter!("Webhooks", "Webhook" => whose, "Type" => kind, "Outcome" => said).increment(1);
    if outcome == Webhook::Failed {
        counter!("WebhooksFailed", "Webhook" => whose).increment(1);
    }
}

/// Counts a request that was answered with a status of 500 and above.
pub(crate) fn answer_failed() {
    counter!("AnswersFailed").increment(1);
}

/// Counts a try to tell a portal.
pub fn portal_delivery(outcome: &'static str) {
    counter!("PortalDeliveries", "Outcome" => outcome).increment(1);
}

/// Counts invoices of the monthly run.
pub fn invoices_billed(invoices: usize) {
    counter!("InvoicesBilled").increment(u64::try_from(invoices).unwrap_or(u64::MAX));
}

/// Notes what a run of this job found to do; nothing is worth knowing, too.
pub fn job_items(items: usize) {
    let items = u32::try_from(items).unwrap_or(u32::MAX);
    histogram!("JobItems", "Function" => function()).record(items);
}

/// Notes how old a message was when this listener was done with it.
pub(crate) fn message_age(age: std::time::Duration) {
    let age = u32::try_from(ms(age)).unwrap_or(u32::MAX);
    histogram!("MessageAge", "Function" => function()).record(age);
}

fn function() -> SharedString {
    FUNCTION.get().map_or("", String::as_str).into()
}
