//! What a world holds, without what differs from one run to the next: ids, times, numbers of tries.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use bitflow_local::attribute::to_json;
use serde_json::Value;

use crate::permitted::Doubles;
use crate::seed::World;
use crate::support::TestStack;

/// Tables that say how it came about, and not what it came to.
const OF_THE_WAY: [&str; 4] = ["rate_limits", "inbox", "idempotency_keys", "job_runs"];

/// Attributes that say how it came about.
const OF_THE_WAY_ATTRIBUTES: [&str; 9] = [
    // Of Stripe's webhook and who asked Stripe, whoever is faster tells it.
    "actor",
    "expires_at",
    "relayed_at",
    "pending",
    "attempts",
    "under_way",
    "last_status",
    "correlation_id",
    "trace",
];

/// How ids begin that Stripe or we make at random.
const MADE: [&str; 9] = ["cus", "in", "ii", "sub", "pi", "ch", "price", "evt", "psk"];

/// How the samples' own ids begin, which stay.
const SAMPLE: &str = "01900000-0000-7000";

/// A world at rest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Rows, objects at Stripe and files, each with how often it is there.
    things: BTreeMap<String, usize>,
    /// Mails by whom and what: of how many events.
    mails: BTreeMap<String, usize>,
    /// Of mails, those that were sent again.
    mails_again: usize,
    /// What portals took.
    posts: BTreeMap<String, usize>,
    /// Of their requests, those that came again.
    posts_again: usize,
    /// Pushes, by event.
    pushes: usize,
    /// Messages and events that are left.
    left: BTreeMap<String, usize>,
}

impl Snapshot {
    pub(crate) async fn of(world: &World) -> Self {
        let stack = &world.stack;
        let things = things(stack).await;
        let mut by_event: BTreeMap<(String, String), usize> = BTreeMap::new();
        for mail in stack.mails() {
            let what = format!("{}: {}", mail.to, plain(&mail.subject));
            let event = mail.custom_args["event_id"].to_string();
            *by_event.entry((what, event)).or_default() += 1;
        }
        let mut mails: BTreeMap<String, usize> = BTreeMap::new();
        for (what, _) in by_event.keys() {
            *mails.entry(what.clone()).or_default() += 1;
        }
        let mails_again = by_event.values().map(|count| count - 1).sum();
        let requests = stack.portal.requests();
        let taken = requests.iter().filter(|it| it.status == 201);
        let mut posts: BTreeMap<String, usize> = BTreeMap::new();
        for post in taken {
            let what = format!("{} {} {}", post.domain, post.path, normal(&post.body));
            *posts.entry(what).or_default() += 1;
        }
        let posts_again = requests.iter().filter(|it| it.status == 200).count();
        let gate = stack.lambda.gate().expect("the stack is gated");
        let is_push = |what: &str| what.starts_with("POST pusher");
        let pushes = gate.calls().iter().filter(|it| is_push(&it.what)).count();
        let mut left: BTreeMap<String, usize> = BTreeMap::new();
        for (queue, messages) in stack.sqs.dead_letters() {
            left.insert(queue, messages.len());
        }
        let waiting = stack.waiting_events().await;
        if waiting > 0 {
            left.insert("outbox".to_owned(), waiting);
        }
        Self {
            things,
            mails,
            mails_again,
            posts,
            posts_again,
            pushes,
            left,
        }
    }

    /// What is not as it is in `other`, where some of it may be doubled.
    pub(crate) fn differs(&self, other: &Self, doubles: Doubles) -> Vec<String> {
        let mut found = Vec::new();
        for (seen, expect) in [
            (&self.things, &other.things),
            (&self.mails, &other.mails),
            (&self.posts, &other.posts),
            (&self.left, &other.left),
        ] {
            let names: BTreeSet<_> = seen.keys().chain(expect.keys()).collect();
            for name in names {
                let count = |of: &BTreeMap<String, usize>| of.get(name).copied().unwrap_or(0);
                let (seen, expect) = (count(seen), count(expect));
                if seen != expect {
                    found.push(format!("{seen} instead of {expect}: {name}"));
                }
            }
        }
        if self.mails_again > other.mails_again && !doubles.mails {
            found.push("a mail was sent twice".to_owned());
        }
        if self.posts_again > other.posts_again && !doubles.posts {
            found.push("a portal was told twice".to_owned());
        }
        if self.pushes < other.pushes {
            found.push("a push is missing".to_owned());
        }
        found
    }
}

