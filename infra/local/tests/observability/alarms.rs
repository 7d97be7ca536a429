//! Alarms and the dashboard watch what there is; the runbook has an entry for each alarm.

use std::collections::{BTreeMap, BTreeSet};

use bitflow_local::functions::workspace;
use bitflow_local::template::model::{Elsewhere, Model, Trigger};
use bitflow_runtime::metrics::NAMESPACE;
use serde_json::Value;

use crate::metrics::{Seen, of_all_days};
use crate::support::{TestStack, text};

async fn model() -> Model {
    let stack = TestStack::start().await;
    let model = stack.model().clone();
    stack.shutdown().await.expect("it stops");
    model
}

fn alarms(model: &Model) -> impl Iterator<Item = &Elsewhere> {
    let is_alarm = |it: &&Elsewhere| it.kind == "AWS::CloudWatch::Alarm";
    model.elsewhere.iter().filter(is_alarm)
}

/// The metrics that an alarm looks at: namespace, name and dimensions.
fn watched(alarm: &Elsewhere) -> Vec<(String, Seen)> {
    let metric = |metric: &Value| {
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let dimensions = dimensions.map(|it| (text(&it["Name"]), text(&it["Value"])));
        let name = text(&metric["MetricName"]);
        (text(&metric["Namespace"]), (name, dimensions.collect()))
    };
    match alarm.properties["Metrics"].as_array() {
        Some(queries) => queries
            .iter()
            .filter(|it| it.get("MetricStat").is_some())
            .map(|it| metric(&it["MetricStat"]["Metric"]))
            .collect(),
        None => vec![metric(&alarm.properties)],
    }
}

/// A metric by its name, in all values of these dimensions.
type Search = (String, BTreeSet<String>);

fn dashboard(model: &Model) -> Value {
    let is_dashboard = |it: &&Elsewhere| it.kind == "AWS::CloudWatch::Dashboard";
    let dashboard = model.elsewhere.iter().find(is_dashboard).expect("one");
    let body = text(&dashboard.properties["DashboardBody"]);
    serde_json::from_str(&body).expect("the body is JSON")
}

/// The metrics that the dashboard shows, and the schemas that it searches by.
fn shown(model: &Model) -> (Vec<(String, Seen)>, Vec<Search>) {
    let body = dashboard(model);
    let (mut metrics, mut searches) = (Vec::new(), Vec::new());
    for widget in body["widgets"].as_array().expect("widgets") {
        for metric in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let metric = metric.as_array().expect("a list");
            if let Some(expression) = metric[0].get("expression") {
                let expression = text(expression);
                let (schema, rest) = expression.split_once('}').expect("a schema");
                let schema = schema.trim_start_matches("SEARCH('{Bitflow,").split(',');
                let name = rest.split('"').nth(1).expect("a name");
                searches.push((name.to_owned(), schema.map(str::to_owned).collect()));
                continue;
            }
            let words: Vec<_> = metric.iter().filter_map(Value::as_str).collect();
            let dimensions = words[2..].chunks(2);
            let dimensions = dimensions.map(|it| (it[0].to_owned(), it[1].to_owned()));
            metrics.push((
                words[0].to_owned(),
                (words[1].to_owned(), dimensions.collect()),
            ));
        }
    }
    (metrics, searches)
}

/// What AWS itself counts, as far as it is watched: the dimension that each has.
fn check_of_aws(model: &Model, namespace: &str, (name, dimensions): &Seen) {
    let functions = model.functions.iter().map(|it| it.name.as_str());
    let queues = model.queues.iter().map(|it| it.name.as_str());
    let (names, key, values): (&[&str], &str, BTreeSet<&str>) = match namespace {
        "AWS/Lambda" => (
            &[
                "Invocations",
                "Errors",
                "Throttles",
                "IteratorAge",
                "ConcurrentExecutions",
            ],
            "FunctionName",
            functions.collect(),
        ),
        "AWS/SQS" => (
            &[
                "ApproximateNumberOfMessagesVisible",
                "ApproximateAgeOfOldestMessage",
            ],
            "QueueName",
            queues.collect(),
        ),
        "AWS/ApiGateway" => (
            &["Count", "4xx", "5xx", "Latency", "IntegrationLatency"],
            "ApiId",
            BTreeSet::from(["local"]),
        ),
        other => panic!("{other} is not known"),
    };
    assert!(names.contains(&name.as_str()), "{namespace} {name}");
    for (dimension, value) in dimensions {
        assert_eq!(dimension, key, "{namespace} {name}");
        assert!(
            values.contains(value.as_str()),
            "{namespace} {name} of {value}"
        );
    }
}

