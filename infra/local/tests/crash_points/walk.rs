//! The walk: every flow undisturbed, then every point of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use bitflow_local::lambda::gate::{Call, Disturbance, Fault};
use bitflow_local::template::model::Model;
use futures_util::stream::{self, StreamExt};

use crate::flows::{self, Flow};
use crate::permitted::{self, Doubles};
use crate::snapshot::Snapshot;
use crate::support::TestStack;

/// Worlds at a time: much of their time is waiting for a pause between two tries.
const AT_ONCE: usize = 16;

/// How long one walk may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// One repetition of a flow.
#[derive(Debug, Clone)]
struct Point {
    flow: Flow,
    disturbance: Disturbance,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disturbance { call, nth, fault } = &self.disturbance;
        let Call { function, what } = call;
        write!(f, "{}: {function} {what} #{nth} {fault:?}", self.flow)
    }
}

/// What a flow came to.
struct Walked {
    calls: Vec<Call>,
    struck: bool,
    snapshot: Snapshot,
    model: Model,
}

/// By function and call, how many points.
type Covered = BTreeMap<String, BTreeMap<String, usize>>;

/// Walks all of it, prints what was covered, and fails with all that was found.
pub(crate) async fn all() {
    let began = Instant::now();
    let asked = Asked::read();
    let mut flows = flows::all();
    if let Asked::Flows(only) = &asked {
        flows.retain(|flow| flow.to_string().contains(only));
    }
    let undisturbed: Vec<_> = stream::iter(flows)
        .map(async |flow| (flow, caught(flow, None).await))
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
    let baselines = &baselines;
    let mut points = points(baselines);
    // In no order but the same each time: whatever is broken shows soon.
    points.sort_by_cached_key(|point| {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(point.to_string())
    });
    if let Asked::All { every } = asked {
        failures.extend(uncovered(baselines, &count(points.iter())));
        points = points.into_iter().step_by(every).collect();
    }
    let (flows, total) = (baselines.len(), points.len());
    let seconds = || began.elapsed().as_secs();
    eprintln!("{flows} flows, {total} points, after {} s", seconds());
    let planned = count(points.iter());
    eprintln!("{}", failures.join("\n"));
    let mut walks = stream::iter(points)
        .map(|point| async move {
            let found = disturbed(&point, &baselines[&point.flow]).await;
            (point, found)
        })
        .buffer_unordered(AT_ONCE);
    let (mut reached, mut missed) = (Vec::new(), Vec::new());
    while let Some((point, found)) = walks.next().await {
        match found {
            Ok(true) => reached.push(point),
            Ok(false) => missed.push(point),
            Err(error) => {
                eprintln!("FOUND {error}");
                failures.push(error);
                reached.push(point);
            }
        }
        let done = reached.len() + missed.len();
        if done.is_multiple_of(100) {
            eprintln!("{done} of {total}, after {} s", seconds());
        }
    }
    let covered = count(reached.iter());
    failures.extend(unreached(&planned, &covered));
    print_report(&planned, &covered, &missed);
    println!("{} points in {} s", reached.len(), seconds());
    let (count, failures) = (failures.len(), failures.join("\n"));
    assert!(count == 0, "{count} failed:\n{failures}");
}

fn print_report(planned: &Covered, covered: &Covered, missed: &[Point]) {
    let mut report = String::new();
    for (function, calls) in planned {
        let points: usize = covered
            .get(function)
            .map_or(0, |calls| calls.values().sum());
        let calls = calls.len();
        let _ = writeln!(report, "{function:32} {calls:3} calls {points:5} points");
    }
    for point in missed {
        let _ = writeln!(report, "not made when it was to be disturbed: {point}");
    }
    print!("{report}");
}

/// What is to be walked. The whole walk takes minutes, so that without being told otherwise it is one
/// flow's.
enum Asked {
    /// All flows, and of their points each so-manieth.
    All { every: usize },
    /// The flows with this in their name.
    Flows(String),
}

impl Asked {
    /// `CRASH_POINTS`: `all`, `all/4` for a quarter, or a part of flows' names.
    #[expect(clippy::disallowed_methods, reason = "a switch of a test")]
    fn read() -> Self {
        let asked = std::env::var("CRASH_POINTS").unwrap_or_else(|_| Flow::Onboarding.to_string());
        match asked.strip_prefix("all") {
            None => Self::Flows(asked),
            Some("") => Self::All { every: 1 },
            Some(part) => {
                let every = part.strip_prefix('/').and_then(|it| it.parse().ok());
                let every = every.filter(|it| *it > 0).expect("all, or all/4");
                Self::All { every }
            }
        }
    }
}

