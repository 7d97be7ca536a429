//! Flows that follow from others.

use bitflow_local::simulators::stripe::Failure;
use serde_json::{Value, json};

use crate::support::{TestStack, text};
use crate::{fact, spans};

impl TestStack {
    /// The flows that a flow leads to, each whole, by what their webhooks tell of.
    async fn led_to(&self, flow: &Value) -> Vec<(String, Value)> {
        let mut flows = Vec::new();
        for led in flow["led_to"].as_array().expect("a list") {
            let flow = self.shown(&format!("flows/{}", text(&led["id"]))).await;
            assert_eq!(flow["about"], led["about"]);
            flows.push((text(&led["about"]), flow));
        }
        flows
    }

    /// The newest flow of a webhook that tells of this.
    async fn webhook_of(&self, about: &str) -> Value {
        let shown = self.shown("flows").await;
        let flows = shown["flows"].as_array().expect("a list");
        let found = flows.iter().find(|flow| flow["about"] == about);
        let id = text(&found.expect("it came")["id"]);
        self.shown(&format!("flows/{id}")).await
    }
}

#[tokio::test]
async fn a_webhook_and_the_call_that_caused_it_lead_to_each_other() {
    let stack = TestStack::start().await;
    let (uppsala, _) = stack.onboarded("Uppsala").await;
    let (_, invoice) = stack.invoice(uppsala, 129_900).await;
    stack.settle().await;
    let title = format!("POST /api/admin/universities/{uppsala}/invoices");
    let made = stack.flow(&title).await;
    assert_eq!(made["follows_from"], json!([]));
    let led = stack.led_to(&made).await;
    let told: Vec<&str> = led.iter().map(|(about, _)| &**about).collect();
    for about in ["invoice.created", "invoice.finalized"] {
        assert!(told.contains(&about), "{told:?}");
    }
    for (about, flow) in &led {
        let [from] = &flow["follows_from"].as_array().unwrap()[..] else {
            panic!("{flow:#}");
        };
        assert_eq!(
            (&from["id"], &from["title"]),
            (&made["id"], &made["title"]),
            "{about}"
        );
        // It is the call under which it is listed, by the id that Stripe gave that.
        let led = made["led_to"].as_array().unwrap().iter();
        let led = led.clone().find(|it| it["id"] == flow["id"]).unwrap();
        let calls = spans(&made, "vendor", "Stripe").into_iter();
        let call = calls.clone().find(|it| it["id"] == led["span"]).unwrap();
        assert_eq!(from["call"], call["about"], "{about}");
        let caused_by = fact(&flow["spans"][0], "caused by request");
        assert_eq!(caused_by, fact(call, "request id"), "{about}");
    }

    // What a customer does follows from nothing of ours.
    stack.stripe.pay(&invoice).unwrap();
    stack.settle().await;
    let paid = stack.webhook_of("invoice.paid").await;
    assert_eq!(paid["follows_from"], json!([]));
    assert_eq!(fact(&paid["spans"][0], "caused by request"), json!(null));
    stack.finish().await;
}

#[tokio::test]
async fn a_webhook_that_is_there_before_the_answer_is_put_with_it_later() {
    let stack = TestStack::start().await;
    let held = stack.stripe.hold_answer("/v1/customers");
    stack.onboard("Uppsala").await;
    held.taken_effect().await;
    let came = async || {
        let shown = stack.shown("flows").await;
        let flows = shown["flows"].as_array().unwrap().clone();
        flows
            .iter()
            .any(|it| it["about"] == "customer.created" && it["outcome"] == "done")
    };
    stack.until(came).await;
    let early = stack.webhook_of("customer.created").await;
    assert_eq!(early["follows_from"], json!([]));
    held.release();
    stack.settle().await;
    let created = stack.flow("POST /api/admin/universities").await;
    let told = stack.webhook_of("customer.created").await;
    assert_eq!(told["id"], early["id"]);
    assert_eq!(told["follows_from"][0]["id"], created["id"]);
    stack.finish().await;
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_known_by_its_repeat() {
    let stack = TestStack::start().await;
    stack.stripe.fail_next(Failure {
        path: "/v1/customers".to_owned(),
        after_effect: true,
        ..Failure::default()
    });
    stack.onboard("Uppsala").await;
    stack.settle().await;
    let created = stack.flow("POST /api/admin/universities").await;
    let calls = spans(&created, "vendor", "Stripe");
    assert_eq!(calls.len(), 2, "{created:#}");
    let carried_out = fact(calls[1], "repeats request");
    let [(about, told)] = &stack.led_to(&created).await[..] else {
        panic!("{created:#}");
    };
    assert_eq!(about, "customer.created");
    assert_eq!(created["led_to"][0]["span"], calls[1]["id"]);
    let caused_by = fact(&told["spans"][0], "caused by request");
    assert_eq!((carried_out.is_string(), caused_by), (true, carried_out));
    stack.finish().await;
}
