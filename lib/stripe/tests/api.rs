//! What goes over the wire to Stripe, and what its answers are taken for.

#![cfg(feature = "api")]

mod receiver;

use bitflow_fault::{Class, Fault};
use bitflow_stripe::API_VERSION;
use bitflow_stripe::api::{NewCustomer, NewInvoice, NewItem, NewSubscription};
use bitflow_stripe::object::PaymentDetails;
use jiff::Timestamp;
use receiver::start;

const NEW: NewCustomer<'_> = NewCustomer {
    email: "it@uu.example",
    name: "Åbo & Co",
    university_id: "u-1",
};

#[tokio::test]
async fn a_customer_is_created_with_the_same_key_on_every_attempt() {
    let (client, receiver) = start(&[
        (500, "", r#"{"error":{"type":"api_error"}}"#),
        (409, "true", r#"{"error":{"type":"api_error"}}"#),
        (
            200,
            "",
            r#"{"id":"cus_1","object":"customer","a_field_of_next_year":{}}"#,
        ),
    ])
    .await;
    let customer = client
        .create_customer(&NEW, "key-1")
        .await
        .expect("created");
    assert_eq!(customer.id, "cus_1");
    let asked = receiver.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|it| *it == asked[0]), "{asked:#?}");
    let first = &asked[0];
    assert_eq!(first.line, "POST /v1/customers");
    assert_eq!(first.authorization, "Bearer sk_test");
    assert_eq!(first.version, API_VERSION);
    assert_eq!(first.idempotency_key, "key-1");
    let expected = [
        "email=it@uu.example",
        "metadata[university_id]=u-1",
        "name=Åbo & Co",
    ];
    assert_eq!(first.form(), expected);
}

