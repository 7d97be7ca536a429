//! Every file below `events/` is run, and answers what it should.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::id::UniversityId;
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, StorageQuota, University, UniversityName};
use bitflow_local::functions::workspace;
use bitflow_local::samples;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use serde_json::{Value, json};
use support::{TestStack, real_now};

/// The university that the samples are about.
const UNIVERSITY: &str = "01900000-0000-7000-8000-000000000001";

/// What each sample answers: an HTTP status, or the whole answer.
fn expected() -> Vec<(&'static str, Value)> {
    let done = json!({ "batchItemFailures": [] });
    vec![
        (
            "activity-listener/one-bad-message.json",
            json!({ "batchItemFailures": [{ "itemIdentifier": "00000000-0000-4000-8000-000000000002" }] }),
        ),
        ("activity-listener/two-events.json", done.clone()),
        ("email-listener/payment-failed.json", done.clone()),
        ("email-listener/university-created.json", done.clone()),
        ("outbox-relay/insert.json", done.clone()),
        ("stripe-customer-listener/university-created.json", done),
        (
            "stripe-webhook/customer.subscription.deleted.json",
            json!(200),
        ),
        (
            "stripe-webhook/customer.subscription.updated.json",
            json!(200),
        ),
        (
            "stripe-webhook/invoice.payment_failed.older-shape.json",
            json!(200),
        ),
        ("stripe-webhook/invoice.payment_succeeded.json", json!(200)),
        ("stripe-webhook/stale-signature.json", json!(400)),
        ("stripe-webhook/unknown-type.json", json!(200)),
        ("sweep-outbox-job/scheduled.json", Value::Null),
        ("universities-api/create-invalid.json", json!(422)),
        ("universities-api/create.json", json!(201)),
        ("universities-api/list.json", json!(200)),
        ("universities-api/no-token.json", json!(401)),
        ("universities-api/read.json", json!(200)),
    ]
}

#[tokio::test]
async fn every_sample_answers_what_it_should() {
    let stack = TestStack::start().await;
    let university = University::onboard(
        UniversityId::parse(UNIVERSITY).unwrap(),
        NewUniversity {
            name: UniversityName::parse("Sample").unwrap(),
            primary_email: EmailAddress::parse("registrar@sample.example").unwrap(),
            domain: DomainName::parse("portal.sample.example").unwrap(),
            storage_quota: StorageQuota::from_bytes(1).unwrap(),
        },
        PortalSecrets::new("s".to_owned().into()),
        real_now(),
    );
    let mut transaction = Transaction::new(&stack.dynamo());
    Universities::new(&stack.dynamo(), stack.name("universities"))
        .insert(&mut transaction, &university);
    transaction.commit().await.unwrap();

    let folder = workspace().join("events");
    for (sample, expect) in expected() {
        let function = sample.split('/').next().unwrap();
        let mut event: Value =
            serde_json::from_slice(&std::fs::read(folder.join(sample)).unwrap()).unwrap();
        if !sample.contains("stale") {
            samples::sign_anew(
                &mut event,
                &stack.info().stripe_webhook_secret.clone().into(),
                real_now(),
            );
        }
        let output = stack
            .lambda
            .invoke(function, event.to_string().into())
            .await
            .unwrap();
        assert_eq!(output.function_error, None, "{sample}: {}", output.log_tail);
        let answer: Value = serde_json::from_slice(&output.payload).unwrap();
        let seen = if expect.is_number() {
            answer["statusCode"].clone()
        } else {
            answer.clone()
        };
        assert_eq!(seen, expect, "{sample}: {answer}\n{}", output.log_tail);
    }
    stack.finish().await;
}

#[test]
fn every_file_is_a_sample_and_every_function_has_one() {
    let expected: BTreeSet<String> = expected()
        .iter()
        .map(|(sample, _)| (*sample).to_owned())
        .collect();
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    let events = workspace().join("events");
    let found: BTreeSet<String> = names(&events)
        .iter()
        .flat_map(|function| {
            let files = names(&events.join(function));
            files
                .into_iter()
                .map(move |file| format!("{function}/{file}"))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(names(&events), names(&workspace().join("functions")));
}