/// What may befall the calls of the flows' own functions.
fn points(baselines: &BTreeMap<Flow, Walked>) -> Vec<Point> {
    let counts: BTreeMap<Flow, BTreeMap<&Call, u32>> = baselines
        .iter()
        .map(|(flow, walked)| (*flow, counts(*flow, &walked.calls)))
        .collect();
    // Of what is the same in whichever flow: the first.
    let mut first: BTreeMap<&Call, Flow> = BTreeMap::new();
    for (flow, calls) in &counts {
        for call in calls.keys().filter(|call| is_shared(&call.what)) {
            first.entry(*call).or_insert(*flow);
        }
    }
    let mut points = Vec::new();
    for (flow, calls) in counts {
        for (call, count) in calls {
            if first.get(call).is_some_and(|first| *first != flow) {
                continue;
            }
            let each = call.what.starts_with("DynamoDB.TransactWriteItems");
            let nths = (1..=count).filter(|nth| each || *nth == 1 || *nth == count);
            for nth in nths {
                let disturbances = faults(&call.what).into_iter().map(|fault| Disturbance {
                    call: call.clone(),
                    nth,
                    fault,
                });
                points.extend(disturbances.map(|disturbance| Point { flow, disturbance }));
            }
        }
    }
    points
}

/// How often each of the flow's own functions makes each call.
fn counts(flow: Flow, calls: &[Call]) -> BTreeMap<&Call, u32> {
    let of = flow.functions();
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|it| of.contains(&it.function.as_str())) {
        *counts.entry(call).or_default() += 1;
    }
    counts
}

fn is_read(what: &str) -> bool {
    let reads = [
        "DynamoDB.GetItem",
        "DynamoDB.Query",
        "S3.Get",
        "S3.Head",
        "S3.List",
        "GET ",
    ];
    reads.iter().any(|read| what.starts_with(read))
}

/// A read, or the counting of requests: the same in whichever flow.
fn is_shared(what: &str) -> bool {
    is_read(what) || what == "DynamoDB.UpdateItem rate-limits"
}

/// What may befall a call. Before and after a read took effect is the same.
fn faults(what: &str) -> Vec<Fault> {
    let mut faults = Fault::of(what);
    faults.retain(|fault| *fault != Fault::DiesAfter || !is_read(what));
    faults
}

/// Of each function: its calls, with how many points each.
fn count<'a>(points: impl Iterator<Item = &'a Point>) -> Covered {
    let mut covered = Covered::new();
    for point in points {
        let call = &point.disturbance.call;
        let calls = covered.entry(call.function.clone()).or_default();
        *calls.entry(call.what.clone()).or_default() += 1;
    }
    covered
}

/// Calls that were made and are no point, grants of the template that no point needs, and functions
/// that were never run.
fn uncovered(baselines: &BTreeMap<Flow, Walked>, covered: &Covered) -> BTreeSet<String> {
    let none = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for call in baselines.values().flat_map(|walked| &walked.calls) {
        let calls = covered.get(&call.function).unwrap_or(&none);
        if !calls.contains_key(&call.what) {
            missing.insert(format!("{}: no point at {}", call.function, call.what));
        }
    }
    let model = baselines.values().next().map(|walked| &walked.model);
    for function in model.iter().flat_map(|model| &model.functions) {
        let calls = covered.get(&function.binary).unwrap_or(&none);
        if calls.is_empty() {
            missing.insert(format!("{}: no point at all", function.binary));
        }
        let unused = permitted::unused(function, calls.keys().map(String::as_str));
        let told = |grant| format!("{}: no point needs {grant}", function.binary);
        missing.extend(unused.into_iter().map(told));
    }
    missing
}

/// Calls that were planned to be disturbed, and were not made any of the times.
fn unreached(planned: &Covered, covered: &Covered) -> Vec<String> {
    let calls = planned.iter().flat_map(|(function, calls)| {
        let reached = covered.get(function);
        let missed = move |call: &&String| reached.is_none_or(|it| !it.contains_key(*call));
        let missed = calls.keys().filter(missed);
        missed.map(move |call| format!("{function}: never disturbed at {call}"))
    });
    calls.collect()
}

/// Whether the call was made and the world ended the same. Where two functions are at something at
/// the same moment, one may be spared a call: then it is tried again.
async fn disturbed(point: &Point, undisturbed: &Walked) -> Result<bool, String> {
    let Point { flow, disturbance } = point;
    for _ in 0..3 {
        let walked = caught(*flow, Some(disturbance.clone())).await;
        let walked = walked.map_err(|error| format!("{point}: {error}"))?;
        let doubles = Doubles::at(&disturbance.call, disturbance.fault);
        let different = walked.snapshot.differs(&undisturbed.snapshot, doubles);
        if !different.is_empty() {
            return Err(format!("{point}:\n    {}", different.join("\n    ")));
        }
        if walked.struck {
            return Ok(true);
        }
    }
    Ok(false)
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
    let world = Box::pin(flow.prepare(stack)).await;
    let stack = &world.stack;
    let gate = stack.lambda.gate().expect("the stack is gated");
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
