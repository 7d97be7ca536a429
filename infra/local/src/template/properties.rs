//! Objects read strictly: what was not asked for is refused.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use super::TemplateError;
use super::node::{Kind, Node};

/// Where all that is wrong is collected.
pub(super) type Errors = RefCell<Vec<TemplateError>>;

/// An object being read.
pub(super) struct Properties<'a> {
    node: &'a Node,
    path: String,
    seen: RefCell<BTreeSet<&'a str>>,
    errors: &'a Errors,
}

impl<'a> Properties<'a> {
    pub(super) fn new(node: &'a Node, path: impl Into<String>, errors: &'a Errors) -> Self {
        let this = Self {
            node,
            path: path.into(),
            seen: RefCell::default(),
            errors,
        };
        if !matches!(node.kind, Kind::Map(_)) {
            this.refuse(node.line, "must be an object");
        }
        this
    }

    pub(super) fn line(&self) -> usize {
        self.node.line
    }

    /// The value of a property that may be there.
    pub(super) fn get(&self, name: &'a str) -> Option<&'a Node> {
        self.seen.borrow_mut().insert(name);
        self.node.get(name)
    }

    /// An object that may be there.
    pub(super) fn object(&self, name: &'a str) -> Option<Properties<'a>> {
        Some(Properties::new(
            self.get(name)?,
            format!("{}.{name}", self.path),
            self.errors,
        ))
    }

    /// A text that may be there.
    pub(super) fn optional(&self, name: &'a str) -> Option<String> {
        let node = self.get(name)?;
        let text = node.as_text();
        if text.is_none() {
            self.refuse(node.line, &format!("{name} must be text"));
        }
        text.map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &'a str) -> String {
        if self.get(name).is_none() {
            self.refuse(self.node.line, &format!("{name} is required"));
        }
        self.optional(name).unwrap_or_default()
    }

    /// A number or truth value that may be there.
    pub(super) fn value<T: FromStr>(&self, name: &'a str) -> Option<T> {
        let text = self.optional(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            let line = self.get(name).map_or(self.node.line, |node| node.line);
            self.refuse(line, &format!("{name} cannot be {text}"));
        }
        value
    }

    /// A number of seconds, or `default`.
    pub(super) fn seconds(&self, name: &'a str, default: u64) -> Duration {
        Duration::from_secs(self.value(name).unwrap_or(default))
    }

    /// The texts of a list (or the one text) that may be there.
    pub(super) fn texts(&self, name: &'a str) -> Vec<String> {
        match self.get(name).map(|node| &node.kind) {
            None => Vec::new(),
            Some(Kind::Scalar { text, .. }) => vec![text.clone()],
            Some(Kind::List(items)) => {
                for item in items.iter().filter(|item| item.as_text().is_none()) {
                    self.refuse(item.line, &format!("{name} must hold texts"));
                }
                let texts = items.iter().filter_map(Node::as_text);
                texts.map(str::to_owned).collect()
            }
            Some(Kind::Map(_)) => {
                self.refuse(self.node.line, &format!("{name} must be a list"));
                Vec::new()
            }
        }
    }

    /// The objects of a list that may be there.
    pub(super) fn objects(&self, name: &'a str) -> Vec<Properties<'a>> {
        let Some(node) = self.get(name) else {
            return Vec::new();
        };
        let Kind::List(items) = &node.kind else {
            self.refuse(node.line, &format!("{name} must be a list"));
            return Vec::new();
        };
        let path = |at: usize| format!("{}.{name}.{at}", self.path);
        items
            .iter()
            .enumerate()
            .map(|(at, item)| Properties::new(item, path(at), self.errors))
            .collect()
    }

    /// A property whose value must be this one.
    pub(super) fn must_be(&self, name: &'a str, expected: &str) {
        if let Some(text) = self.optional(name)
            && text != expected
        {
            let line = self.get(name).map_or(self.node.line, |node| node.line);
            self.refuse(line, &format!("{name} must be {expected}, not {text}"));
        }
    }

    /// Properties that have no effect on a laptop; named one by one, with intent.
    pub(super) fn without_effect(&self, names: &[&'a str]) {
        self.seen.borrow_mut().extend(names);
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(self) {
        for (key, value) in self.node.entries() {
            if !self.seen.borrow().contains(key.as_str()) {
                self.errors.borrow_mut().push(TemplateError {
                    line: value.line,
                    path: format!("{}.{key}", self.path),
                    problem: "the local stack does not know this".to_owned(),
                });
            }
        }
    }

    pub(super) fn refuse(&self, line: usize, problem: &str) {
        self.errors.borrow_mut().push(TemplateError {
            line,
            path: self.path.clone(),
            problem: problem.to_owned(),
        });
    }
}
