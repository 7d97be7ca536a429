//! The life of a university: changed, deleted, restored, its secret rotated; and what follows.

mod support;

use bitflow_domain::billing::subscription::SubscriptionStatus;
use bitflow_domain::id::UniversityId;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use futures_util::future::join_all;
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

const ALL: &str = "/api/admin/universities";

fn path(university: impl std::fmt::Display) -> String {
    format!("{ALL}/{university}")
}

fn body(name: &str, domain: &str) -> Value {
    json!({ "name": name, "primary_email": "it@a.example", "domain": domain, "storage_quota": 1 })
}

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().expect("errors");
    errors
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect()
}

impl TestStack {
    async fn patch(&self, university: UniversityId, body: &Value) -> (StatusCode, Value) {
        self.call(Method::PATCH, &path(university), Some(body))
            .await
    }

    async fn delete(&self, university: UniversityId) -> StatusCode {
        self.call(Method::DELETE, &path(university), None).await.0
    }

    async fn restore(&self, university: UniversityId) -> (StatusCode, Value) {
        let path = format!("{}/restore", path(university));
        self.call(Method::POST, &path, None).await
    }

    /// A call under a condition; status, ETag and body.
    async fn on_condition(
        &self,
        method: Method,
        university: UniversityId,
        if_match: &str,
        body: Option<&Value>,
    ) -> (u16, Option<String>, Value) {
        let url = format!("{}{}", self.info().api_url, path(university));
        let mut request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(&self.info().admin_token)
            .header("if-match", if_match);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the API answers");
        let status = answer.status().as_u16();
        let etag = answer.headers().get("etag");
        let etag = etag.map(|etag| etag.to_str().expect("a text").to_owned());
        let bytes = answer.bytes().await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (status, etag, body)
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let (status, page) = self.get(&format!("{ALL}?limit=2{query}{cursor}")).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            let data = page["data"].as_array().expect("a list");
            names.extend(data.iter().map(|it| text(&it["name"])));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    }

    fn universities(&self) -> Universities {
        Universities::new(&self.dynamo(), self.name("universities"))
    }

    async fn stored(&self, id: UniversityId) -> bitflow_domain::university::University {
        let stored = self.universities().get(id).await;
        stored.expect("read").expect("there")
    }

    /// The lines of a university's history of this type, newest first.
    async fn lines(&self, university: UniversityId, kind: &str) -> Vec<Value> {
        let path = format!("{}/activity?limit=100", path(university));
        let (_, page) = self.get(&path).await;
        let lines = page["data"].as_array().expect("a list").clone();
        lines.into_iter().filter(|it| it["type"] == kind).collect()
    }

    /// The statuses of what Stripe has of a customer's subscriptions.
    fn at_stripe(&self, customer: &str) -> Vec<String> {
        let all = self.stripe.objects_of("subscription", customer);
        all.iter().map(|it| text(&it["status"])).collect()
    }

    async fn statuses(&self, university: UniversityId) -> Vec<String> {
        let (_, page) = self
            .get(&format!("{}/subscriptions", path(university)))
            .await;
        let all = page["data"].as_array().expect("a list").clone();
        all.iter().map(|it| text(&it["status"])).collect()
    }
}

