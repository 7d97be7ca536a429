//! The walk: every flow undisturbed, then every point of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use bitflow_local::lambda::gate::{Call, Disturbance, Fault};
use futures_util::stream::{self, StreamExt};

use crate::flows::{self, Flow};
use crate::permitted;
use crate::snapshot::Snapshot;
use crate::support::TestStack;

/// Worlds at a time: most of their time is waiting for a pause between two tries.
const AT_ONCE: usize = 6;

/// How long one walk may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// One repetition of a flow.
#[derive(Debug, Clone)]
struct Point {
    flow: Flow,
    disturbance: Disturbance,
}

/// What a flow came to.
struct Walked {
    calls: Vec<Call>,
    struck: bool,
    snapshot: Snapshot,
    /// The template's grants that no call of any function needs are told by these.
    model: bitflow_local::template::model::Model,
}

/// Walks all of it, prints what was covered, and fails with all that was found.
pub(crate) async fn all() {
    let began = Instant::now();
    let flows = flows::all();
    let only = only();
    let flows: Vec<_> = flows
        .into_iter()
        .filter(|flow| {
            only.as_ref()
                .is_none_or(|only| flow.to_string().contains(only))
        })
        .collect();
    let undisturbed: Vec<_> = stream::iter(flows.clone())
        .map(|flow| async move { (flow, caught(flow, None).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut failures = Vec::new();
    let mut baselines = BTreeMap::new();
    for (flow, walked) in undisturbed {
        match walked {
            Ok(walked) => drop(baselines.insert(flow, walked)),
            Err(error) => failures.push(format!("{flow}, undisturbed: {error}")),
        }
    }
    let points: Vec<Point> = baselines
        .iter()
        .flat_map(|(flow, walked)| points(*flow, &walked.calls))
        .collect();
    eprintln!(
        "{} flows, {} points, after {} s",
        baselines.len(),
        points.len(),
        began.elapsed().as_secs()
    );
    let covered = BTreeMap::from_iter(count(&points));
    let total = points.len();
    let baselines = &baselines;
    let found: Vec<_> = stream::iter(points.into_iter().enumerate())
        .map(|(at, point)| async move {
            let found = disturbed(&point, &baselines[&point.flow]).await;
            if at % 100 == 99 {
                eprintln!(
                    "{} of {total}, after {} s",
                    at + 1,
                    began.elapsed().as_secs()
                );
            }
            if let Err(error) = &found {
                eprintln!("FOUND {error}");
            }
            found
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    failures.extend(found.into_iter().filter_map(Result::err));
    if only.is_none() {
        failures.extend(uncovered(baselines, &covered));
    }
    let mut report = String::new();
    for (function, points) in &covered {
        let calls: BTreeSet<_> = points.iter().map(|(call, _)| call).collect();
        let count: usize = points.iter().map(|(_, count)| count).sum();
        let _ = writeln!(
            report,
            "{function:34} {:3} calls {count:5} points",
            calls.len()
        );
    }
    println!("{report}{total} points in {} s", began.elapsed().as_secs());
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A flow, or a part of the name of several, to walk alone.
#[expect(clippy::disallowed_methods, reason = "a switch of a test")]
fn only() -> Option<String> {
    std::env::var("CRASH_POINTS").ok()
}

/// What may befall the calls of a flow's own functions.
fn points(flow: Flow, calls: &[Call]) -> Vec<Point> {
    let of = flow.functions();
    let mut counts: BTreeMap<&Call, u32> = BTreeMap::new();
    for call in calls
        .iter()
        .filter(|call| of.contains(&call.function.as_str()))
    {
        *counts.entry(call).or_default() += 1;
    }
    let mut points = Vec::new();
    for (call, count) in counts {
        let all = call.what.starts_with("DynamoDB.TransactWriteItems");
        let nths = (1..=count).filter(|nth| all || *nth == 1 || *nth == count);
        for nth in nths {
            points.extend(Fault::of(&call.what).into_iter().map(|fault| Point {
                flow,
                disturbance: Disturbance {
                    call: call.clone(),
                    nth,
                    fault,
                },
            }));
        }
    }
    points
}

/// Of each function: its calls, with how many points each.
fn count(points: &[Point]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut covered: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for point in points {
        let call = &point.disturbance.call;
        let calls = covered.entry(call.function.clone()).or_default();
        *calls.entry(call.what.clone()).or_default() += 1;
    }
    covered
}

/// Calls that were made and are no point, grants of the template that no point needs, and functions
/// that were never run.
fn uncovered(
    baselines: &BTreeMap<Flow, Walked>,
    covered: &BTreeMap<String, BTreeMap<String, usize>>,
) -> Vec<String> {
    let none = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for call in baselines.values().flat_map(|walked| &walked.calls) {
        let calls = covered.get(&call.function).unwrap_or(&none);
        if !calls.contains_key(&call.what) {
            missing.insert(format!("{}: no point at {}", call.function, call.what));
        }
    }
    if let Some(walked) = baselines.values().next() {
        for function in &walked.model.functions {
            let calls = covered.get(&function.binary).unwrap_or(&none);
            if calls.is_empty() {
                missing.insert(format!("{}: no point at all", function.binary));
            }
            let unused = permitted::unused(function, calls.keys().map(String::as_str));
            let told = |grant| format!("{}: no point needs {grant}", function.binary);
            missing.extend(unused.into_iter().map(told));
        }
    }
    missing.into_iter().collect()
}

async fn disturbed(point: &Point, undisturbed: &Walked) -> Result<(), String> {
    let Point { flow, disturbance } = point;
    let Disturbance { call, nth, fault } = disturbance;
    let what = format!("{flow}: {} {} #{nth} {fault:?}", call.function, call.what);
    let walked = caught(*flow, Some(disturbance.clone())).await;
    let walked = walked.map_err(|error| format!("{what}: {error}"))?;
    if !walked.struck {
        return Err(format!("{what}: the call was not made"));
    }
    let doubled = permitted::Doubles::at(call, *fault);
    let different = walked.snapshot.differs(&undisturbed.snapshot, doubled);
    if different.is_empty() {
        Ok(())
    } else {
        Err(format!("{what}:\n    {}", different.join("\n    ")))
    }
}

/// A walk that ends in a panic is told like any other failure.
async fn caught(flow: Flow, disturbance: Option<Disturbance>) -> Result<Walked, String> {
    let walk = tokio::spawn(async move { Box::pin(walk(flow, disturbance)).await });
    match tokio::time::timeout(PATIENCE, walk).await {
        Err(_) => Err("it takes too long".to_owned()),
        Ok(Ok(walked)) => Ok(walked),
        Ok(Err(error)) => {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            Err(text.unwrap_or_default())
        }
    }
}

async fn walk(flow: Flow, disturbance: Option<Disturbance>) -> Walked {
    let stack = TestStack::start_gated().await;
    let world = flow.prepare(stack).await;
    let stack = &world.stack;
    let gate = stack.lambda.gate().expect("the stack is gated").clone();
    stack.settle().await;
    gate.watch(disturbance);
    flow.act(&world).await;
    stack.settle().await;
    flows::recover(&world).await;
    let walked = Walked {
        calls: gate.calls(),
        struck: gate.has_struck(),
        snapshot: Snapshot::of(&world).await,
        model: stack.model().clone(),
    };
    stack.shutdown().await.expect("the stack stops");
    walked
}
