//! The embedded metric format, as CloudWatch reads it.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::collections::{BTreeMap, BTreeSet};

use bitflow_runtime::metrics::{ALL, NAMESPACE, STACK};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::log::metrics;
use crate::scenes;
use crate::support::{TestStack, real_now};

/// A metric as it was written: its name, and its dimensions with their values.
pub(crate) type Seen = (String, BTreeMap<String, String>);

/// The units that CloudWatch knows and we use.
const UNITS: [&str; 2] = ["Count", "Milliseconds"];

/// Reads a line by the specification's words; each metric in it.
fn read(line: &Map<String, Value>) -> Vec<Seen> {
    let metadata = line["_aws"].as_object().expect("an object");
    let timestamp = metadata["Timestamp"].as_i64().expect("milliseconds");
    let age = real_now().as_millisecond() - timestamp;
    assert!((0..600_000).contains(&age), "{timestamp} is not now");
    let directives = metadata["CloudWatchMetrics"].as_array().expect("a list");
    let mut seen = Vec::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], NAMESPACE);
        let sets = directive["Dimensions"].as_array().expect("a list of lists");
        assert!(!sets.is_empty(), "one set of dimensions at least");
        for set in sets {
            let set = set.as_array().expect("a list");
            assert!(set.len() <= 30, "as many as there may be: {line:?}");
            let dimensions: BTreeMap<String, String> = set
                .iter()
                .map(|name| {
                    let name = name.as_str().expect("a name");
                    let value = line[name].as_str().expect("a text at the root");
                    assert!((1..=1024).contains(&value.len()) && value.is_ascii());
                    (name.to_owned(), value.to_owned())
                })
                .collect();
            let metrics = directive["Metrics"].as_array().expect("a list");
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                let name = metric["Name"].as_str().expect("a name");
                let unit = metric["Unit"].as_str().expect("a unit");
                assert!(UNITS.contains(&unit), "{unit}");
                match &line[name] {
                    Value::Number(_) => {}
                    Value::Array(values) => {
                        assert!((1..=100).contains(&values.len()), "{name}");
                        assert!(values.iter().all(Value::is_number), "{values:?}");
                    }
                    other => panic!("{name} is {other}"),
                }
                seen.push((name.to_owned(), dimensions.clone()));
            }
        }
    }
    seen
}

/// All that was counted on a day of each kind.
pub(crate) async fn of_all_days() -> BTreeSet<Seen> {
    let mut seen = BTreeSet::new();
    for stack in [scenes::a_day().await, scenes::a_bad_day().await] {
        for (function, line) in metrics(&stack) {
            let found = read(&line);
            assert!(!found.is_empty(), "{function}: {line:?}");
            seen.extend(found);
        }
        stack.shutdown().await.expect("it stops");
    }
    seen
}

#[tokio::test]
async fn what_is_counted_is_what_is_documented() {
    let seen = of_all_days().await;
    for metric in ALL {
        let written: Vec<_> = seen
            .iter()
            .filter(|(name, _)| name == metric.name)
            .collect();
        assert!(!written.is_empty(), "{} is never written", metric.name);
        for (name, dimensions) in written {
            let expect: BTreeSet<&str> = metric.dimensions.iter().copied().chain([STACK]).collect();
            let dimensions: BTreeSet<&str> = dimensions.keys().map(String::as_str).collect();
            assert_eq!(dimensions, expect, "{name}");
        }
    }
    let known: BTreeSet<&str> = ALL.iter().map(|it| it.name).collect();
    let unknown: Vec<_> = seen
        .iter()
        .filter(|(it, _)| !known.contains(it.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // What strangers and vendors write is no dimension: each has a few values.
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in seen.iter().flat_map(|(_, dimensions)| dimensions) {
        values.entry(name).or_default().insert(value);
    }
    for (dimension, values) in values {
        assert!(values.len() <= 30, "{dimension}: {values:?}");
    }
}

/// A portal that did not get the answer sends the same again.
#[tokio::test]
async fn an_alert_that_comes_again_is_counted_as_repeated() {
    let stack = TestStack::start().await;
    let created = stack.onboard("Uppsala").await;
    let answered = scenes::raise(&stack, &created, 2).await;
    assert_eq!(answered, StatusCode::CREATED);
    let metrics = metrics(&stack).into_iter();
    let alerts = metrics.filter(|(_, it)| it.get("Webhook") == Some(&json!("portal-alerts")));
    let outcomes: Vec<_> = alerts.map(|(_, it)| it["Outcome"].clone()).collect();
    assert_eq!(outcomes, ["applied", "repeated"]);
    stack.finish().await;
}