#[tokio::test]
async fn a_change_is_answered_told_and_reaches_stripe() {
    let stack = TestStack::start().await;
    let (id, customer) = stack.onboarded("Uppsala").await;
    let change = json!({ "name": "Lund", "primary_email": "it@lu.example", "storage_quota": 7 });
    let (status, etag, changed) = stack
        .on_condition(Method::PATCH, id, "*", Some(&change))
        .await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["name"], "Lund");
    assert_eq!(changed["storage_quota"], 7);
    assert_eq!(changed["domain"], "portal.uppsala.example", "left out");
    assert_eq!(etag, Some(format!("\"{}\"", changed["version"])));
    stack.settle().await;

    let (_, read) = stack.get(&path(id)).await;
    assert_eq!(read, changed);
    let at_stripe = stack.stripe.object(&customer).expect("the customer");
    assert_eq!(at_stripe["name"], "Lund");
    assert_eq!(at_stripe["email"], "it@lu.example");
    assert_eq!(at_stripe["metadata"]["university_id"], id.to_string());
    let lines = stack.lines(id, "university_updated").await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(
        line["description"],
        "University changed: name, primary e-mail, storage quota"
    );
    assert_eq!(
        line["actor"],
        json!({ "kind": "admin", "id": "local-admin" })
    );
    let expected = json!({ "changes": [
        { "field": "name", "old": "Uppsala", "new": "Lund" },
        { "field": "primary_email", "old": "registrar@uppsala.example", "new": "it@lu.example" },
        { "field": "storage_quota", "old": 500_000_000_000_u64, "new": 7 },
    ] });
    assert_eq!(line["metadata"], expected);
    assert_eq!(stack.mails().len(), 1, "the welcome only");

    // Nothing changes: nothing is written, nothing is told. And what Stripe does not have does not
    // go there.
    let calls = stack.stripe.requests_total();
    let (status, same) = stack.patch(id, &change).await;
    assert_eq!((status, &same), (StatusCode::OK, &changed));
    let (status, _) = stack.patch(id, &json!({ "storage_quota": 8 })).await;
    assert_eq!(status, StatusCode::OK);
    stack.settle().await;
    assert_eq!(stack.lines(id, "university_updated").await.len(), 2);
    assert_eq!(stack.stripe.requests_total(), calls);
    stack.finish().await;
}

