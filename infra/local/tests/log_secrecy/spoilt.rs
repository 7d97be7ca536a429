//! The samples below `events/`, each once for each of its values, with the marker in its place.

use bitflow_local::functions::workspace;
use bitflow_local::samples::{self, Secrets};
use serde_json::{Value, json};

use crate::MARKER;
use crate::support::{TestStack, real_now, text};

/// The university that samples are about.
const SAMPLE: &str = "01900000-0000-7000-8000-000000000001";

/// What a log may name: ids, types and times are how a message is found again.
const MAY_BE_LOGGED: [&str; 4] = ["/id", "/type", "/event_id", "/correlation_id"];

/// Every event with the function that it is for, about a university that is there.
pub(crate) fn events(stack: &TestStack, university: &Value) -> Vec<(String, Value)> {
    let secrets = Secrets {
        stripe: stack.info().stripe_webhook_secret.clone().into(),
        portal: Some(text(&university["portal_secret"]).into()),
    };
    let mut events = Vec::new();
    for folder in std::fs::read_dir(workspace().join("events")).expect("samples") {
        let folder = folder.expect("a folder");
        let function = folder.file_name().into_string().expect("a name");
        for file in std::fs::read_dir(folder.path()).expect("samples") {
            let sample = std::fs::read_to_string(file.expect("a file").path()).expect("a sample");
            let sample = sample.replace(SAMPLE, &text(&university["id"]));
            let sample: Value = serde_json::from_str(&sample).expect("JSON");
            for mut event in spoilt(&sample) {
                samples::sign_anew(&mut event, &secrets, real_now());
                events.push((function.clone(), event));
            }
        }
    }
    events
}

/// A sample with what it holds spoilt: the JSON in its texts, its headers, claims and query, its rows.
fn spoilt(sample: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    let mut put = |at: &str, value: Value| {
        let mut event = sample.clone();
        if let Some(place) = event.pointer_mut(at) {
            *place = value;
            events.push(event);
        }
    };
    let mark = format!("{MARKER}@{MARKER}.example");
    for at in ["/body", "/Records/0/body"] {
        let Some(body) = sample.pointer(at).and_then(Value::as_str) else {
            continue;
        };
        for broken in [format!("{{\"{MARKER}\": {mark}"), json!([mark]).to_string()] {
            put(at, broken.into());
        }
        let Ok(body) = serde_json::from_str::<Value>(body) else {
            continue;
        };
        for below in leaves(&body) {
            if MAY_BE_LOGGED.contains(&below.as_str()) {
                continue;
            }
            let mut body = body.clone();
            *body.pointer_mut(&below).expect("a leaf") = json!(mark);
            put(at, body.to_string().into());
        }
    }
    for part in ["/headers", "/requestContext/authorizer/jwt/claims"] {
        let inner = sample.pointer(part).map(leaves).unwrap_or_default();
        for below in inner {
            put(&format!("{part}{below}"), mark.clone().into());
        }
    }
    put(
        "/rawQueryString",
        format!("{MARKER}={mark}&cursor={mark}").into(),
    );
    let image = "/Records/0/dynamodb/NewImage";
    for below in sample.pointer(image).map(leaves).unwrap_or_default() {
        for value in [json!(mark), json!({ MARKER: mark })] {
            put(&format!("{image}{below}"), value);
        }
    }
    // What no service of AWS's would send.
    for at in [
        "/Records",
        "/Records/0",
        "/Records/0/messageId",
        "/Records/0/dynamodb",
        "/time",
    ] {
        put(at, json!({ MARKER: mark }));
        // A message's id is logged, and would be one.
        if !at.ends_with("messageId") {
            put(at, json!(mark));
        }
    }
    events
}

/// Where a value's texts, numbers and so on are.
fn leaves(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| -> Vec<String> {
        let name = name.replace('~', "~0").replace('/', "~1");
        let inner = leaves(value).into_iter();
        inner.map(|path| format!("/{name}{path}")).collect()
    };
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, it)| below(name, it))
            .collect(),
        Value::Array(array) => {
            let numbered = array.iter().enumerate();
            numbered
                .flat_map(|(at, it)| below(&at.to_string(), it))
                .collect()
        }
        _ => vec![String::new()],
    }
}
