//! Stripe's simulator behaves as Stripe's documentation says.

mod support;

use reqwest::StatusCode;
use serde_json::Value;
use support::TestStack;

struct Stripe<'a> {
    stack: &'a TestStack,
    http: reqwest::Client,
}

impl Stripe<'_> {
    async fn post(&self, path: &str, form: &str, key: Option<&str>) -> (StatusCode, Value, bool) {
        let url = format!("{}/v1/{path}", self.stack.info().stripe_url);
        let mut request = self
            .http
            .post(url)
            .basic_auth("sk_test_local", None::<&str>);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request
            .body(form.to_owned())
            .send()
            .await
            .expect("answered");
        let replayed = answer.headers().contains_key("idempotent-replayed");
        assert!(answer.headers().contains_key("request-id"));
        (
            answer.status(),
            answer.json().await.expect("JSON"),
            replayed,
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let url = format!("{}/v1/{path}", self.stack.info().stripe_url);
        let answer = self
            .http
            .get(url)
            .bearer_auth("sk_test_local")
            .send()
            .await
            .expect("answered");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    async fn refused(&self, path: &str, form: &str, status: u16, code: &str) {
        let (seen, body, _) = self.post(path, form, None).await;
        assert_eq!(
            (
                seen.as_u16(),
                body["error"]["code"].as_str().unwrap_or_default()
            ),
            (status, code),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn idempotency_keys_repeat_the_first_answer() {
    let stack = TestStack::start().await;
    let stripe = Stripe {
        stack: &stack,
        http: reqwest::Client::new(),
    };
    let (_, first, replayed) = stripe.post("customers", "name=a", Some("k")).await;
    assert!(!replayed);
    let (status, second, replayed) = stripe.post("customers", "name=a", Some("k")).await;
    assert_eq!((status, &second, replayed), (StatusCode::OK, &first, true));
    let (status, other, _) = stripe.post("customers", "name=b", Some("k")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(other["error"]["type"], "idempotency_error");
    assert_eq!(stack.stripe.objects("customer").len(), 1);
    // After a day the key is forgotten.
    stack
        .clock()
        .advance_to(stack.clock().now() + jiff::SignedDuration::from_hours(25));
    let (_, third, replayed) = stripe.post("customers", "name=a", Some("k")).await;
    assert!(!replayed && third["id"] != first["id"]);
    stack.finish().await;
}

#[tokio::test]
async fn an_invoice_goes_through_its_states() {
    let stack = TestStack::start().await;
    let stripe = Stripe {
        stack: &stack,
        http: reqwest::Client::new(),
    };
    let (_, customer, _) = stripe
        .post(
            "customers",
            "email=a@b.example&metadata[university_id]=u",
            None,
        )
        .await;
    let customer = customer["id"].as_str().expect("an id");
    let (_, invoice, _) = stripe
        .post(
            "invoices",
            &format!("customer={customer}&auto_advance=true"),
            None,
        )
        .await;
    assert_eq!(invoice["status"], "draft");
    let id = invoice["id"].as_str().expect("an id");
    for cents in [1000, 250] {
        let form = format!("customer={customer}&invoice={id}&amount={cents}&currency=usd");
        stripe.post("invoiceitems", &form, None).await;
    }
    let (_, open, _) = stripe
        .post(&format!("invoices/{id}/finalize"), "", None)
        .await;
    assert_eq!(
        (&open["status"], &open["amount_due"]),
        (&"open".into(), &1250.into())
    );
    assert!(
        open["number"]
            .as_str()
            .is_some_and(|number| number.ends_with("-0001"))
    );
    stripe
        .refused(
            &format!("invoices/{id}/finalize"),
            "",
            400,
            "invoice_not_editable",
        )
        .await;
    stripe
        .refused(&format!("invoices/{id}/pay"), "", 402, "card_declined")
        .await;
    stack.stripe.pay(id).expect("paid");
    let (_, paid) = stripe
        .get(&format!("invoices/{id}?expand[]=customer"))
        .await;
    assert_eq!(
        (&paid["status"], &paid["amount_paid"]),
        (&"paid".into(), &1250.into())
    );
    assert_eq!(paid["customer"]["email"], "a@b.example");
    stripe
        .refused(
            &format!("invoices/{id}/pay"),
            "",
            400,
            "invoice_already_paid",
        )
        .await;
    stripe
        .refused(&format!("invoices/{id}/void"), "", 400, "")
        .await;

    let (_, events) = stripe.get("events?type=invoice.payment_succeeded").await;
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("query", "metadata['university_id']:'u'")
        .finish();
    let (_, found) = stripe.get(&format!("customers/search?{query}")).await;
    assert_eq!(found["data"][0]["id"], customer);
    stack.finish().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_as_stripe_does() {
    let stack = TestStack::start().await;
    let stripe = Stripe {
        stack: &stack,
        http: reqwest::Client::new(),
    };
    stripe
        .refused("customers", "nmae=a", 400, "parameter_unknown")
        .await;
    stripe
        .refused("invoices", "", 400, "parameter_missing")
        .await;
    stripe
        .refused("invoices", "customer=cus_nobody", 400, "resource_missing")
        .await;
    assert_eq!(
        stripe.get("invoices/in_nobody").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(stripe.get("nonsense").await.0, StatusCode::NOT_FOUND);
    let url = format!("{}/v1/customers", stack.info().stripe_url);
    for request in [
        stripe.http.get(&url),
        stripe.http.get(&url).bearer_auth("sk_other"),
    ] {
        assert_eq!(
            request.send().await.expect("answered").status(),
            StatusCode::UNAUTHORIZED
        );
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_webhook_that_was_not_taken_is_delivered_again() {
    let stack = TestStack::start().await;
    let (university, customer) = stack.onboarded("Uppsala").await;
    let (id, stripe_id) = stack.invoice(university, &customer, 5000).await;
    stack.settle().await;
    // The webhook's process dies with the request, as often as Stripe tries within the first hours.
    let began = stack.clock().now();
    stack.dynamodb.refuse_next(3);
    stack.stripe.pay(&stripe_id).expect("paid");
    stack.settle().await;
    assert_eq!(
        stack.stored_invoice(university, id).await.status.as_str(),
        "paid"
    );
    assert_eq!(stack.payments(university).await.len(), 1);
    assert!(
        stack.clock().now() > began + jiff::SignedDuration::from_mins(4),
        "it waited for Stripe's retry"
    );
    stack.finish().await;
}