#[tokio::test]
async fn what_is_watched_is_really_written() {
    let (model, seen) = (model().await, of_all_days().await);
    let (shown, searches) = shown(&model);
    let watched = alarms(&model).flat_map(watched).chain(shown);
    let mut missing = BTreeSet::new();
    for (namespace, metric) in watched {
        if namespace == NAMESPACE {
            if !seen.contains(&metric) {
                missing.insert(metric);
            }
        } else {
            check_of_aws(&model, &namespace, &metric);
        }
    }
    assert!(
        missing.is_empty(),
        "no function wrote {missing:#?} among {seen:#?}"
    );
    for (name, schema) in searches {
        let has = |(it, dimensions): &&Seen| {
            *it == name && dimensions.keys().cloned().collect::<BTreeSet<_>>() == schema
        };
        assert!(seen.iter().any(|it| has(&it)), "{name} by {schema:?}");
    }
}

/// What there is without an alarm is what nobody hears of.
#[tokio::test]
async fn whatever_may_go_wrong_has_an_alarm() {
    let model = model().await;
    let mut by_metric: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (namespace, (name, dimensions)) in alarms(&model).flat_map(watched) {
        let of = by_metric.entry(format!("{namespace} {name}")).or_default();
        of.extend(dimensions.into_values());
    }
    let dead = model.queues.iter().filter(|it| it.redrive.is_none());
    let dead: BTreeSet<String> = dead.map(|it| it.name.clone()).collect();
    assert_eq!(
        by_metric["AWS/SQS ApproximateNumberOfMessagesVisible"],
        dead
    );
    let live = model.queues.iter().filter(|it| it.redrive.is_some());
    let live: BTreeSet<String> = live.map(|it| it.name.clone()).collect();
    assert_eq!(by_metric["AWS/SQS ApproximateAgeOfOldestMessage"], live);
    let is_job = |trigger: &Trigger| matches!(trigger, Trigger::Schedule(_));
    let (jobs, others): (Vec<_>, Vec<_>) = model
        .functions
        .iter()
        .partition(|function| function.triggers.iter().any(is_job));
    for job in &jobs {
        let runs = &by_metric["AWS/Lambda Invocations"];
        assert!(runs.contains(&job.name), "{} may not run", job.name);
        let told = job.asynchronous.on_failure_queue.is_some();
        let failures = by_metric["AWS/Lambda Errors"].contains(&job.name);
        assert!(told || failures, "{} may fail unheard", job.name);
    }
    for function in others {
        let errors = &by_metric["AWS/Lambda Errors"];
        assert!(errors.contains(&function.name), "{}", function.name);
    }
}

/// Whoever is woken by an alarm looks at the dashboard first: it has each alarm, and what each looks at.
#[tokio::test]
async fn the_dashboard_shows_what_alarms_watch() {
    let model = model().await;
    let (shown, searches) = shown(&model);
    for alarm in alarms(&model) {
        for metric in watched(alarm) {
            let (name, dimensions) = &metric.1;
            let by: BTreeSet<String> = dimensions.keys().cloned().collect();
            let searched = searches.contains(&(name.clone(), by)) && metric.0 == NAMESPACE;
            assert!(searched || shown.contains(&metric), "{metric:?}");
        }
    }
    let body = dashboard(&model);
    let mut widgets = body["widgets"].as_array().expect("widgets").iter();
    let states = widgets.find(|it| it["type"] == "alarm").expect("one");
    let states = states["properties"]["alarms"].as_array().expect("a list");
    let states = states
        .iter()
        .filter_map(|it| it.as_str()?.rsplit(':').next());
    let all = alarms(&model).map(|it| it.logical_id.as_str());
    assert_eq!(states.collect::<BTreeSet<_>>(), all.collect());
}

