//! A broadcast to a thousand universities, of whose portals some are down, some slow, and some
//! fail once.

mod support;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, StorageQuota, University, UniversityName};
use bitflow_local::aws::sqs::queue::NewMessage;
use bitflow_local::simulators::portal::Failure;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, real_now, text};
use uuid::Uuid;

const PATH: &str = "/api/admin/notifications";

/// How many universities there are, and how many of their portals are of each kind.
const ALL: u128 = 1000;
const OF_A_KIND: usize = 50;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// What a portal is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Down,
    Slow,
    FailsOnce,
    Fine,
}

/// Every twentieth is of one kind, so that each batch has some of all.
fn kind(number: u128) -> Kind {
    match number % 20 {
        0 => Kind::Down,
        7 => Kind::Slow,
        14 => Kind::FailsOnce,
        _ => Kind::Fine,
    }
}

fn domain(number: u128) -> String {
    format!("portal.uni-{number}.example")
}

/// Straight into the table: that universities are onboarded is not what this is about.
async fn insert(stack: &TestStack, number: u128) {
    let new = NewUniversity {
        name: UniversityName::parse(&format!("University {number}")).expect("a name"),
        primary_email: EmailAddress::parse(&format!("it@uni-{number}.example")).expect("one"),
        domain: DomainName::parse(&domain(number)).expect("a domain"),
        storage_quota: StorageQuota::from_bytes(1).expect("a quota"),
    };
    let secret = format!("psk_{number}");
    stack
        .portal
        .set_secret_of(&domain(number), secret.clone().into());
    let id = UniversityId::from_uuid(Uuid::from_u128(number + 1));
    let university = University::onboard(id, new, PortalSecrets::new(secret.into()), real_now());
    let dynamo = stack.dynamo();
    let mut transaction = Transaction::new(&dynamo);
    Universities::new(&dynamo, stack.name("universities")).insert(&mut transaction, &university);
    transaction.commit().await.expect("inserted");
}

/// How often each portal took it: an answer that came too late for us is followed by a repeat, and
/// a portal knows what it took by its key.
fn taken(stack: &TestStack) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for request in stack.portal.requests() {
        if request.status == 201 {
            assert_eq!(request.verified, Some(true), "{request:?}");
            *taken.entry(request.domain).or_default() += 1;
        }
    }
    taken
}

/// Where two counts differ.
fn differences(
    seen: &BTreeMap<String, usize>,
    expected: &BTreeMap<String, usize>,
) -> Vec<(String, Option<usize>)> {
    let all = seen.keys().chain(expected.keys());
    let differ = all.filter(|domain| seen.get(*domain) != expected.get(*domain));
    differ
        .map(|domain| (domain.clone(), seen.get(domain).copied()))
        .collect()
}

fn domains(wanted: Kind) -> impl Iterator<Item = String> {
    (0..ALL)
        .filter(move |number| kind(*number) == wanted)
        .map(domain)
}

async fn insert_all(stack: &TestStack, universities: u128) {
    stream::iter(0..universities)
        .map(|number| insert(stack, number))
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
}