#[tokio::test]
async fn of_two_changes_of_one_version_one_is_made() {
    let stack = TestStack::start().await;
    let (id, _) = stack.onboarded("Uppsala").await;
    let etag = format!("\"{}\"", stack.stored(id).await.version.get());
    let (one, two) = (json!({ "name": "One" }), json!({ "name": "Two" }));
    let (one, two) = tokio::join!(
        stack.on_condition(Method::PATCH, id, &etag, Some(&one)),
        stack.on_condition(Method::PATCH, id, &etag, Some(&two)),
    );
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{one:?} {two:?}");
    let (made, refused) = if one.0 == 200 { (one, two) } else { (two, one) };
    assert_eq!(refused.2["current_version"], made.2["version"]);
    assert_eq!(refused.2["type"], "urn:bitflow:problem:precondition");
    assert_eq!(stack.stored(id).await.name.as_str(), made.2["name"]);

    // Without a condition both are made, whoever is first.
    let (one, two) = (json!({ "name": "Three" }), json!({ "storage_quota": 3 }));
    let (one, two) = tokio::join!(stack.patch(id, &one), stack.patch(id, &two));
    assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK));
    let stored = stack.stored(id).await;
    assert_eq!(
        (stored.name.as_str(), stored.storage_quota.bytes()),
        ("Three", 3)
    );

    let version = stored.version.get();
    let change = json!({ "name": "Four" });
    for (if_match, expect) in [
        (format!("W/\"{version}\""), 412),
        (etag.clone(), 412),
        ("nonsense".to_owned(), 400),
        (format!("{etag}, \"{version}\""), 200),
    ] {
        let answer = stack.on_condition(Method::PATCH, id, &if_match, Some(&change));
        assert_eq!(answer.await.0, expect, "{if_match}");
    }
    let answer = stack.on_condition(Method::DELETE, id, &etag, None).await;
    assert_eq!(answer.0, 412);
    assert_eq!(answer.2["current_version"], version + 1);
    let current = format!("\"{}\"", version + 1);
    let answer = stack.on_condition(Method::DELETE, id, &current, None).await;
    assert_eq!(answer.0, 204);
    stack.finish().await;
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused() {
    let stack = TestStack::start().await;
    let (id, _) = stack.onboarded("Uppsala").await;
    stack.onboarded("Lund").await;
    let events = stack.events(id).await;
    let all = ["name", "primary_email", "domain", "storage_quota"];
    for (body, expect) in [
        (json!({}), &all[..]),
        (json!({ "name": null }), &["name"]),
        (
            json!({ "storage_quota": null, "name": "x" }),
            &["storage_quota"],
        ),
        (json!({ "name": "x", "status": "deleted" }), &["status"]),
        (
            json!({ "domain": "x", "primary_email": "x" }),
            &["primary_email", "domain"],
        ),
    ] {
        let (status, problem) = stack.patch(id, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(fields(&problem), expect, "{body}");
    }
    let (_, problem) = stack.patch(id, &json!({ "name": null })).await;
    assert_eq!(problem["errors"][0]["message"], "must be a string");

    let taken = json!({ "name": "x", "domain": "portal.lund.example" });
    let (status, problem) = stack.patch(id, &taken).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(fields(&problem), ["domain"]);
    assert_eq!(
        stack.stored(id).await.name.as_str(),
        "Uppsala",
        "none of it"
    );

    let reader = stack.token(&["universities:read"]);
    for (method, path) in [
        (Method::PATCH, path(id)),
        (Method::DELETE, path(id)),
        (Method::POST, format!("{}/restore", path(id))),
        (Method::POST, format!("{}/portal-secret", path(id))),
    ] {
        let body = json!({ "name": "x" });
        let (status, _) = stack
            .call_with(&reader, method.clone(), &path, Some(&body))
            .await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
        let unknown = path.replace(&id.to_string(), "018f3b5e-7c1a-7d1e-8f00-0123456789ab");
        let (status, _) = stack.call(method.clone(), &unknown, Some(&body)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {unknown}");
    }
    assert_eq!(stack.events(id).await, events);
    stack.finish().await;
}

#[tokio::test]
async fn a_domain_moves_with_its_university() {
    let stack = TestStack::start().await;
    let (id, _) = stack.onboarded("Uppsala").await;
    let old = "portal.uppsala.example";
    let (status, changed) = stack
        .patch(id, &json!({ "domain": "new.uu.example" }))
        .await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    let (status, _) = stack.post(ALL, &body("Other", "new.uu.example")).await;
    assert_eq!(status, StatusCode::CONFLICT, "the new one is taken");
    // Of two that want the freed one at the same moment, one gets it.
    let (first, second) = (body("First", old), body("Second", old));
    let (first, second) = tokio::join!(stack.post(ALL, &first), stack.post(ALL, &second));
    let mut statuses = [first.0.as_u16(), second.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{first:?} {second:?}");
    assert_eq!(stack.rows("university-domains").await.len(), 2);
    stack.finish().await;
}

#[tokio::test]
async fn one_key_is_one_university() {
    let stack = TestStack::start().await;
    let body = body("Uppsala", "uu.example");
    let answers = join_all((0..20).map(|_| stack.post_with_key("k-1", ALL, &body))).await;
    let made = |(status, ..): &&(StatusCode, _, _)| *status == StatusCode::CREATED;
    let (_, first_headers, first) = answers.iter().find(made).expect("one is made").clone();
    assert!(text(&first["portal_secret"]).starts_with("psk_"), "{first}");
    for (status, headers, answer) in &answers {
        // What is under way elsewhere may be asked for again.
        if *status == StatusCode::SERVICE_UNAVAILABLE {
            continue;
        }
        assert_eq!((*status, answer), (StatusCode::CREATED, &first));
        for name in ["location", "etag", "cache-control"] {
            assert_eq!(headers[name], first_headers[name]);
        }
    }
    stack.settle().await;
    let id: UniversityId = text(&first["id"]).parse().expect("an id");
    assert_eq!(stack.rows("universities").await.len(), 1);
    assert_eq!(stack.stripe.objects("customer").len(), 1);
    assert_eq!(stack.events(id).await, ["UniversityCreated"]);

    // Whatever became of it since, the first answer is the first answer.
    stack
        .patch(id, &json!({ "name": "Lund", "domain": "lu.example" }))
        .await;
    let (status, _, again) = stack.post_with_key("k-1", ALL, &body).await;
    assert_eq!((status, &again), (StatusCode::CREATED, &first));
    let other = self::body("Uppsala", "other.example");
    let (status, _, refused) = stack.post_with_key("k-1", ALL, &other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");

    // No secret lies with the keys; and once it is another, the first cannot be told again.
    let secret = text(&first["portal_secret"]);
    let keys = stack.rows("idempotency-keys").await;
    assert_eq!(keys.len(), 1);
    assert!(!format!("{keys:?}").contains(&secret));
    let rotate = format!("{}/portal-secret", path(id));
    let (status, _) = stack.call(Method::POST, &rotate, None).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _, gone) = stack.post_with_key("k-1", ALL, &body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{gone}");
    assert_eq!(stack.rows("universities").await.len(), 1);
    stack.finish().await;
}

#[tokio::test]
async fn a_secret_rotates_once_for_each_key() {
    let stack = TestStack::start().await;
    let created = stack.onboard("Uppsala").await;
    let id: UniversityId = text(&created["id"]).parse().expect("an id");
    let first = text(&created["portal_secret"]);
    let rotate = format!("{}/portal-secret", path(id));
    let nothing = json!({});
    let before = real_now();
    let calls = (0..10).map(|_| stack.post_with_key("r-1", &rotate, &nothing));
    let answers = join_all(calls).await;
    let made = |(status, ..): &&(StatusCode, _, _)| *status == StatusCode::OK;
    let (_, headers, answer) = answers.iter().find(made).expect("one is made").clone();
    for (status, _, other) in &answers {
        if *status != StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!((*status, other), (StatusCode::OK, &answer));
        }
    }
    assert_eq!(headers["cache-control"], "no-store");
    let second = text(&answer["portal_secret"]);
    assert_ne!(first, second);
    let secrets = stack.stored(id).await.portal_secrets;
    let accepted = |at| {
        let all = secrets.accepted(at).map(ExposeSecret::expose_secret);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let day = SignedDuration::from_hours(24);
    assert_eq!(
        accepted(before + day - SignedDuration::from_secs(1)),
        [second.as_str(), first.as_str()]
    );
    assert_eq!(accepted(real_now() + day), [second.as_str()]);

    let (status, third) = stack.call(Method::POST, &rotate, None).await;
    assert_eq!(status, StatusCode::OK, "{third}");
    let (status, _, refused) = stack.post_with_key("r-1", &rotate, &nothing).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    // Even where the row knows the rotation no more.
    let (status, fourth) = stack.call(Method::POST, &rotate, None).await;
    assert_eq!(status, StatusCode::OK, "{fourth}");
    let (status, _, refused) = stack.post_with_key("r-1", &rotate, &nothing).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    let current = stack.stored(id).await.portal_secrets.current;
    assert_eq!(current.expose_secret(), text(&fourth["portal_secret"]));

    stack.settle().await;
    let lines = stack.lines(id, "portal_secret_rotated").await;
    assert_eq!(lines.len(), 3);
    for table in ["activities", "outbox", "idempotency-keys"] {
        assert!(
            !format!("{:?}", stack.rows(table).await).contains("psk_"),
            "{table}"
        );
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_deleted_university_frees_its_domain_and_ends_its_subscriptions() {
    let stack = TestStack::start().await;
    let (id, customer) = stack.onboarded("Uppsala").await;
    stack.manual_plan(id, 9900).await;
    stack.subscription(id).await;
    stack.invoice(id, 500).await;
    stack.settle().await;
    assert_eq!(stack.delete(id).await, StatusCode::NO_CONTENT);
    assert_eq!(stack.delete(id).await, StatusCode::NO_CONTENT, "again");
    stack.settle().await;

    assert_eq!(stack.get(&path(id)).await.0, StatusCode::NOT_FOUND);
    let (status, _) = stack.patch(id, &json!({ "name": "x" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(stack.statuses(id).await, ["cancelled", "cancelled"]);
    assert_eq!(stack.at_stripe(&customer), ["canceled"]);
    let (_, invoices) = stack.get(&format!("{}/invoices", path(id))).await;
    for invoice in invoices["data"].as_array().expect("a list") {
        assert_ne!(invoice["status"], "void", "invoices stay");
    }
    let events = stack.events(id).await;
    let count = |kind: &str| events.iter().filter(|it| *it == kind).count();
    assert_eq!(count("UniversityDeleted"), 1);
    assert_eq!(count("SubscriptionStatusChanged"), 2 + 2, "begun and over");
    let deleted = stack.lines(id, "university_deleted").await;
    assert_eq!(deleted.len(), 1);
    let changed = stack.lines(id, "subscription_status_changed").await;
    let over = changed
        .iter()
        .filter(|it| it["metadata"]["to"] == "cancelled");
    // What Stripe ended, its webhook may have told first.
    let ours = over.filter(|it| it["metadata"]["stripe_subscription_id"].is_null());
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), 1);
    for line in ours {
        assert_eq!(
            line["actor"], deleted[0]["actor"],
            "who deleted it ended them"
        );
        assert_eq!(line["correlation_id"], deleted[0]["correlation_id"]);
    }

    // Its domain is another's now: it cannot come back until that is gone.
    let (status, other) = stack
        .post(ALL, &body("Other", "portal.uppsala.example"))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{other}");
    let (status, refused) = stack.restore(id).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert_eq!(fields(&refused), ["domain"]);
    assert_eq!(stack.names("").await, ["Other"]);
    assert_eq!(stack.names("&status=deleted").await, ["Uppsala"]);
    let other: UniversityId = text(&other["id"]).parse().expect("an id");
    assert_eq!(stack.delete(other).await, StatusCode::NO_CONTENT);

    let (status, restored) = stack.restore(id).await;
    assert_eq!(status, StatusCode::OK, "{restored}");
    assert_eq!(restored["status"], "active");
    assert_eq!(restored["stripe_customer_id"], customer);
    let (status, again) = stack.restore(id).await;
    assert_eq!((status, &again), (StatusCode::OK, &restored));
    stack.settle().await;
    assert_eq!(stack.lines(id, "university_restored").await.len(), 1);
    assert_eq!(stack.statuses(id).await, ["cancelled", "cancelled"]);
    let (status, _) = stack
        .post(ALL, &body("Third", "portal.uppsala.example"))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "the domain is its own again");
    stack.finish().await;
}

#[tokio::test]
async fn a_deletion_outlives_the_process_and_spares_what_began_after() {
    let stack = TestStack::start().await;
    let (id, customer) = stack.onboarded("Uppsala").await;
    for _ in 0..3 {
        stack.manual_plan(id, 9900).await;
        stack.subscription(id).await;
    }
    stack.settle().await;
    // One is cancelled at Stripe, of which we do not know yet; then the process dies.
    let held = stack.stripe.hold_answer("/v1/subscriptions/");
    assert_eq!(stack.delete(id).await, StatusCode::NO_CONTENT);
    held.taken_effect().await;
    stack
        .lambda
        .kill("stripe-customer-listener")
        .await
        .expect("killed");
    held.release();
    let (status, _) = stack.restore(id).await;
    assert_eq!(status, StatusCode::OK);
    let later = stack.manual_plan(id, 100).await;
    stack.settle().await;

    assert_eq!(stack.at_stripe(&customer), ["canceled"; 3]);
    let mut statuses = stack.statuses(id).await;
    statuses.sort();
    assert_eq!(statuses[..1], ["active"], "{statuses:?}");
    assert_eq!(statuses[1..], ["cancelled"; 6]);
    let began_later = stack.subscriptions().get(id, later).await;
    let began_later = began_later.expect("read").expect("there");
    assert_eq!(began_later.terms.status, SubscriptionStatus::Active);
    let changed = stack.lines(id, "subscription_status_changed").await;
    let over = changed
        .iter()
        .filter(|it| it["metadata"]["to"] == "cancelled");
    assert_eq!(over.count(), 6, "each ended once");
    stack.finish().await;
}

#[tokio::test]
async fn a_subscription_that_is_under_way_at_the_deletion_ends_too() {
    let stack = TestStack::start().await;
    let (id, customer) = stack.onboarded("Uppsala").await;
    let price = stack.price(9900, "usd");
    // Neither the answer nor the webhook says that it is there, until the deletion is through.
    stack.stripe.hold_deliveries();
    let held = stack.stripe.hold_answer("/v1/subscriptions");
    let subscriptions = format!("{}/subscriptions", path(id));
    let subscription = json!({ "stripe_price_id": price });
    let delete = async {
        held.taken_effect().await;
        assert_eq!(stack.delete(id).await, StatusCode::NO_CONTENT);
        let told = |line: &String| line.contains("subscriptions cancelled");
        while !stack
            .lambda
            .logs("stripe-customer-listener")
            .iter()
            .any(told)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        held.release();
    };
    let ((status, refused), ()) = tokio::join!(stack.post(&subscriptions, &subscription), delete);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert_eq!(stack.statuses(id).await, ["cancelled"]);
    assert_eq!(stack.at_stripe(&customer), ["canceled"]);
    stack.finish().await;
}

#[tokio::test]
async fn what_changed_before_the_customer_was_made_reaches_it() {
    let stack = TestStack::start().await;
    // The customer is made, and its maker dies before it can say so.
    let held = stack.stripe.hold_answer("/v1/customers");
    let created = stack.onboard("Uppsala").await;
    let id: UniversityId = text(&created["id"]).parse().expect("an id");
    held.taken_effect().await;
    let (status, _) = stack.patch(id, &json!({ "name": "Lund" })).await;
    assert_eq!(status, StatusCode::OK);
    stack
        .lambda
        .kill("stripe-customer-listener")
        .await
        .expect("killed");
    held.release();
    stack.settle().await;
    let customers = stack.stripe.objects("customer");
    assert_eq!(customers.len(), 1);
    assert_eq!(customers[0]["name"], "Lund");
    let linked = stack.stored(id).await.stripe_customer_id;
    assert_eq!(linked.as_deref(), customers[0]["id"].as_str());
    stack.finish().await;
}

#[tokio::test]
async fn an_older_change_does_not_overwrite_a_newer_one() {
    let stack = TestStack::start().await;
    let (id, customer) = stack.onboarded("Uppsala").await;
    // The first update is sent, and its answer is not there yet when the second is made: the row
    // then has another name than was sent.
    let held = stack.stripe.hold_answer("/v1/customers");
    let (status, _) = stack.patch(id, &json!({ "name": "One" })).await;
    assert_eq!(status, StatusCode::OK);
    held.taken_effect().await;
    // As a change whose event has not come yet.
    let stored = stack.stored(id).await;
    let two = bitflow_domain::university::UniversityChanges {
        name: Some(bitflow_domain::university::UniversityName::parse("Two").expect("a name")),
        ..Default::default()
    };
    let next = stored.changed(two, real_now()).expect("a change");
    let mut transaction = Transaction::new(&stack.dynamo());
    stack
        .universities()
        .replace(&mut transaction, &next, stored.version);
    transaction.commit().await.expect("stored");
    held.release();
    stack.settle().await;
    let at_stripe = stack.stripe.object(&customer).expect("the customer");
    assert_eq!(at_stripe["name"], "Two");
    stack.finish().await;
}

#[tokio::test]
async fn lists_are_filtered_and_page() {
    let stack = TestStack::start().await;
    for name in ["Bologna", "aachen", "BOCHUM", "Bonn", "boston", "Cambridge"] {
        stack.onboard(name).await;
    }
    let all = ["aachen", "BOCHUM", "Bologna", "Bonn", "boston", "Cambridge"];
    assert_eq!(stack.names("").await, all);
    assert_eq!(stack.names("&status=active&name=bO").await, all[1..5]);
    assert_eq!(stack.names("&name=Bon").await, ["Bonn"]);
    assert!(stack.names("&name=Bonnx").await.is_empty());
    assert!(stack.names("&status=deleted").await.is_empty());
    let (_, found) = stack.get(&format!("{ALL}?name=bonn")).await;
    let bonn = text(&found["data"][0]["id"]).parse().expect("an id");
    assert_eq!(stack.delete(bonn).await, StatusCode::NO_CONTENT);
    assert_eq!(
        stack.names("&name=bo").await,
        ["BOCHUM", "Bologna", "boston"]
    );
    assert_eq!(stack.names("&name=bo&status=deleted").await, ["Bonn"]);

    let (status, problem) = stack.get(&format!("{ALL}?status=gone&name=%20&x=1")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut wrong = fields(&problem);
    wrong.sort_unstable();
    assert_eq!(wrong, ["name", "status", "x"]);
    // A page of one list does not go on in another.
    let (_, page) = stack.get(&format!("{ALL}?limit=1")).await;
    let cursor = text(&page["next_cursor"]);
    let (status, problem) = stack.get(&format!("{ALL}?name=bo&cursor={cursor}")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&problem), ["cursor"]);
    stack.finish().await;
}
