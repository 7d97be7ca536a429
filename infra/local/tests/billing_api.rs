//! What admins do in billing: subscribe, invoice, cancel, void, remind; and what Stripe refuses.

mod support;

use bitflow_domain::billing::invoice::InvoiceStatus;
use bitflow_domain::id::UniversityId;
use bitflow_domain::university::UniversityStatus;
use bitflow_local::simulators::stripe::Failure;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, text};

fn invoices(university: UniversityId) -> String {
    format!("/api/admin/universities/{university}/invoices")
}

fn subscriptions(university: UniversityId) -> String {
    format!("/api/admin/universities/{university}/subscriptions")
}

fn two_items() -> Value {
    json!({
        "currency": "eur",
        "days_until_due": 14,
        "items": [
            { "description": "Setup <& more>", "amount": 120_000 },
            { "description": "Training", "amount": 3_450 },
        ],
    })
}

#[tokio::test]
async fn an_invoice_is_made_once_for_each_key() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let path = invoices(university);
    let (status, headers, made) = stack.post_with_key("k-1", &path, &two_items()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["amount_due"], 123_450);
    assert_eq!(made["currency"], "EUR");
    assert_eq!(made["status"], "open");
    assert_eq!(made["items"][1]["description"], "Training");
    let at = headers["location"].to_str().unwrap();
    assert_eq!(stack.get(at).await.1, made, "what Location names");

    // The same again, written differently: the first answer, and nothing new.
    let mut again = two_items();
    again["currency"] = "eur".into();
    let (status, _, repeated) = stack.post_with_key("k-1", &path, &again).await;
    assert_eq!((status, &repeated), (StatusCode::CREATED, &made));
    again["days_until_due"] = 15.into();
    let (status, _, problem) = stack.post_with_key("k-1", &path, &again).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    let (status, _, _) = stack.post_with_key("k y", &path, &two_items()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    stack.settle().await;
    let at_stripe = stack.stripe.objects_of("invoice", &customer);
    assert_eq!(at_stripe.len(), 1);
    assert_eq!(at_stripe[0]["metadata"]["invoice_id"], made["id"]);
    assert_eq!(at_stripe[0]["collection_method"], "send_invoice");
    assert_eq!(
        stack.events(university).await,
        ["UniversityCreated", "InvoiceGenerated"]
    );
    let mails = stack.mails();
    assert_eq!(mails.len(), 2, "welcome and invoice");
    assert!(mails[1].text.contains("EUR 1,234.50"), "{}", mails[1].text);
    let list = stack.get(&path).await.1;
    assert_eq!(list["data"], json!([made]));
    stack.finish().await;
}

#[tokio::test]
async fn at_the_same_moment_it_is_one_invoice_too() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let path = invoices(university);
    let body = two_items();
    let all = (0..8).map(|_| stack.post_with_key("k-1", &path, &body));
    let answers = futures_util::future::join_all(all).await;
    let made = |it: &&(StatusCode, _, Value)| it.0 == StatusCode::CREATED;
    let first = answers.iter().find(made).expect("one is made");
    for answer in &answers {
        // Whoever meets another at work may be told to come again.
        let busy = answer.0 == StatusCode::SERVICE_UNAVAILABLE;
        assert!(
            busy || (answer.0, &answer.2) == (first.0, &first.2),
            "{answer:?}"
        );
    }
    stack.settle().await;
    assert_eq!(stack.stripe.objects_of("invoice", &customer).len(), 1);
    assert_eq!(stack.rows("invoices").await.len(), 1);
    assert_eq!(stack.mails().len(), 2);
    stack.finish().await;
}