async fn schedule(stack: &TestStack) -> String {
    let notice = json!({
        "type": "maintenance",
        "title": "Scheduled Maintenance",
        "message": "System will be down for 2 hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    });
    let (status, made) = stack.post(PATH, &notice).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    text(&made["id"])
}

async fn report(stack: &TestStack, id: &str) -> Value {
    let (status, report) = stack.get(&format!("{PATH}/{id}")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    report
}

#[tokio::test]
async fn everyone_who_can_be_reached_is_told_once_and_nobody_waits_for_the_slow() {
    let stack = TestStack::start().await;
    insert_all(&stack, ALL).await;
    for domain in domains(Kind::Down) {
        stack.portal.set_down(&domain, true);
    }
    for domain in domains(Kind::FailsOnce) {
        stack.portal.fail_next(Failure {
            status: 500,
            count: 1,
            domain: Some(domain),
            retry_after: None,
        });
    }
    let slow = stack.portal.hold(domains(Kind::Slow));

    let id = schedule(&stack).await;

    // Those that are fine are told while the slow ones hold their answers back.
    stack
        .until(async || {
            let taken = taken(&stack);
            domains(Kind::Fine).all(|domain| taken.contains_key(&domain))
        })
        .await;
    for domain in domains(Kind::Slow) {
        assert!(
            !taken(&stack).contains_key(&domain),
            "{domain} was not slow"
        );
    }
    slow.release_all();
    stack.settle().await;

    // As far as they can be reached, each was told once, says the simulator.
    let told = taken(&stack);
    let expected = [Kind::Fine, Kind::Slow, Kind::FailsOnce].into_iter();
    let expected: BTreeMap<_, _> = expected
        .flat_map(domains)
        .map(|domain| (domain, 1))
        .collect();
    assert_eq!(
        differences(&told, &expected),
        [],
        "between told and expected"
    );
    // Nobody was called more often than we know of.
    let tries = tries(&stack, &id).await;
    let before = calls(&stack);
    assert_eq!(tries.len(), 1000);
    for (domain, calls) in &before {
        assert!(calls <= &tries[domain], "{domain}: {calls}");
    }
    let once = domains(Kind::Fine).filter(|domain| before[domain] == 1);
    assert!(once.count() > 800, "nor without need");
    // And so say our records.
    let counted = |report: &Value, state: &str| report["deliveries"][state].as_u64();
    let now = report(&stack, &id).await;
    assert_eq!(now["universities"], 1000);
    assert_eq!(counted(&now, "delivered"), Some(950), "{now}");
    assert_eq!(counted(&now, "pending"), Some(50), "{now}");
    assert_eq!(downtime_mails(&stack), 1000, "one each");

    // A day later.
    for hours in [2, 10, 24] {
        let at = real_now() + SignedDuration::from_hours(hours);
        stack
            .fire("retry-portal-deliveries-job", &at.to_string())
            .await;
        stack.settle().await;
    }
    let then = report(&stack, &id).await;
    assert_eq!(counted(&then, "delivered"), Some(950), "{then}");
    assert_eq!(counted(&then, "failed"), Some(50), "{then}");
    assert_eq!(counted(&then, "pending"), Some(0), "{then}");
    let mut after = calls(&stack);
    for domain in domains(Kind::Down) {
        assert_eq!(after.remove(&domain), Some(7), "{domain}");
    }
    let reached = before
        .iter()
        .filter(|(domain, _)| after.contains_key(*domain));
    let reached: BTreeMap<_, _> = reached
        .map(|(domain, calls)| (domain.clone(), *calls))
        .collect();
    assert_eq!(after, reached, "nobody else was called again");
    assert_eq!(alerts(&stack).await, OF_A_KIND);
    stack.finish().await;
}

/// How often each portal was called.
fn calls(stack: &TestStack) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for request in stack.portal.requests() {
        *calls.entry(request.domain).or_default() += 1;
    }
    calls
}

/// How often each portal was called, as far as we know.
async fn tries(stack: &TestStack, id: &str) -> BTreeMap<String, usize> {
    let mut tries = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{PATH}/{id}/deliveries?limit=100{cursor}");
        let (status, page) = stack.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        for delivery in page["data"].as_array().expect("a list") {
            let id: Uuid = text(&delivery["university_id"]).parse().expect("an id");
            let attempts = delivery["attempts"].as_u64().expect("a number");
            let attempts = usize::try_from(attempts).expect("small");
            tries.insert(domain(id.as_u128() - 1), attempts);
        }
        let Some(next) = page["next_cursor"].as_str() else {
            return tries;
        };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn announcers_that_die_or_meet_tell_nobody_twice() {
    let stack = TestStack::start().await;
    stack.sources.pause("portal-delivery-listener");
    insert_all(&stack, 300).await;
    let id = schedule(&stack).await;
    // Somewhere on its way, the first one dies, and another two begin.
    stack
        .until(async || report(&stack, &id).await["universities"] != 0)
        .await;
    let killed = stack.lambda.kill("maintenance-listener").await;
    killed.expect("killed");
    let events = stack.rows("outbox").await.into_iter();
    let mut scheduled = events.filter(|it| it["detail_type"] == s("MaintenanceScheduled"));
    let scheduled = scheduled.next().expect("an event")["detail"].clone();
    for _ in 0..2 {
        let message = NewMessage {
            body: scheduled.as_s().expect("text").clone(),
            ..NewMessage::default()
        };
        stack
            .sqs
            .send(&stack.name("maintenance"), message)
            .expect("sent");
    }
    stack.sources.resume("portal-delivery-listener");
    stack.settle().await;
    assert_eq!(downtime_mails(&stack), 300);
    let calls = calls(&stack);
    assert_eq!(calls.len(), 300);
    assert!(calls.values().all(|calls| *calls == 1), "{calls:?}");
    let now = report(&stack, &id).await;
    assert_eq!(now["deliveries"]["delivered"], 300, "{now}");
    let (_, listed) = stack.get(PATH).await;
    assert_eq!(listed["data"][0]["universities"], 300, "as it was counted");
    stack.finish().await;
}

#[tokio::test]
async fn what_is_cancelled_while_it_is_announced_adds_up() {
    let stack = TestStack::start().await;
    insert_all(&stack, 300).await;
    let id = schedule(&stack).await;
    stack
        .until(async || report(&stack, &id).await["universities"] != 0)
        .await;
    let cancel = format!("{PATH}/{id}/cancel");
    let (status, cancelled) = stack.post(&cancel, &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    stack.settle().await;
    let now = report(&stack, &id).await;
    let count = |state: &str| now["deliveries"][state].as_u64().expect("a number");
    assert_eq!(count("pending") + count("failed"), 0, "{now}");
    let delivered = usize::try_from(count("delivered")).expect("small");
    assert_eq!(taken(&stack).len(), delivered, "{now}");
    stack.finish().await;
}

fn downtime_mails(stack: &TestStack) -> usize {
    let mut to: Vec<_> = stack.mails().into_iter().map(|mail| mail.to).collect();
    let all = to.len();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), all, "nobody was mailed twice");
    all
}

/// How many portals the owner was alerted of.
async fn alerts(stack: &TestStack) -> usize {
    let (status, page) = stack.get("/api/admin/alerts?limit=100").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let alerts = page["data"].as_array().expect("a list").iter();
    let unreachable = alerts.filter(|it| it["type"] == "portal_unreachable");
    unreachable.count()
}