/// A new version of a function behind the API is asked so rarely that one failure must be enough, and
/// the API that three in an hour must be.
#[tokio::test]
async fn alarms_of_the_api_go_off_at_a_hundred_universities() {
    let model = model().await;
    let of = |id: &str| alarms(&model).find(|it| it.logical_id == id);
    let number = |id: &str, name: &str| of(id).expect(id).properties[name].as_u64();
    for guard in ["ApiCanaryAlarm", "ApiFunctionsCrashAlarm"] {
        assert_eq!(number(guard, "Threshold"), Some(1), "{guard}");
        assert_eq!(number(guard, "EvaluationPeriods"), Some(1), "{guard}");
    }
    let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("there");
    let guarded = "Type: !If [IsProd, Canary10Percent30Minutes, AllAtOnce]\n        Alarms: [!Ref ApiCanaryAlarm, !Ref ApiFunctionsCrashAlarm]";
    let is_http = |it: &Trigger| matches!(it, Trigger::Http(_));
    let functions = model.functions.iter();
    let behind = functions.filter(|it| it.triggers.iter().any(is_http));
    assert_eq!(template.matches(guarded).count(), behind.count());

    let page = std::fs::read_to_string(workspace().join("infra/DEPLOY.md")).expect("there");
    let mut rows = page.lines().filter(|it| it.starts_with("| HTTP API |"));
    let cell = rows.next().and_then(|row| row.split('|').nth(3));
    let (requests, _) = cell.expect("a cell").split_once(" → ").expect("a price");
    let requests = requests.trim().replace(',', "").parse::<u64>();
    let month = 30 * 86_400;
    let window = number("ApiErrorsAlarm", "Period").expect("seconds");
    let asked = requests.expect("a number") * window / month;
    let bound = number("ApiErrorsAlarm", "Threshold").expect("a number");
    assert!(bound * 4 <= asked, "{bound} of {asked} in {window} s");
}

/// A message that is tried again is none that nobody reads: in its queue's age it counts until it came
/// back three times. CloudWatch computes with ten metrics at most.
#[tokio::test]
async fn a_message_that_is_tried_again_is_no_queue_that_nobody_reads() {
    let model = model().await;
    let mut seen = 0;
    for alarm in alarms(&model) {
        let metrics = watched(alarm);
        assert!(metrics.len() <= 10, "{}", alarm.logical_id);
        for (_, (name, dimensions)) in metrics {
            if name != "ApproximateAgeOfOldestMessage" {
                continue;
            }
            let mut queues = model.queues.iter();
            let queue = queues.find(|it| it.name == dimensions["QueueName"]);
            let waits = 3 * queue.expect("a queue").visibility_timeout;
            let bound = alarm.properties["Threshold"].as_u64().expect("seconds");
            assert!(bound > waits.as_secs(), "{dimensions:?} waits {waits:?}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

/// An alarm says what is wrong and where to read on, tells somebody, and when it is over.
#[tokio::test]
async fn every_alarm_has_its_entry_in_the_runbook() {
    let model = model().await;
    let runbook = std::fs::read_to_string(workspace().join("infra/RUNBOOK.md")).expect("a runbook");
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    let mut current = None;
    for line in runbook.lines() {
        if line.starts_with('#') {
            current = line.strip_prefix("### ");
        }
        if let Some(entry) = current {
            let text = entries.entry(entry).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    let ids: BTreeSet<&str> = alarms(&model).map(|it| it.logical_id.as_str()).collect();
    assert_eq!(entries.keys().copied().collect::<BTreeSet<_>>(), ids);
    for (id, entry) in &entries {
        for part in ["**Means**", "**Users**", "**Look**", "**Mend**", "**Wake**"] {
            assert!(entry.contains(part), "{id} lacks {part}");
        }
    }
    for alarm in alarms(&model) {
        let (id, properties) = (&alarm.logical_id, &alarm.properties);
        let anchor = format!(" infra/RUNBOOK.md#{}", id.to_lowercase());
        let description = text(&properties["AlarmDescription"]);
        assert!(description.ends_with(&anchor), "{id}: {description}");
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(properties[actions][0], "AlarmTopic", "{id}");
        }
        let missing = text(&properties["TreatMissingData"]);
        assert!(["breaching", "notBreaching"].contains(&missing.as_str()));
        // CloudWatch looks back for a day, by the hour for a week.
        let period = properties["Period"].as_i64();
        let period = period.or(properties["Metrics"][1]["MetricStat"]["Period"].as_i64());
        let period = period.expect("a period");
        let window = period * properties["EvaluationPeriods"].as_i64().expect("a number");
        let most = if period < 3600 { 86_400 } else { 604_800 };
        assert!(window <= most, "{id}: {window}");
    }
}
