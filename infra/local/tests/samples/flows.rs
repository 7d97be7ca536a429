//! What happens beside the samples, for what functions are granted because of it: second times,
//! vendors that fail, and what others made by hand.

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use bitflow_domain::billing::month::Month;
use bitflow_domain::id::InvoiceId;
use bitflow_local::aws::sqs::queue::NewMessage;
use bitflow_local::simulators::portal::Failure;
use bitflow_university::sign;
use image::{DynamicImage, ImageFormat, RgbImage};
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::seed::{PORTAL_SECRET, UNIVERSITY, World};
use crate::support::{TestStack, real_now, text};

/// All of them.
pub(crate) const ALL: &[fn()] = &[
    an_alert_is_raised_again_and_found,
    bills_of_who_has_no_customer_yet,
    what_was_made_by_hand_at_stripe_is_adopted,
    portals_that_refuse_or_fail,
    files_are_measured_and_swept,
    what_the_stream_missed_is_swept,
    a_logo_is_uploaded_and_fetched,
    every_dead_letter_queue_is_watched,
];

#[tokio::main(flavor = "current_thread")]
async fn an_alert_is_raised_again_and_found() {
    let world = World::start().await;
    let alert =
        json!({ "type": "storage_exceeded", "university_id": UNIVERSITY, "message": "Full" });
    let body = alert.to_string();
    // A call of the same second is a copy.
    let now = real_now();
    for seconds_ago in [0, 1] {
        let at = now - SignedDuration::from_secs(seconds_ago);
        let signature = sign(&PORTAL_SECRET.to_owned().into(), body.as_bytes(), at);
        let raise = world
            .stack
            .post_signed("/api/admin/alerts", &body, Some(&signature));
        assert_eq!(raise.await.0, StatusCode::CREATED);
    }
    let path = format!("/api/admin/alerts?university_id={UNIVERSITY}");
    let (_, page) = world.stack.get(&path).await;
    assert_eq!(page["data"][0]["count"], 2);
    world.stack.finish().await;
}

#[tokio::main(flavor = "current_thread")]
async fn bills_of_who_has_no_customer_yet() {
    let of_the_month = World::before_stripe().await;
    of_the_month.insert_plan("2025-11-10T00:00:00Z").await;
    of_the_month
        .invoke("invoice-listener/manual-plan.json")
        .await;
    assert_eq!(of_the_month.stack.rows("invoices").await.len(), 1);
    of_the_month.stack.finish().await;

    let of_an_admin = World::before_stripe().await;
    of_an_admin.stack.invoice(UNIVERSITY, 1000).await;
    for list in ["invoices", "subscriptions"] {
        let path = format!("/api/admin/universities/{UNIVERSITY}/{list}");
        assert_eq!(of_an_admin.stack.get(&path).await.0, StatusCode::OK);
    }
    of_an_admin.stack.finish().await;
}