#[tokio::test]
async fn a_creation_that_died_is_completed_by_its_repeat() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let path = invoices(university);
    let body = two_items();
    // The process dies with the answer of each kind of call in turn.
    let mut held = stack.stripe.hold_answer("/v1/invoices");
    for call in ["draft", "item", "final"] {
        let (answer, ()) = tokio::join!(stack.post_with_key("k-1", &path, &body), async {
            held.taken_effect().await;
            stack.lambda.kill("billing-api").await.unwrap();
            held.release();
        });
        assert!(answer.0.is_server_error(), "{call}: {answer:?}");
        let at_stripe = stack.stripe.objects_of("invoice", &customer);
        assert_eq!(at_stripe.len(), 1, "{call}");
        let next = match call {
            "draft" => "/v1/invoiceitems".to_owned(),
            _ => format!("/v1/invoices/{}/finalize", text(&at_stripe[0]["id"])),
        };
        held = stack.stripe.hold_answer(&next);
    }
    drop(held);
    stack.stripe.hold_answer("/none");
    let (status, _, made) = stack.post_with_key("k-1", &path, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["amount_due"], 123_450, "no item twice");
    stack.settle().await;
    assert_eq!(stack.stripe.objects_of("invoice", &customer).len(), 1);
    assert_eq!(stack.rows("invoices").await.len(), 1);
    assert_eq!(
        stack.events(university).await,
        ["UniversityCreated", "InvoiceGenerated"]
    );
    stack.finish().await;
}

