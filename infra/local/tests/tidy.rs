//! What the design says of the house, held against the house.

#![expect(clippy::unwrap_used, reason = "a helper of a test may")]

#[path = "tidy/documentation.rs"]
mod documentation;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bitflow_local::functions::workspace;
use bitflow_local::stack::{Settings, Stack};
use bitflow_local::template::model::{Model, Trigger};
use bitflow_runtime::config;
use bitflow_store::inbox;
use jiff::SignedDuration;
use serde_json::Value;

/// Which layers each layer may use, as the design says it. A layer's crates do not use each other.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    const VENDORS: [&str; 4] = ["stripe", "email", "realtime", "university"];
    let page = std::fs::read_to_string(workspace().join("infra/ARCHITECTURE.md")).unwrap();
    let (_, rest) = page.split_once("\nDependencies point down only: ").unwrap();
    let (edges, _) = rest.split_once(" · infra → anything").unwrap();
    let each = |list: &str| -> BTreeSet<String> {
        let layers = list.split(", ").flat_map(|layer| match layer {
            "vendors" => VENDORS.to_vec(),
            "none of ours" => vec![],
            layer => vec![layer],
        });
        layers.map(str::to_owned).collect()
    };
    let edges = edges.split(" · ").flat_map(|edge| {
        let (from, to) = edge.split_once(" → ").unwrap();
        let to = each(to);
        each(from).into_iter().map(move |from| (from, to.clone()))
    });
    edges.collect()
}

