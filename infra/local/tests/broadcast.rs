//! A broadcast to a thousand universities, of whose portals some are down, some slow, and some
//! fail once.

mod support;

use std::collections::BTreeMap;

use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, StorageQuota, University, UniversityName};
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

async fn report(stack: &TestStack, id: &str) -> Value {
    let (status, report) = stack.get(&format!("{PATH}/{id}")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    report
}

#[tokio::test]
async fn everyone_who_can_be_reached_is_told_once_and_nobody_waits_for_the_slow() {
    let stack = TestStack::start().await;
    stream::iter(0..ALL)
        .map(|number| insert(&stack, number))
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
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

    let notice = json!({
        "type": "maintenance",
        "title": "Scheduled Maintenance",
        "message": "System will be down for 2 hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    });
    let (status, made) = stack.post(PATH, &notice).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let id = text(&made["id"]);

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
    // Without need nobody was called twice.
    let calls = stack.portal.requests();
    let calls_of = |domain: &str| calls.iter().filter(|it| it.domain == domain).count();
    assert!(domains(Kind::Fine).all(|domain| calls_of(&domain) == 1));
    assert!(domains(Kind::FailsOnce).all(|domain| calls_of(&domain) == 2));
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
    assert_eq!(taken(&stack), expected, "nobody was told again");
    assert_eq!(alerts(&stack).await, OF_A_KIND);
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