/// It does not say whose it is: the customer does.
#[tokio::main(flavor = "current_thread")]
async fn what_was_made_by_hand_at_stripe_is_adopted() {
    let world = World::start().await;
    let (stack, customer) = (&world.stack, &world.customer);
    let make = |path: &str, form: &str| text(&stack.stripe.create(path, form).expect("made")["id"]);
    let invoice = make("invoices", &format!("customer={customer}"));
    let item = format!("customer={customer}&invoice={invoice}&amount=500&currency=usd");
    make("invoiceitems", &item);
    make(&format!("invoices/{invoice}/finalize"), "");
    stack.settle().await;
    let id = InvoiceId::of_stripe_invoice(&invoice);
    let void = format!("/api/admin/universities/{UNIVERSITY}/invoices/{id}/void");
    let (status, voided) = stack.post(&void, &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{voided}");

    let price = stack.price(9900, "usd");
    let form = format!("customer={customer}&items[0][price]={price}");
    let subscription = make("subscriptions", &form);
    let pay_latest = || {
        let latest = stack.stripe.object(&subscription).expect("there");
        stack
            .stripe
            .pay(&text(&latest["latest_invoice"]))
            .expect("paid");
    };
    pay_latest();
    stack.settle().await;
    // The next cycle's webhooks are late: the monthly run is first.
    stack.stripe.hold_deliveries();
    stack.stripe.advance(&subscription).expect("advanced");
    pay_latest();
    let next = Month::containing(real_now()).next().period().start;
    stack
        .fire("generate-monthly-invoices-job", &next.to_string())
        .await;
    stack.settle().await;
    assert_eq!(stack.payments(UNIVERSITY).await.len(), 2);
    world.stack.finish().await;
}

#[tokio::main(flavor = "current_thread")]
async fn portals_that_refuse_or_fail() {
    let stack = TestStack::start().await;
    for name in ["Uppsala", "Lund"] {
        let created = stack.onboard(name).await;
        let domain = text(&created["domain"]);
        let secret = text(&created["portal_secret"]).into();
        stack.portal.set_secret_of(&domain, secret);
        // One may do it another time, one would not.
        stack.portal.fail_next(Failure {
            status: if name == "Uppsala" { 500 } else { 422 },
            count: 1,
            domain: Some(domain),
            retry_after: None,
        });
    }
    let notice = json!({
        "type": "maintenance",
        "title": "Maintenance",
        "message": "Down for two hours",
        "scheduled_at": "2099-11-15T02:00:00Z",
    });
    let (status, made) = stack.post("/api/admin/notifications", &notice).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    stack.settle().await;
    assert_eq!(stack.portal.requests().len(), 3);
    let (_, alerts) = stack.get("/api/admin/alerts").await;
    assert_eq!(alerts["data"][0]["type"], "portal_unreachable");
    stack.finish().await;
}

/// The sample's quota is one byte.
#[tokio::main(flavor = "current_thread")]
async fn files_are_measured_and_swept() {
    let world = World::start().await;
    let left = format!("universities/{UNIVERSITY}/logos/left.png");
    for key in [&left, &format!("universities/{UNIVERSITY}/other")] {
        let put = world.stack.s3().put_object();
        let put = put.bucket(world.stack.bucket()).key(key);
        put.body(vec![0; 10].into()).send().await.expect("put");
    }
    let file = world.stack.bucket_folder().join(left);
    let opened = std::fs::File::options().append(true).open(&file);
    let old = SystemTime::now() - Duration::from_hours(25);
    opened.expect("a file").set_modified(old).expect("set");
    world
        .stack
        .fire("sync-storage-usage-job", "2026-01-15T02:00:00Z")
        .await;
    world.stack.settle().await;
    assert!(!file.exists(), "nobody names it");
    let events = world.stack.events(UNIVERSITY).await;
    assert!(events.contains(&"StorageQuotaExceeded".to_owned()));
    world.stack.finish().await;
}

/// As if the relay had died between the bus and its note.
#[tokio::main(flavor = "current_thread")]
async fn what_the_stream_missed_is_swept() {
    let stack = TestStack::start().await;
    stack.onboarded("Uppsala").await;
    let row = stack.rows("outbox").await.remove(0);
    let update = stack.dynamo().update_item();
    let update = update.table_name(stack.name("outbox"));
    let update = update.key("event_id", row["event_id"].clone());
    let update = update.update_expression("SET pending = :shard");
    let waits = update.expression_attribute_values(":shard", AttributeValue::S("0".into()));
    waits.send().await.expect("updated");
    let later = stack.clock().now() + SignedDuration::from_mins(5);
    stack.fire("sweep-outbox-job", &later.to_string()).await;
    stack.finish().await;
}

#[tokio::main(flavor = "current_thread")]
async fn a_logo_is_uploaded_and_fetched() {
    let world = World::start().await;
    let mut file = Cursor::new(Vec::new());
    let picture = DynamicImage::from(RgbImage::new(32, 32));
    picture
        .write_to(&mut file, ImageFormat::Png)
        .expect("written");
    let file = file.into_inner();
    let path = format!("/api/admin/universities/{UNIVERSITY}/logo");
    let asked = json!({ "content_type": "image/png", "size": file.len() });
    let (_, upload) = world
        .stack
        .post(&format!("{path}/upload-url"), &asked)
        .await;
    let taken: Value = json!({ "upload_id": upload["upload_id"] });
    let take = || world.stack.call(Method::PUT, &path, Some(&taken));
    assert_eq!(
        take().await.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "not there"
    );
    let put = reqwest::Client::new().put(text(&upload["url"]));
    let put = put.header("content-type", "image/png").body(file);
    assert_eq!(
        put.send().await.expect("an answer").status(),
        StatusCode::OK
    );
    assert_eq!(take().await.0, StatusCode::OK);
    let (_, download) = world.stack.get(&path).await;
    let fetched = reqwest::get(text(&download["url"])).await;
    assert_eq!(fetched.expect("an answer").status(), StatusCode::OK);
    world.stack.finish().await;
}

#[tokio::main(flavor = "current_thread")]
async fn every_dead_letter_queue_is_watched() {
    let stack = TestStack::start().await;
    let queues = stack
        .model()
        .queues
        .iter()
        .filter(|it| it.redrive.is_none());
    let queues: Vec<_> = queues.map(|queue| queue.name.clone()).collect();
    for queue in &queues {
        let message = NewMessage {
            body: "poison".to_owned(),
            ..NewMessage::default()
        };
        stack.sqs.send(queue, message).expect("sent");
    }
    let now = stack.clock().now().to_string();
    stack.fire("watch-dead-letters-job", &now).await;
    for queue in &queues {
        stack.sqs.purge(queue).expect("purged");
    }
    let (_, alerts) = stack.get("/api/admin/alerts").await;
    assert_eq!(alerts["data"][0]["type"], "dead_letter");
    stack.finish().await;
}
