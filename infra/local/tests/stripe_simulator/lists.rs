//! Lists: newest first, in pages, narrowed by filters.

use jiff::SignedDuration;
use reqwest::Method;

use super::harness::{Stripe, id, ids};

#[tokio::test]
async fn invoices_are_listed_newest_first_and_filtered() {
    let stripe = Stripe::start().await;
    let (one, other) = (stripe.customer().await, stripe.customer().await);
    let old = stripe.invoice(&one, 100).await;
    let foreign = stripe.invoice(&other, 100).await;
    let began = stripe.clock.now().as_second();
    stripe
        .clock
        .advance_to(stripe.clock.now() + SignedDuration::from_hours(1));
    let paid = stripe.invoice(&one, 100).await;
    stripe.pay(&paid).unwrap();
    let subscription = stripe.subscription(&one).await;
    let billed = subscription["latest_invoice"].as_str().unwrap().to_owned();
    let listed = async |query: &str| ids(&stripe.get(&format!("invoices?{query}")).await);

    assert_eq!(listed("").await, [&*billed, &*paid, &*foreign, &*old]);
    let of_one = format!("customer={one}");
    assert_eq!(listed(&of_one).await, [&*billed, &*paid, &*old]);
    let query = format!("subscription={}", id(&subscription));
    assert_eq!(listed(&query).await, [&*billed]);
    let query = format!("{of_one}&status=open");
    assert_eq!(listed(&query).await, [&*billed, &*old]);
    let later = began + 60;
    for (bound, expected) in [
        (format!("created[gte]={later}"), vec![&*billed, &*paid]),
        (format!("created[gt]={later}"), vec![&*billed, &*paid]),
        (format!("created[lt]={later}"), vec![&*old]),
        (format!("created[lte]={later}"), vec![&*old]),
        (format!("created[gte]={later}&created[lt]={later}"), vec![]),
    ] {
        assert_eq!(listed(&format!("{of_one}&{bound}")).await, expected);
    }
    let created = stripe.now(&old)["created"].as_i64().unwrap();
    assert!(listed(&format!("created={created}")).await.contains(&old));

    let first = stripe.get(&format!("invoices?{of_one}&limit=2")).await;
    assert_eq!(ids(&first), [&*billed, &*paid]);
    assert_eq!(first["has_more"], true);
    let query = format!("invoices?{of_one}&limit=2&starting_after={paid}");
    let second = stripe.get(&query).await;
    assert_eq!(ids(&second), [&*old]);
    assert_eq!(second["has_more"], false);

    for (query, param) in [
        ("invoices?status=closed", "status"),
        ("invoices?limit=101", "limit"),
        ("invoices?created[since]=1", "since"),
        ("invoices?customer=cus_nobody", "customer"),
        ("invoices?starting_after=in_nobody", "starting_after"),
        ("subscriptions?status=closed", "status"),
    ] {
        let path = format!("/v1/{query}");
        let answer = stripe.send(Method::GET, &path, "", &[]).await;
        assert_eq!((answer.status, answer.error().2), (400, param), "{query}");
    }
}

#[tokio::test]
async fn canceled_subscriptions_are_listed_where_they_are_asked_for() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let kept = id(&stripe.subscription(&customer).await);
    let ended = id(&stripe.subscription(&customer).await);
    let path = format!("/v1/subscriptions/{ended}");
    assert_eq!(
        stripe.send(Method::DELETE, &path, "", &[]).await.status,
        200
    );
    let of = format!("subscriptions?customer={customer}");
    let listed = async |query: &str| ids(&stripe.get(&format!("{of}{query}")).await);
    assert_eq!(listed("").await, [&*kept]);
    assert_eq!(listed("&status=all").await, [&*ended, &*kept]);
    assert_eq!(listed("&status=canceled").await, [&*ended]);
    assert_eq!(listed("&status=ended").await, [&*ended]);
    assert_eq!(listed("&status=incomplete").await, [&*kept]);
    let tomorrow = stripe.clock.now().as_second() + 86_400;
    let query = format!("&status=all&created[gte]={tomorrow}");
    assert!(listed(&query).await.is_empty());
}

#[tokio::test]
async fn payments_lead_from_invoices_to_methods_and_back() {
    let stripe = Stripe::start().await;
    let customer = stripe.customer().await;
    let (paid, open) = (
        stripe.invoice(&customer, 700).await,
        stripe.invoice(&customer, 800).await,
    );
    stripe.pay(&paid).unwrap();
    let query = |invoice: &str| {
        format!(
            "invoice_payments?invoice={invoice}&status=paid\
             &expand[]=data.payment.payment_intent.payment_method"
        )
    };
    assert!(ids(&stripe.get(&query(&open)).await).is_empty());
    let found = stripe.get(&query(&paid)).await;
    let payment = &found["data"][0];
    assert_eq!(payment["amount_paid"], 700);
    let intent = &payment["payment"]["payment_intent"];
    assert_eq!(intent["payment_method"]["type"], "card");
    assert_eq!(intent["payment_method"]["customer"], *customer);

    let intent = id(intent);
    let query =
        format!("invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}");
    assert_eq!(stripe.get(&query).await["data"][0]["invoice"], *paid);
    let path = "/v1/invoice_payments?payment[type]=payment_record";
    let answer = stripe.send(Method::GET, path, "", &[]).await;
    assert_eq!((answer.status, answer.error().2), (400, "payment[type]"));

    let charges = stripe
        .get(&format!("charges?payment_intent={intent}"))
        .await;
    let read = stripe.get(&format!("payment_intents/{intent}")).await;
    assert_eq!(charges["data"][0]["id"], read["latest_charge"]);
    for (path, object) in [("payment_methods", "payment_method"), ("charges", "charge")] {
        let at = if object == "charge" {
            "latest_charge"
        } else {
            object
        };
        let one = read[at].as_str().unwrap();
        assert_eq!(stripe.get(&format!("{path}/{one}")).await["object"], object);
    }
    // Payments are part of an invoice where they are asked for.
    let plain = stripe.get(&format!("invoices/{paid}")).await;
    assert!(plain.get("payments").is_none());
    let whole = stripe
        .get(&format!("invoices/{paid}?expand[]=payments"))
        .await;
    assert_eq!(
        whole["payments"]["data"][0]["payment"]["payment_intent"],
        *intent
    );
}

#[tokio::test]
async fn customers_are_found_by_what_they_carry() {
    let stripe = Stripe::start().await;
    let form = "email=a@b.example&metadata[university_id]=u";
    let customer = id(&stripe.made("customers", form).await);
    stripe.customer().await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("query", "metadata['university_id']:'u'")
        .finish();
    let found = stripe.get(&format!("customers/search?{query}")).await;
    assert_eq!(ids(&found), [&*customer]);
    let invoice = stripe.invoice(&customer, 100).await;
    let read = stripe
        .get(&format!("invoices/{invoice}?expand[]=customer"))
        .await;
    assert_eq!(read["customer"]["email"], "a@b.example");
    // An old event is forgotten, as after 30 days.
    let event = id(&stripe.objects("event")[0]);
    stripe.get(&format!("events/{event}")).await;
    stripe
        .clock
        .advance_to(stripe.clock.now() + SignedDuration::from_hours(31 * 24));
    stripe.customer().await;
    let path = format!("/v1/events/{event}");
    assert_eq!(stripe.send(Method::GET, &path, "", &[]).await.status, 404);
    assert_eq!(stripe.count("event"), 1);
}
