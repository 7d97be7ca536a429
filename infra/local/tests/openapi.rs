//! The description of the HTTP API says what there is.

mod support;

use std::collections::BTreeSet;

use bitflow_local::functions::workspace;
use bitflow_local::openapi;
use bitflow_local::template::model::Trigger;
use reqwest::StatusCode;
use serde_json::Value;
use support::TestStack;

fn described() -> Value {
    serde_json::from_str(&openapi::document()).expect("JSON")
}

#[test]
fn what_is_checked_in_is_what_the_code_says() {
    let path = workspace().join("infra/openapi.json");
    let checked_in = std::fs::read_to_string(path).expect("a file");
    assert!(
        checked_in == openapi::document(),
        "infra/openapi.json is old: cargo local openapi > openapi.new && mv openapi.new infra/openapi.json"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(to) = object.get("$ref").and_then(Value::as_str) {
                    let there = document.pointer(to.trim_start_matches('#'));
                    assert!(there.is_some(), "{to}");
                }
                object.values().for_each(|it| walk(it, document));
            }
            Value::Array(items) => items.iter().for_each(|it| walk(it, document)),
            _ => {}
        }
    }
    let document = described();
    walk(&document, &document);
}

#[test]
fn an_answer_with_a_version_tells_it_as_its_etag() {
    let document = described();
    let etag = |path: &str, method: &str, status: &str| {
        let answer = &document["paths"][path][method]["responses"][status];
        assert!(
            answer.is_object(),
            "{method} {path} is not answered {status}"
        );
        answer["headers"]["ETag"].is_object()
    };
    let university = "/api/admin/universities/{university_id}";
    assert!(etag("/api/admin/universities", "post", "201"));
    assert!(etag(university, "patch", "200"));
    assert!(etag(&format!("{university}/subscriptions"), "post", "201"));
    assert!(etag("/api/admin/alerts", "post", "201"));
    assert!(!etag("/api/admin/universities", "get", "200"));
    assert!(!etag("/api/admin/reports", "post", "202"));
}

#[test]
fn what_is_sent_has_no_fields_but_those_described() {
    let document = described();
    let closed = |name: &str| {
        let schema = &document["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not described");
        schema["additionalProperties"] == false
    };
    // One that is sent itself, one of two that may be, and one in a list of what is sent.
    assert!(closed("NewUniversity"));
    assert!(closed("PricedSubscription"));
    assert!(closed("NewItem"));
    assert!(!closed("University"));
}

#[test]
fn what_is_not_there_is_left_out() {
    for operations in described()["paths"].as_object().expect("paths").values() {
        for operation in operations.as_object().expect("operations").values() {
            for (name, value) in operation.as_object().expect("an operation") {
                assert!(!value.is_null(), "{name} of {}", operation["operationId"]);
            }
        }
    }
}

#[tokio::test]
async fn every_route_is_described_with_its_scope_and_nothing_else_is() {
    let stack = TestStack::start().await;
    let routes = stack.model().functions.iter().flat_map(|it| &it.triggers);
    let routed: BTreeSet<_> = routes
        .filter_map(|trigger| match trigger {
            Trigger::Http(route) => {
                let scopes = route.scopes.clone().unwrap_or_default();
                Some((route.method.clone(), route.path.clone(), scopes))
            }
            _ => None,
        })
        .collect();
    let document = described();
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let security = operation["security"].as_array().expect("security");
            let scopes = security
                .iter()
                .find_map(|it| it["admin"].as_array().cloned());
            let scopes = scopes.unwrap_or_default();
            let scopes = scopes
                .iter()
                .filter_map(|it| it.as_str().map(str::to_owned));
            seen.insert((
                method.to_uppercase(),
                path.clone(),
                scopes.collect::<Vec<_>>(),
            ));
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["summary"].is_string(), "{name} has no summary");
        }
    }
    assert_eq!(seen, routed);
    stack.finish().await;
}

#[tokio::test]
async fn it_is_served_to_everybody() {
    let stack = TestStack::start().await;
    let url = format!("{}/api/openapi.json", stack.info().api_url);
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let served: Value = answer.json().await.expect("JSON");
    assert_eq!(served, described());
    stack.finish().await;
}