#[tokio::test]
async fn a_customer_is_updated_in_two_fields_only() {
    let (client, receiver) = start(&[(200, "", r#"{"id":"cus_1","object":"customer"}"#)]).await;
    let values = ("registrar@uu.example", "Uppsala & Co");
    let updated = client.update_customer("cus_1", values, "key-1").await;
    assert_eq!(updated.expect("updated").id, "cus_1");
    let asked = &receiver.asked()[0];
    assert_eq!(asked.line, "POST /v1/customers/cus_1");
    assert_eq!(asked.idempotency_key, "key-1");
    assert_eq!(
        asked.form(),
        ["email=registrar@uu.example", "name=Uppsala & Co"]
    );
}

#[tokio::test]
async fn a_customer_is_found_by_its_metadata() {
    let (client, receiver) = start(&[
        (
            200,
            "",
            r#"{"object":"search_result","data":[{"id":"cus_7"}],"has_more":false}"#,
        ),
        (200, "", r#"{"id":"cus_7","object":"customer"}"#),
        (
            200,
            "",
            r#"{"object":"search_result","data":[{"id":"cus_8"}],"has_more":false}"#,
        ),
        (
            200,
            "",
            r#"{"id":"cus_8","object":"customer","deleted":true}"#,
        ),
        (
            200,
            "",
            r#"{"object":"search_result","data":[],"has_more":false}"#,
        ),
    ])
    .await;
    let found = client.find_customer("u-1").await.expect("searched");
    assert_eq!(found.expect("found").id, "cus_7");
    let deleted = client.find_customer("u-3").await.expect("searched");
    assert_eq!(deleted, None, "deleted a moment ago");
    assert_eq!(client.find_customer("u-2").await.expect("searched"), None);
    let line = receiver.asked()[0].line.clone();
    assert!(line.starts_with("GET /v1/customers/search?"), "{line}");
    assert!(line.contains("university_id"), "{line}");
}

#[tokio::test]
async fn refusals_have_their_class_and_tell_no_secrets() {
    let body = r#"{"error":{"type":"invalid_request_error","code":"email_invalid","param":"email","message":"Invalid email address: it@uu.example"}}"#;
    for (status, should_retry, class, attempts) in [
        (400, "", Class::Invalid, 1),
        (401, "", Class::Broken, 1),
        (402, "", Class::Invalid, 1),
        (404, "", Class::Missing, 1),
        (429, "", Class::TooMany, 3),
        (500, "", Class::Busy, 3),
        (500, "false", Class::Busy, 1),
    ] {
        let (client, receiver) = start(&[(status, should_retry, body); 3]).await;
        let error = client
            .create_customer(&NEW, "key")
            .await
            .expect_err("refused");
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(receiver.asked().len(), attempts, "{status}");
        let text = format!("{error}");
        assert!(
            text.contains("email_invalid") && !text.contains("it@uu"),
            "{text}"
        );
    }
}

const DRAFT: &str = r#"{"id":"in_1","object":"invoice","status":"draft","customer":"cus_1","currency":"usd","amount_due":0,"amount_paid":0,"created":1700000000,"metadata":{}}"#;
const OPEN: &str = r#"{"id":"in_1","object":"invoice","status":"open","number":"X-1","customer":"cus_1","currency":"usd","amount_due":500,"amount_paid":0,"created":1700000000,"due_date":1702592000,"metadata":{"invoice_id":"i-1"}}"#;

#[tokio::test]
async fn an_invoice_is_a_draft_with_items_and_then_final() {
    let (client, receiver) = start(&[(200, "", DRAFT), (200, "", "{}"), (200, "", OPEN)]).await;
    let new = NewInvoice {
        customer: "cus_1",
        currency: "USD",
        days_until_due: Some(30),
        metadata: &[("invoice_id", "i-1")],
    };
    let draft = client.create_invoice(&new, "a").await.expect("created");
    let item = NewItem {
        customer: "cus_1",
        invoice: &draft.id,
        amount: 500,
        currency: "USD",
        description: "Campus",
    };
    client.create_invoice_item(&item, "b").await.expect("added");
    let open = client.finalize_invoice("in_1", "c").await.expect("final");
    assert_eq!(open.status.as_deref(), Some("open"));
    assert_eq!(open.amount_due, 500);

    let asked = receiver.asked();
    let lines: Vec<_> = asked.iter().map(|it| it.line.as_str()).collect();
    let expected = [
        "POST /v1/invoices",
        "POST /v1/invoiceitems",
        "POST /v1/invoices/in_1/finalize",
    ];
    assert_eq!(lines, expected);
    let keys: Vec<_> = asked.iter().map(|it| it.idempotency_key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let expected = [
        "auto_advance=false",
        "collection_method=send_invoice",
        "currency=usd",
        "customer=cus_1",
        "days_until_due=30",
        "metadata[invoice_id]=i-1",
    ];
    assert_eq!(asked[0].form(), expected);
    let expected = [
        "amount=500",
        "currency=usd",
        "customer=cus_1",
        "description=Campus",
        "invoice=in_1",
    ];
    assert_eq!(asked[1].form(), expected);
    assert_eq!(asked[2].form(), ["auto_advance=true"]);
}

#[tokio::test]
async fn an_invoice_is_found_again_unless_it_is_a_draft() {
    let list = |invoice: &str| format!(r#"{{"object":"list","data":[{invoice}]}}"#);
    let (draft, open) = (
        list(&DRAFT.replace("\"metadata\":{}", r#""metadata":{"invoice_id":"i-1"}"#)),
        list(OPEN),
    );
    let (draft, open): (&str, &str) = (draft.leak(), open.leak());
    let (client, receiver) = start(&[(200, "", draft), (200, "", open), (200, "", open)]).await;
    let since = Timestamp::from_second(1_700_000_000).expect("a time");
    let find = async |id: &str| {
        let found = client.reads().find_invoice("cus_1", id, since).await;
        found.expect("listed").map(|invoice| invoice.id)
    };
    assert_eq!(find("i-1").await, None);
    assert_eq!(find("i-1").await.as_deref(), Some("in_1"));
    assert_eq!(find("i-2").await, None);
    let expected = ["created[gte]=1699996400", "customer=cus_1", "limit=100"];
    assert_eq!(receiver.asked()[0].query(), expected);
}

const SUBSCRIPTION: &str = r#"{"id":"sub_1","object":"subscription","status":"incomplete","customer":"cus_1","created":1700000000,"items":{"data":[{"price":{"id":"price_1"},"current_period_start":1700000000,"current_period_end":1702592000}]}}"#;

#[tokio::test]
async fn a_subscription_is_created_and_cancelled() {
    let (client, receiver) = start(&[(200, "", SUBSCRIPTION); 3]).await;
    let new = NewSubscription {
        customer: "cus_1",
        price: "price_1",
        university_id: "u-1",
        subscription_id: "s-1",
    };
    let made = client.create_subscription(&new, "a").await.expect("made");
    assert_eq!(made.price.as_deref(), Some("price_1"));
    let ending = client.cancel_subscription_at_period_end("sub_1").await;
    ending.expect("ends");
    client.cancel_subscription("sub_1").await.expect("over");

    let asked = receiver.asked();
    let expected = [
        "customer=cus_1",
        "items[0][price]=price_1",
        "metadata[subscription_id]=s-1",
        "metadata[university_id]=u-1",
        "payment_behavior=default_incomplete",
    ];
    assert_eq!(asked[0].form(), expected);
    assert_eq!(asked[1].line, "POST /v1/subscriptions/sub_1");
    assert_eq!(asked[1].form(), ["cancel_at_period_end=true"]);
    assert_eq!(asked[2].line, "DELETE /v1/subscriptions/sub_1");
}

#[tokio::test]
async fn how_an_invoice_was_paid() {
    let paid = r#"{"data":[{"invoice":"in_1","payment":{"type":"payment_intent","payment_intent":{"id":"pi_1","payment_method":{"id":"pm_1","type":"card"}}}}]}"#;
    let (client, receiver) = start(&[
        (200, "", paid),
        (200, "", r#"{"data":[]}"#),
        (200, "", paid),
    ])
    .await;
    let reads = client.reads();
    let details = reads.payment_details("in_1").await.expect("listed");
    let expected = PaymentDetails {
        payment_intent: Some("pi_1".to_owned()),
        method: Some("card".to_owned()),
    };
    assert_eq!(details, expected);
    let outside = reads.payment_details("in_2").await.expect("listed");
    assert_eq!(outside, PaymentDetails::default());
    let invoice = reads.invoice_paid_by("pi_1").await.expect("listed");
    assert_eq!(invoice.as_deref(), Some("in_1"));
    let asked = receiver.asked();
    let expected = [
        "expand[]=data.payment.payment_intent.payment_method",
        "invoice=in_1",
        "status=paid",
    ];
    assert_eq!(asked[0].query(), expected);
    let expected = [
        "payment[payment_intent]=pi_1",
        "payment[type]=payment_intent",
    ];
    assert_eq!(asked[2].query(), expected);
}

#[tokio::test]
async fn the_same_request_is_the_same_text() {
    let (client, receiver) = start(&[(200, "", DRAFT); 20]).await;
    for _ in 0..20 {
        let new = NewInvoice {
            customer: "cus_1",
            currency: "usd",
            days_until_due: None,
            metadata: &[("university_id", "u"), ("invoice_id", "i"), ("month", "m")],
        };
        client.create_invoice(&new, "a").await.expect("created");
    }
    let asked = receiver.asked();
    assert!(
        asked.iter().all(|it| it.body == asked[0].body),
        "{asked:#?}"
    );
}
