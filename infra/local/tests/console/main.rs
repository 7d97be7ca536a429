//! The console: each flow as it went, what its buttons do, who may press them, and the page itself in
//! a browser.

mod acts;
mod browser;
mod flows;
mod links;
mod page;
#[path = "../support/mod.rs"]
mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{TestStack, text};

impl TestStack {
    /// What the console shows at a path.
    async fn shown(&self, path: &str) -> Value {
        let (status, shown) = self.get(&format!("/_console/api/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}: {shown}");
        shown
    }

    /// What a button of the console is answered.
    async fn press(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.post(&format!("/_console/api/{path}"), body).await
    }

    /// The same where it must do what it says.
    async fn pressed(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.press(path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// The newest flow that began so.
    async fn flow(&self, title: &str) -> Value {
        let shown = self.shown("flows").await;
        let flows = shown["flows"].as_array().expect("a list");
        let found = flows.iter().find(|flow| flow["title"] == title);
        let found = found.unwrap_or_else(|| panic!("no flow {title} in {shown:#}"));
        self.shown(&format!("flows/{}", text(&found["id"]))).await
    }
}

/// The spans of a flow that are so.
fn spans<'a>(flow: &'a Value, kind: &str, name: &str) -> Vec<&'a Value> {
    let spans = flow["spans"].as_array().expect("a list");
    let wanted = |span: &&Value| span["kind"] == kind && span["name"] == name;
    spans.iter().filter(wanted).collect()
}

/// A span and all that it follows from, each as its kind and name, up to the beginning.
fn chain(flow: &Value, span: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next {
        names.push(format!("{} {}", text(&span["kind"]), text(&span["name"])));
        next = above(flow, span);
    }
    names
}

fn above<'a>(flow: &'a Value, span: &Value) -> Option<&'a Value> {
    let spans = flow["spans"].as_array().expect("a list");
    let parent = &span["parent"];
    (!parent.is_null()).then(|| spans.iter().find(|it| it["id"] == *parent).expect("there"))
}

fn fact(span: &Value, name: &str) -> Value {
    let facts = span["facts"].as_array().expect("a list");
    let found = facts.iter().find(|it| it[0] == name);
    found.map_or(json!(null), |it| it[1].clone())
}