/// Rows, objects at Stripe and files, each with how often it is there.
async fn things(stack: &TestStack) -> BTreeMap<String, usize> {
    let mut things: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |kind: &str, value: &Value| {
        *things
            .entry(format!("{kind} {}", normal(value)))
            .or_default() += 1;
    };
    let mut named = BTreeSet::new();
    let tables = stack.model().tables.iter().map(|table| &table.name);
    for table in tables {
        let table = table.trim_start_matches("bitflow-local-");
        if OF_THE_WAY.contains(&table.replace('-', "_").as_str()) {
            continue;
        }
        for row in stack.rows(table).await {
            if let Some(AttributeValue::M(logo)) = row.get("logo") {
                named.extend(logo.get("logo_id").and_then(|id| id.as_s().ok()).cloned());
            }
            let row = row.iter().map(|(name, value)| {
                let value = to_json(value);
                let bare = value.as_object().and_then(|it| it.values().next().cloned());
                (name.clone(), bare.unwrap_or_default())
            });
            add(table, &row.collect());
        }
    }
    for kind in [
        "customer",
        "invoice",
        "invoiceitem",
        "subscription",
        "payment_intent",
    ] {
        for object in stack.stripe.objects(kind) {
            let mut kept = serde_json::Map::new();
            for name in [
                "status",
                "amount",
                "amount_due",
                "amount_paid",
                "metadata",
                "name",
                "email",
                "auto_advance",
            ] {
                kept.insert(name.to_owned(), object[name].clone());
            }
            add(&format!("stripe {kind}"), &kept.into());
        }
    }
    let files = stack.s3().list_objects_v2().bucket(stack.bucket());
    let files = files
        .send()
        .await
        .expect("listed")
        .contents
        .unwrap_or_default();
    for file in files.into_iter().filter_map(|file| file.key) {
        // Of logos, what nobody names is removed by the daily measurement.
        let id = logo(&file);
        if !file.contains("/logos/") || id.starts_with(SAMPLE) || named.contains(id) {
            add("file", &file.into());
        }
    }
    things
}

/// The id of the logo that a file is.
fn logo(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

/// A value as text, its ids and times by what they are.
fn normal(value: &Value) -> String {
    fn cleaned(value: &Value) -> Value {
        match value {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ Value::Object(_)) => cleaned(&inner),
                _ => plain(text).into(),
            },
            Value::Array(values) => values.iter().map(cleaned).collect(),
            Value::Object(values) => {
                let kept = values
                    .iter()
                    .filter(|(name, _)| !OF_THE_WAY_ATTRIBUTES.contains(&name.as_str()));
                kept.map(|(name, it)| (name.clone(), cleaned(it))).collect()
            }
            other => other.clone(),
        }
    }
    cleaned(value).to_string()
}

/// A text in which ids and times are replaced by what they are. The samples' own ids stay.
fn plain(text: &str) -> String {
    let is_part =
        |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | ':' | '.' | '+');
    let mut out = String::new();
    let mut word = String::new();
    for it in text.chars().chain(std::iter::once('\0')) {
        if is_part(it) {
            word.push(it);
            continue;
        }
        out.push_str(&kind(&word));
        word.clear();
        if it != '\0' {
            out.push(it);
        }
    }
    // How many there were is of the way, too.
    let tries = (1..10).map(|tries| match tries {
        1 => "after 1 try".to_owned(),
        tries => format!("after {tries} tries"),
    });
    tries.fold(out, |out, tries| out.replace(&tries, "after <tries>"))
}

fn kind(word: &str) -> String {
    let (bare, ending) = match word.rsplit_once('.') {
        Some((bare, ending)) if ending.len() <= 4 && bare.len() == 36 => (bare, ending),
        _ => (word, ""),
    };
    if uuid::Uuid::try_parse(bare).is_ok() && bare.len() >= 32 {
        let ours = bare.starts_with(SAMPLE);
        return if ours {
            word.to_owned()
        } else {
            format!("<uuid>{ending}")
        };
    }
    // Of several, any may be the first to be found.
    if word.ends_with("-dead-letters") || word.ends_with("-undelivered") {
        return "<dead letters>".to_owned();
    }
    if word.parse::<jiff::Timestamp>().is_ok() {
        return "<time>".to_owned();
    }
    let is_ulid = word.len() == 26
        && word.starts_with('0')
        && word
            .chars()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit());
    if is_ulid {
        return "<ulid>".to_owned();
    }
    let (before, after) = word.split_once(['_', '-']).unwrap_or((word, ""));
    // Stripe's ids, the secrets we make, and the numbers of invoices.
    if MADE.contains(&before) && after.len() >= 14 {
        return format!("{before}_<id>");
    }
    let is_number = before.len() == 8
        && before
            .chars()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
        && after.len() == 4;
    if is_number {
        return "<number>".to_owned();
    }
    word.to_owned()
}
