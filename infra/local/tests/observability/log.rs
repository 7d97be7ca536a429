//! What functions write, read again.

use bitflow_local::stack::Stack;
use serde_json::{Map, Value};

/// The lines of one function; all of them are JSON.
pub(crate) fn lines(stack: &Stack, function: &str) -> Vec<Map<String, Value>> {
    let lines = stack.lambda.logs(function).into_iter();
    lines
        .map(|line| match serde_json::from_str(&line) {
            Ok(Value::Object(line)) => line,
            _ => panic!("{function} wrote what is no object: {line}"),
        })
        .collect()
}

/// Those of them that tell what came of something.
pub(crate) fn outcomes(stack: &Stack, function: &str) -> Vec<Map<String, Value>> {
    let lines = lines(stack, function).into_iter();
    lines.filter(|it| it.contains_key("duration_ms")).collect()
}

/// The metrics that functions wrote, each with the function.
pub(crate) fn metrics(stack: &Stack) -> Vec<(String, Map<String, Value>)> {
    let functions = stack.lambda.functions().into_iter();
    functions
        .flat_map(|function| {
            let lines = lines(stack, &function).into_iter();
            let metrics = lines.filter(|it| it.contains_key("_aws"));
            metrics.map(move |it| (function.clone(), it))
        })
        .collect()
}