#[tokio::test]
async fn while_stripe_is_down_nothing_is_half_made() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    stack.stripe.fail_next(Failure {
        status: 503,
        path: "/v1/invoices".into(),
        count: 3,
        ..Failure::default()
    });
    let path = invoices(university);
    let (status, headers, problem) = stack.post_with_key("k-1", &path, &two_items()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert!(headers.contains_key("retry-after"));
    assert!(stack.rows("invoices").await.is_empty());
    let (status, _, made) = stack.post_with_key("k-1", &path, &two_items()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");

    let price = stack.price(5000, "usd");
    stack.stripe.fail_next(Failure {
        status: 0,
        path: "/v1/subscriptions".into(),
        count: 3,
        after_effect: true,
        ..Failure::default()
    });
    let (path, body) = (
        subscriptions(university),
        json!({ "stripe_price_id": price }),
    );
    let (status, _, problem) = stack.post_with_key("k-2", &path, &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    let (status, _, made) = stack.post_with_key("k-2", &path, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    stack.settle().await;
    assert_eq!(stack.stripe.objects_of("subscription", &customer).len(), 1);
    assert_eq!(stack.rows("subscriptions").await.len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn a_failure_that_stripe_repeats_is_got_past() {
    let stack = TestStack::start().await;
    let stored = |path: &str| Failure {
        status: 500,
        path: path.to_owned(),
        stored: true,
        ..Failure::default()
    };
    stack.stripe.fail_next(stored("/v1/customers"));
    let (university, customer) = stack.onboarded("Uppsala").await;
    assert_eq!(stack.stripe.count("customer"), 1);
    let path = invoices(university);
    for (call, under) in ["/v1/invoices", "/v1/invoiceitems", "/v1/invoices/in_"]
        .iter()
        .zip(1..)
    {
        stack.stripe.fail_next(stored(call));
        let key = format!("k-{under}");
        let (status, _, made) = stack.post_with_key(&key, &path, &two_items()).await;
        assert_eq!(status, StatusCode::CREATED, "{call}: {made}");
        assert_eq!(made["amount_due"], 123_450);
        let at_stripe = stack.stripe.objects_of("invoice", &customer);
        let charged = at_stripe.iter().filter(|it| it["status"] == "open");
        assert_eq!(
            charged.count(),
            under,
            "drafts are left behind, never charged"
        );
    }
    stack.stripe.fail_next(stored("/v1/subscriptions"));
    stack.subscription(university).await;
    assert_eq!(stack.stripe.objects_of("subscription", &customer).len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn an_invoice_of_many_items_keeps_them_all() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let item = |number: i64| json!({ "description": format!("Item {number}"), "amount": number });
    let items: Vec<Value> = (1..=30).map(item).collect();
    let body = json!({ "items": items });
    let (status, made) = stack.post(&invoices(university), &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["items"], body["items"]);
    assert_eq!(made["amount_due"], 465);

    // One that was made at Stripe, and is adopted.
    let form = format!("customer={customer}");
    let invoice = text(&stack.stripe.create("invoices", &form).unwrap()["id"]);
    for number in 1..=30 {
        let form = format!("customer={customer}&invoice={invoice}&amount={number}&currency=usd");
        stack.stripe.create("invoiceitems", &form).unwrap();
    }
    let finalize = format!("invoices/{invoice}/finalize");
    stack.stripe.create(&finalize, "").unwrap();
    stack.settle().await;
    let listed = stack.get(&invoices(university)).await.1;
    let adopted = listed["data"].as_array().unwrap().iter();
    let counts: Vec<_> = adopted
        .map(|it| it["items"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [30, 30]);
    stack.finish().await;
}

#[tokio::test]
async fn what_stripe_refuses_is_a_clear_problem() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.subscription(university).await;
    let failure = |status: u16, method: &str| Failure {
        status,
        path: "/v1/subscriptions".to_owned(),
        method: Some(method.to_owned()),
        ..Failure::default()
    };
    stack.stripe.fail_next(failure(400, "DELETE"));
    let path = format!("{}/{id}", subscriptions(university));
    let (status, problem) = stack.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = text(&problem["detail"]);
    assert!(detail.contains("The request was refused."), "{detail}");
    let still = stack.stripe.object(&stripe_id).unwrap();
    assert_eq!(still["status"], "incomplete", "and not told to be over");

    stack.stripe.fail_next(failure(402, "POST"));
    let body = json!({ "stripe_price_id": stack.price(9900, "usd") });
    let (status, problem) = stack.post(&subscriptions(university), &body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = text(&problem["detail"]);
    assert!(detail.contains("declined"), "{detail}");
    stack.finish().await;
}

#[tokio::test]
async fn what_cannot_be_billed_names_its_field() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let refused = async |path: String, body: Value, fields: &[&str]| {
        let (status, problem) = stack.post(&path, &body).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}: {problem}"
        );
        let errors = problem["errors"].as_array().unwrap();
        let seen: Vec<_> = errors.iter().map(|it| text(&it["field"])).collect();
        assert_eq!(seen, fields, "{body}: {problem}");
    };
    let item = |amount: Value| json!({ "items": [{ "description": "x", "amount": amount }] });
    for amount in [
        json!(-1),
        json!(0),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(100_000_000),
    ] {
        refused(
            invoices(university),
            item(amount.clone()),
            &["items.0.amount"],
        )
        .await;
        let plan = json!({ "description": "x", "amount": amount });
        refused(subscriptions(university), plan, &["amount"]).await;
    }
    refused(subscriptions(university), json!({}), &["stripe_price_id"]).await;
    let many = vec![json!({ "description": "x", "amount": 1 }); 500];
    refused(invoices(university), json!({ "items": many }), &["items"]).await;
    refused(invoices(university), json!({ "items": [] }), &["items"]).await;
    let huge = vec![json!({ "description": "x", "amount": 99_999_999 }); 2];
    refused(invoices(university), json!({ "items": huge }), &["items"]).await;
    let mut body = item(json!(1));
    body["currency"] = "xyz".into();
    body["days_until_due"] = 0.into();
    body["colour"] = "red".into();
    let fields = ["currency", "days_until_due", "colour"];
    refused(invoices(university), body, &fields).await;
    let both = json!({ "stripe_price_id": "price_1", "amount": 5 });
    refused(subscriptions(university), both, &["amount"]).await;
    let odd = json!({ "stripe_price_id": "../customers" });
    refused(subscriptions(university), odd, &["stripe_price_id"]).await;

    // What only Stripe knows.
    let none = json!({ "stripe_price_id": "price_none" });
    refused(subscriptions(university), none, &["stripe_price_id"]).await;
    stack.subscription(university).await;
    let other = json!({ "stripe_price_id": stack.price(9900, "eur") });
    refused(subscriptions(university), other, &["stripe_price_id"]).await;

    delete(&stack, university).await;
    refused(invoices(university), item(json!(1)), &["university_id"]).await;
    let plan = json!({ "description": "x", "amount": 1 });
    refused(subscriptions(university), plan, &["university_id"]).await;
    assert_eq!(
        stack.rows("invoices").await.len(),
        1,
        "the subscription's first"
    );
    assert_eq!(stack.rows("subscriptions").await.len(), 1);

    let nobody = "01900000-0000-7000-8000-00000000dead".parse().unwrap();
    let (status, _) = stack.post(&invoices(nobody), &item(json!(1))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    stack.finish().await;
}

/// Deletes a university as its row will be.
async fn delete(stack: &TestStack, id: UniversityId) {
    let universities = Universities::new(&stack.dynamo(), stack.name("universities"));
    let mut university = universities.get(id).await.expect("read").expect("there");
    let loaded = university.version;
    university.status = UniversityStatus::Deleted;
    university.version = loaded.next();
    let mut transaction = Transaction::new(&stack.dynamo());
    universities.replace(&mut transaction, &university, loaded);
    transaction.commit().await.expect("stored");
}

#[tokio::test]
async fn subscriptions_are_cancelled_now_or_with_their_period() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.subscription(university).await;
    let manual = stack.manual_plan(university, 5000).await;
    stack.settle().await;
    let cancel = async |id: String, query: &str| {
        let path = format!("{}/{id}{query}", subscriptions(university));
        stack.call(Method::DELETE, &path, None).await
    };
    let (status, ending) = cancel(id.to_string(), "?at_period_end=true").await;
    assert_eq!(status, StatusCode::OK, "{ending}");
    assert_eq!(ending["cancel_at_period_end"], true);
    assert_eq!(ending["status"], "incomplete");
    let at_stripe = stack.stripe.object(&stripe_id).unwrap();
    assert_eq!(at_stripe["cancel_at_period_end"], true);
    let (_, over) = cancel(id.to_string(), "").await;
    assert_eq!(over["status"], "cancelled");
    assert_eq!(
        stack.stripe.object(&stripe_id).unwrap()["status"],
        "canceled"
    );
    let (status, again) = cancel(id.to_string(), "").await;
    assert_eq!(
        (status, &again["status"]),
        (StatusCode::OK, &json!("cancelled"))
    );

    let (_, ending) = cancel(manual.to_string(), "?at_period_end=true").await;
    assert_eq!(ending["cancel_at_period_end"], true);
    assert_eq!(ending["status"], "active");
    let (status, problem) = cancel(manual.to_string(), "?at_period_end=soon").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["field"], "at_period_end");
    let (status, _) = cancel("nothing".to_owned(), "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let listed = stack.get(&subscriptions(university)).await.1;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);

    stack.settle().await;
    let events = stack.events(university).await;
    let changes = events
        .iter()
        .filter(|it| *it == "SubscriptionStatusChanged");
    assert_eq!(
        changes.count(),
        5,
        "two made, two will end, one over: {events:?}"
    );
    stack.finish().await;
}

#[tokio::test]
async fn invoices_are_voided_reminded_of_and_found_by_status() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let (open, _) = stack.invoice(university, 1000).await;
    let (paid, paid_at_stripe) = stack.invoice(university, 2000).await;
    stack.stripe.pay(&paid_at_stripe).unwrap();
    stack.settle().await;
    let act = async |id: &dyn std::fmt::Display, act: &str| {
        let path = format!("{}/{id}/{act}", invoices(university));
        stack.post(&path, &json!({})).await
    };

    let remind = format!("{}/{open}/remind", invoices(university));
    let (first, _, reminded) = stack.post_with_key("r-1", &remind, &json!({})).await;
    let (second, _, _) = stack.post_with_key("r-1", &remind, &json!({})).await;
    assert_eq!(
        (first, second),
        (StatusCode::OK, StatusCode::OK),
        "{reminded}"
    );
    let (status, problem) = act(&paid, "remind").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");

    let by_status = async |query: &str| {
        let (status, page) = stack.get(&format!("/api/admin/invoices{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| text(&row["id"])).collect::<Vec<_>>()
    };
    assert_eq!(by_status("?status=open").await, [open.to_string()]);
    assert_eq!(by_status("?status=paid").await, [paid.to_string()]);
    let before = "?status=open&due_before=2020-01-01T00:00:00Z";
    assert!(by_status(before).await.is_empty());
    let ancient = "?status=open&due_before=1969-01-01T00:00:00Z";
    assert!(by_status(ancient).await.is_empty());
    stack.invoice(university, 1000).await;
    let first = stack.get("/api/admin/invoices?status=open&limit=1").await.1;
    let cursor = text(&first["next_cursor"]);
    let other = format!("/api/admin/invoices{before}&cursor={cursor}");
    let (status, problem) = stack.get(&other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let (status, problem) = stack.get("/api/admin/invoices?status=late&limit=0").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    let (status, _) = stack.get("/api/admin/invoices").await;
    assert_eq!(
        status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "status is required"
    );

    let (status, voided) = act(&open, "void").await;
    assert_eq!(
        (status, &voided["status"]),
        (StatusCode::OK, &json!("void"))
    );
    assert_eq!(act(&open, "void").await.0, StatusCode::OK);
    let (status, problem) = act(&paid, "void").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    stack.settle().await;
    let stored = stack.stored_invoice(university, open).await;
    assert_eq!(stored.status, InvoiceStatus::Void);

    let events = stack.events(university).await;
    let count = |kind: &str| events.iter().filter(|it| *it == kind).count();
    assert_eq!(count("PaymentReminderDue"), 1, "{events:?}");
    assert_eq!(count("InvoiceVoided"), 1, "{events:?}");
    stack.finish().await;
}

#[tokio::test]
async fn lists_page_newest_first() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let mut made = Vec::new();
    for cents in [100, 200, 300] {
        made.push(stack.invoice(university, cents).await.0.to_string());
    }
    let first = stack
        .get(&format!("{}?limit=2", invoices(university)))
        .await
        .1;
    let cursor = text(&first["next_cursor"]);
    let path = format!("{}?limit=2&cursor={cursor}", invoices(university));
    let second = stack.get(&path).await.1;
    assert_eq!(second["next_cursor"], Value::Null);
    let pages = [&first, &second];
    let mut listed: Vec<_> = pages
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|row| text(&row["id"]))
        .collect();
    // Stripe's times have whole seconds: within one, any order.
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    let elsewhere = format!("/api/admin/universities/{university}/payments?cursor={cursor}");
    let (status, problem) = stack.get(&elsewhere).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    stack.finish().await;
}

#[tokio::test]
async fn billing_needs_its_scopes() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let reader = stack.token(&["billing:read"]);
    let body = json!({ "items": [{ "description": "x", "amount": 1 }] });
    let path = invoices(university);
    let (status, _) = stack
        .call_with(&reader, Method::POST, &path, Some(&body))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = stack.call_with(&reader, Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::OK);
    let other = stack.token(&["universities:read"]);
    let (status, _) = stack.call_with(&other, Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    stack.finish().await;
}

#[tokio::test]
async fn a_subscription_is_cancelled_as_it_was_seen() {
    let stack = TestStack::start().await;
    let (university, _) = stack.onboarded("Uppsala").await;
    let plan = stack.manual_plan(university, 5000).await;
    let path = format!("/api/admin/universities/{university}/subscriptions/{plan}");
    let cancel = async |tag: &str| {
        let request = reqwest::Client::new()
            .delete(format!("{}{path}", stack.info().api_url))
            .bearer_auth(&stack.info().admin_token)
            .header("if-match", tag);
        request.send().await.expect("an answer")
    };
    let refused = cancel("\"7\"").await;
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["current_version"], 1);
    assert_eq!(stack.get(&path).await.1["status"], "active");
    assert_eq!(cancel("\"1\"").await.status(), StatusCode::OK);
    assert_eq!(stack.get(&path).await.1["status"], "cancelled");
    // It is as it was asked for.
    assert_eq!(cancel("\"1\"").await.status(), StatusCode::OK);
    stack.finish().await;
}
