//! Authentication, idempotency, refusals and failures.

use bitflow_local::simulators::stripe::Failure;
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Stripe, id};

async fn keyed(stripe: &Stripe, form: &str, key: &str) -> Answer {
    let key = [("idempotency-key", key)];
    stripe.send(Method::POST, "/v1/customers", form, &key).await
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn idempotency_keys_repeat_the_first_answer() {
    let stripe = Stripe::start().await;
    let first = keyed(&stripe, "name=a", "k").await;
    assert!(!replayed(&first));
    let second = keyed(&stripe, "name=a", "k").await;
    assert!(replayed(&second) && second.body == first.body);
    let other = keyed(&stripe, "name=b", "k").await;
    assert_eq!(other.status, 400);
    assert_eq!(other.error().0, "idempotency_error");
    assert_eq!(stripe.count("customer"), 1);
    // After a day the key is forgotten.
    stripe
        .clock
        .advance_to(stripe.clock.now() + SignedDuration::from_hours(25));
    let third = keyed(&stripe, "name=a", "k").await;
    assert!(!replayed(&third) && third.body["id"] != first.body["id"]);
}

/// <https://docs.stripe.com/api/events/object#event_object-request>
#[tokio::test]
async fn an_event_names_the_request_that_caused_it() {
    let stripe = Stripe::start().await;
    let first = keyed(&stripe, "name=a", "k").await;
    let caused = json!({ "id": first.header("request-id"), "idempotency_key": "k" });
    assert_eq!(stripe.event("customer.created")["request"], caused);
    // A repeat has an id of its own, and names the one that was carried out.
    let again = keyed(&stripe, "name=a", "k").await;
    assert_ne!(again.header("request-id"), first.header("request-id"));
    for answer in [&first, &again] {
        let original = answer.header("original-request");
        assert_eq!(original, first.header("request-id"));
        assert_eq!(answer.header("idempotency-key"), Some("k"));
    }

    // Of a request that took effect though its answer says that it failed, and that has no key.
    stripe.fail_next(Failure {
        status: 500,
        after_effect: true,
        ..Failure::default()
    });
    let failed = stripe.post("customers", "name=b").await;
    let caused = json!({ "id": failed.header("request-id"), "idempotency_key": null });
    let created = stripe.events("customer.created").pop();
    assert_eq!(created.expect("it took effect")["request"], caused);
    assert_eq!(failed.header("original-request"), None);

    // What Stripe or a customer does is no request's.
    let customer = stripe.customer().await;
    let invoice = stripe.invoice(&customer, 100).await;
    stripe.pay(&invoice).unwrap();
    let nobody = json!({ "id": null, "idempotency_key": null });
    assert_eq!(stripe.event("invoice.paid")["request"], nobody);
    assert!(stripe.event("invoice.finalized")["request"]["id"].is_string());
    // The webhook says the same.
    stripe.settle().await;
    let told = stripe.taken();
    let told = |kind: &str| told.iter().find(|it| it["type"] == kind);
    for kind in ["invoice.paid", "invoice.finalized"] {
        let told: &Value = told(kind).expect("it was told");
        assert_eq!(told["request"], stripe.event(kind)["request"], "{kind}");
    }
}

#[tokio::test]
async fn a_key_is_in_use_until_its_first_request_is_answered() {
    let stripe = Stripe::start().await;
    let held = stripe.hold_answer("/v1/customers");
    let first = keyed(&stripe, "name=a", "k");
    let meanwhile = async {
        held.taken_effect().await;
        let second = keyed(&stripe, "name=a", "k").await;
        let other = keyed(&stripe, "name=b", "other").await;
        held.release();
        (second, other)
    };
    let (first, (second, other)) = tokio::join!(first, meanwhile);
    assert_eq!((first.status, other.status), (200, 200));
    assert_eq!(second.status, 409);
    assert_eq!(second.error().1, "idempotency_key_in_use");
    let again = keyed(&stripe, "name=a", "k").await;
    assert!(replayed(&again) && again.body == first.body);
    assert_eq!(stripe.count("customer"), 2);
}

#[tokio::test]
async fn wrong_requests_are_refused_as_stripe_does() {
    let stripe = Stripe::start().await;
    let missing = (400, "parameter_missing", "customer");
    let unknown = (400, "parameter_unknown", "nmae");
    let nobody = (400, "resource_missing", "customer");
    stripe.refused("customers", "nmae=a", unknown).await;
    stripe.refused("invoices", "", missing).await;
    stripe
        .refused("invoices", "customer=cus_nobody", nobody)
        .await;
    let customer = stripe.customer().await;
    let form = format!("customer={customer}&items[0][price]=price_none");
    let price = (400, "resource_missing", "items[0][price]");
    stripe.refused("subscriptions", &form, price).await;
    let item = |amount: &str| format!("customer={customer}&currency=usd&amount={amount}");
    let integer = (400, "parameter_invalid_integer", "amount");
    stripe.refused("invoiceitems", &item("1.5"), integer).await;
    let large = (400, "amount_too_large", "amount");
    stripe
        .refused("invoiceitems", &item("100000000"), large)
        .await;
    stripe.made("invoiceitems", &item("99999999")).await;
    let currency = (400, "", "currency");
    let form = format!("customer={customer}&amount=1&currency=euros");
    stripe.refused("invoiceitems", &form, currency).await;
    let large = (400, "amount_too_large", "unit_amount");
    let form = "currency=usd&unit_amount=100000000&product_data[name]=a";
    stripe.refused("prices", form, large).await;

    for path in ["/v1/invoices/in_nobody", "/v1/nonsense"] {
        let answer = stripe.send(Method::GET, path, "", &[]).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let url = format!("{}/v1/customers", stripe.url());
    let http = reqwest::Client::new();
    for request in [http.get(&url), http.get(&url).bearer_auth("sk_other")] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_is_refused_leaves_no_trace() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let before = stripe.count("event");
    // The price is refused after its product was made, the subscription after its invoice was.
    let form = "currency=usd&unit_amount=1&product_data[name]=a&recurring[interval]=never";
    stripe
        .refused(
            "prices",
            form,
            (400, "parameter_invalid", "recurring[interval]"),
        )
        .await;
    assert_eq!(
        (stripe.count("product"), stripe.count("event")),
        (0, before)
    );
    let price = stripe.price("usd", 100).await;
    let before = stripe.count("event");
    let form = format!(
        "customer={customer}&items[0][price]={price}&expand[]=latest_invoice.payment_intent"
    );
    stripe
        .refused("subscriptions", &form, (400, "", "expand"))
        .await;
    assert_eq!(stripe.count("subscription"), 0);
    assert_eq!(
        (stripe.count("invoice"), stripe.count("event")),
        (0, before)
    );
    assert!(stripe.get("invoices").await["data"] == json!([]));
    assert!(stripe.now(&customer)["currency"].is_null());
}

#[tokio::test]
async fn failures_are_as_many_and_where_they_were_asked_for() {
    let stripe = Stripe::start().await;
    let failure = json!({ "status": 429, "path": "/v1/customers", "method": "post", "count": 2 });
    assert_eq!(stripe.control("fail_next", &failure).await.0, 204);
    stripe.get("customers").await;
    stripe.get("invoices").await;
    for _ in 0..2 {
        let limited = stripe.post("customers", "name=a").await;
        assert_eq!(limited.status, 429);
        assert_eq!(limited.error(), ("invalid_request_error", "rate_limit", ""));
        let reason = limited.header("stripe-rate-limited-reason");
        assert_eq!(reason, Some("global-rate"));
        assert_eq!(limited.header("retry-after"), None);
    }
    stripe.made("customers", "name=a").await;
    assert_eq!(stripe.count("customer"), 1);

    stripe.fail_next(Failure {
        status: 503,
        stripe_should_retry: Some(false),
        retry_after: Some(7),
        ..Failure::default()
    });
    let failed = stripe.post("customers", "name=b").await;
    assert_eq!((failed.status, failed.error().0), (503, "api_error"));
    assert_eq!(failed.header("stripe-should-retry"), Some("false"));
    assert_eq!(failed.header("retry-after"), Some("7"));
    let (status, _) = stripe.control("fail_next", &json!({ "statsu": 500 })).await;
    assert_eq!(status, 422);

    let log = stripe.requests();
    let seen: Vec<_> = log
        .iter()
        .map(|it| (it.method.as_str(), it.status))
        .collect();
    let expected = [
        ("GET", 200),
        ("GET", 200),
        ("POST", 429),
        ("POST", 429),
        ("POST", 200),
        ("POST", 503),
    ];
    assert_eq!(seen, expected);
    assert_eq!(stripe.requests_total(), 6);
}

#[tokio::test]
async fn a_500_is_repeated_if_execution_had_begun() {
    let stripe = Stripe::start().await;
    for (stored, expected) in [(false, 200), (true, 500)] {
        stripe.fail_next(Failure {
            status: 500,
            stored,
            ..Failure::default()
        });
        let key = format!("k {stored}");
        assert_eq!(keyed(&stripe, "name=a", &key).await.status, 500);
        let again = keyed(&stripe, "name=a", &key).await;
        assert_eq!((again.status, replayed(&again)), (expected, stored));
    }
    // The one that had an effect keeps answering 500.
    stripe.fail_next(Failure {
        status: 500,
        after_effect: true,
        stored: true,
        ..Failure::default()
    });
    let before = stripe.count("customer");
    for _ in 0..2 {
        assert_eq!(keyed(&stripe, "name=c", "k").await.status, 500);
    }
    assert_eq!(stripe.count("customer"), before + 1);
    let newest = stripe.objects("customer").pop().unwrap();
    assert_eq!(newest["name"], "c", "{}", id(&newest));
}