#[test]
fn dependencies_point_down_only() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let edges = edges();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"]
            .as_str()
            .unwrap()
            .trim_start_matches("bitflow-");
        if ["bench", "fuzz", "local"].contains(&name) {
            continue;
        }
        let allowed = edges.get(name).unwrap_or(&edges["functions"]);
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(on) = dependency["name"]
                .as_str()
                .unwrap()
                .strip_prefix("bitflow-")
            else {
                continue;
            };
            if !allowed.contains(on) {
                wrong.push(format!("{name} → {on}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that the design does not know: {wrong:?}"
    );
}

#[test]
fn the_webhook_does_not_link_async_stripe() {
    let tree = cargo(&[
        "tree",
        "--package=bitflow-stripe-webhook",
        "--edges=normal",
        "--prefix=none",
    ]);
    assert!(tree.contains("bitflow-stripe "), "{tree}");
    assert!(!tree.contains("async-stripe"), "{tree}");
}

#[test]
fn one_tls_stack_and_one_hyper() {
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    for name in ["hyper", "rustls", "aws-lc-rs"] {
        let count = lock.matches(&format!("name = \"{name}\"\n")).count();
        assert_eq!(count, 1, "{name} is there {count} times");
    }
    assert!(
        !lock.contains("name = \"openssl-sys\"\n"),
        "a second TLS stack"
    );
}

#[tokio::test]
async fn template_functions_and_environment_agree() {
    let model = model().await;
    let in_template: BTreeSet<&str> = model
        .functions
        .iter()
        .map(|it| it.binary.as_str())
        .collect();
    let folders = std::fs::read_dir(workspace().join("functions")).unwrap();
    let folders: BTreeSet<String> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(in_template, folders.iter().map(String::as_str).collect());

    let known: BTreeSet<&str> = config::ALL.iter().map(|variable| variable.name).collect();
    let mut used = BTreeSet::new();
    for function in &model.functions {
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        used.extend(given.iter().copied());
        assert!(
            given.is_subset(&known),
            "{}: {given:?} are not all in config::ALL",
            function.binary
        );
        // Started with nothing, a function names all that it must have, and does not start.
        let missing = missing_without_environment(&support::binaries()[&function.binary]);
        let required: BTreeSet<String> = config::ALL
            .iter()
            .filter(|variable| variable.default.is_none() && given.contains(variable.name))
            .map(|variable| variable.name.to_owned())
            .collect();
        assert_eq!(
            missing, required,
            "{}: the template and VARIABLES differ",
            function.binary
        );
    }
    assert_eq!(used, known, "variables that no function is given");
}

#[tokio::test]
async fn queues_and_sources_are_sane() {
    let model = model().await;
    let queues: BTreeMap<&str, _> = model
        .queues
        .iter()
        .map(|it| (it.name.as_str(), it))
        .collect();
    for function in &model.functions {
        for trigger in &function.triggers {
            match trigger {
                Trigger::Sqs(source) => {
                    assert!(source.report_batch_item_failures, "{}", function.binary);
                    assert!(source.maximum_concurrency.is_some(), "{}", function.binary);
                    let queue = queues[source.queue.as_str()];
                    assert!(
                        queue.visibility_timeout >= 6 * function.timeout,
                        "{}",
                        function.binary
                    );
                    let redrive = queue.redrive.as_ref().expect("a dead-letter queue");
                    assert!(redrive.max_receive_count >= 5, "{}", function.binary);
                }
                Trigger::Stream(source) => {
                    assert!(source.report_batch_item_failures && source.bisect_on_error);
                    assert!(
                        source.maximum_retry_attempts.is_some()
                            && source.on_failure_queue.is_some()
                    );
                }
                Trigger::Http(_) | Trigger::Schedule(_) => {}
            }
        }
    }
}

/// Stripe takes a hundred calls a second. A batch's messages are handled at once, each with some four
/// calls a second, one after the other.
#[tokio::test]
async fn listeners_ask_no_more_of_stripe_than_it_allows() {
    let model = model().await;
    let asking = model.functions.iter();
    let asking = asking.filter(|it| it.environment.contains_key("STRIPE_SECRET"));
    let slots = asking.flat_map(|it| &it.triggers).map(|it| match it {
        Trigger::Sqs(source) => source.batch_size * source.maximum_concurrency.unwrap() as usize,
        _ => 0,
    });
    let slots: usize = slots.sum();
    assert!((1..=25).contains(&slots), "{slots} messages at a time");
}

/// What lies in a queue that nothing reads is told to the owner, once, however long it lies there.
#[tokio::test]
async fn every_dead_letter_queue_is_watched() {
    let model = model().await;
    let job = model
        .functions
        .iter()
        .find(|it| it.binary == "watch-dead-letters-job")
        .expect("the job");
    let urls = job.environment["DEAD_LETTER_QUEUE_URLS"].split(',');
    let name = |path: &str| path.rsplit(['/', ':']).next().unwrap().to_owned();
    let watched: BTreeSet<String> = urls.map(name).collect();
    let read = |action: &String| action == "sqs:ReceiveMessage";
    let readable = job.policies.iter().filter(|it| it.actions.iter().any(read));
    let readable: BTreeSet<String> = readable
        .flat_map(|it| it.resources.iter().map(|arn| name(arn)))
        .collect();
    let dead = model.queues.iter().filter(|it| it.redrive.is_none());
    let dead: BTreeSet<String> = dead.map(|it| it.name.clone()).collect();
    assert_eq!(watched, dead);
    assert_eq!(readable, dead);
    for queue in &model.queues {
        let kept = SignedDuration::try_from(queue.retention).unwrap();
        assert!(kept < inbox::KEPT, "{} outlives the inbox", queue.name);
    }
}

#[test]
fn the_readme_lists_every_variable() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    for variable in config::ALL {
        let default = variable
            .default
            .map_or(String::new(), |default| format!("`{default}`"));
        let row = format!("| `{}` | {default} | {} |", variable.name, variable.about);
        assert!(readme.contains(&row), "README.md lacks the row:\n{row}");
    }
}

async fn model() -> Model {
    let stack = Stack::start(Settings::passing(
        tokio::task::spawn_blocking(support::binaries)
            .await
            .unwrap(),
    ))
    .await
    .unwrap();
    let model = stack.model().clone();
    stack.shutdown().await.unwrap();
    model
}

/// The names that a function says are missing when it is started with an empty environment.
fn missing_without_environment(binary: &PathBuf) -> BTreeSet<String> {
    let output = Command::new(binary)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        !output.status.success(),
        "{} started with nothing",
        binary.display()
    );
    let log = String::from_utf8(output.stdout).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{}: {log}", binary.display()));
    let error = line["error"].as_str().unwrap_or_default();
    let names = error
        .strip_prefix("missing environment variables: ")
        .unwrap_or_else(|| panic!("{log}"));
    names.split(", ").map(str::to_owned).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
