//! A month's invoices and payments as a file.

mod support;

use std::collections::BTreeMap;

use bitflow_domain::billing::month::Month;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestStack, real_now, text};

const PATH: &str = "/api/admin/reports";

/// Asks for a report, and fetches it once it is there: its rows, by column.
async fn fetch(stack: &TestStack, location: &str) -> Vec<BTreeMap<String, String>> {
    stack.settle().await;
    let (status, report) = stack.get(location).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!(report["state"], "ready", "{report}");
    let answer = reqwest::get(text(&report["url"])).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let file = answer.bytes().await.expect("a file");
    let mut reader = csv::Reader::from_reader(file.as_ref());
    let rows = reader.deserialize().map(|row| row.expect("a row"));
    rows.collect()
}

#[tokio::test]
async fn a_report_has_the_months_invoices_and_payments() {
    let stack = TestStack::start().await;
    let (formula, _) = stack.onboarded("Uppsala").await;
    let renamed = json!({ "name": "=HYPERLINK(0)" });
    let path = format!("/api/admin/universities/{formula}");
    let (status, _) = stack.call(Method::PATCH, &path, Some(&renamed)).await;
    assert_eq!(status, StatusCode::OK);
    let (lund, _) = stack.onboarded("Lund").await;
    let (paid, stripe_id) = stack.invoice(formula, 129_900).await;
    let (open, _) = stack.invoice(lund, 5).await;
    stack.stripe.pay(&stripe_id).expect("paid");
    stack.settle().await;
    let month = Month::containing(real_now());
    let asked = json!({ "month": month });
    let (status, headers, report) = stack.post_with_key("report-1", PATH, &asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{report}");
    assert_eq!(report["state"], "pending");
    let location = headers["location"].to_str().expect("text").to_owned();
    let rows = fetch(&stack, &location).await;
    let row = |record: &str, id: &str| {
        let mut found = rows
            .iter()
            .filter(|row| row["record"] == record && row["invoice_id"] == id);
        let row = found.next().expect("a row").clone();
        assert_eq!(found.next(), None);
        row
    };
    assert_eq!(rows.len(), 3);
    let invoice = row("invoice", &paid.to_string());
    assert_eq!(invoice["university"], "'=HYPERLINK(0)");
    assert_eq!(invoice["status"], "paid");
    assert_eq!(invoice["amount"], "1299.00");
    assert_eq!(invoice["stripe_id"], stripe_id);
    let payment = row("payment", &paid.to_string());
    assert_eq!(payment["amount"], "1299.00");
    assert_eq!(payment["amount_refunded"], "0.00");
    assert_eq!(payment["currency"], "USD");
    let invoice = row("invoice", &open.to_string());
    assert_eq!(invoice["status"], "open");
    assert_eq!(invoice["amount"], "0.05");
    assert_eq!(invoice["university_id"], lund.to_string());

    // Another month has none of it.
    let before = json!({ "month": "2020-02" });
    let (_, headers, _) = stack.post_with_key("report-2", PATH, &before).await;
    let location = headers["location"].to_str().expect("text");
    assert_eq!(fetch(&stack, location).await, []);
    stack.finish().await;
}

#[tokio::test]
async fn one_key_is_one_report() {
    let stack = TestStack::start().await;
    let asked = json!({ "month": "2025-01" });
    let sent = (0..5).map(|_| stack.post_with_key("report", PATH, &asked));
    let answers = join_all(sent).await;
    let ids: Vec<_> = answers.iter().map(|answer| &answer.2["id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let other = json!({ "month": "2025-02" });
    let (status, _, _) = stack.post_with_key("report", PATH, &other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    stack.finish().await;
}

#[tokio::test]
async fn what_cannot_be_reported_is_named() {
    let stack = TestStack::start().await;
    for month in [json!("2999-01"), json!("2025-13"), json!(7), Value::Null] {
        let (status, problem) = stack.post(PATH, &json!({ "month": month })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["field"], "month");
    }
    for id in ["7", "01900000-0000-7000-8000-000000000042"] {
        let (status, _) = stack.get(&format!("{PATH}/{id}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    stack.finish().await;
}
