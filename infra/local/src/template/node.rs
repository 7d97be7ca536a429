//! YAML with the line of every node.

use saphyr_parser::{Event, Parser};
use serde_json::Value;

use super::TemplateError;

/// A node of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line in the template, from 1.
    pub line: usize,
    /// CloudFormation's short form (`!Ref`), without the `!`.
    pub tag: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text, or a number or a truth value as text.
    Scalar {
        /// As written.
        text: String,
        /// It is text even where it looks like something else.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A plain text at `line`.
    pub fn text(line: usize, text: impl Into<String>) -> Self {
        Self {
            line,
            tag: None,
            kind: Kind::Scalar {
                text: text.into(),
                quoted: true,
            },
        }
    }

    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of `key` in a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)
    }

    /// The same as JSON: what looks like a number or a truth value and is not quoted is one.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, quoted: true } => Value::String(text.clone()),
            Kind::Scalar {
                text,
                quoted: false,
            } => match text.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" | "~" | "" => Value::Null,
                text => text
                    .parse::<i64>()
                    .map_or_else(|_| Value::String(text.to_owned()), Value::from),
            },
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.clone(), node.to_json()))
                .collect(),
        }
    }
}

/// Reads one YAML document.
pub fn parse(text: &str) -> Result<Node, TemplateError> {
    let mut events = Events {
        parser: Parser::new_from_str(text),
        line: 1,
    };
    loop {
        let (event, line) = events.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            other => {
                let root = events.node(other, line)?;
                return events.end().map(|()| root);
            }
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    line: usize,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), TemplateError> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok((event, self.line))
            }
            Some(Err(error)) => {
                let line = error.marker().line();
                Err(TemplateError {
                    line,
                    path: "YAML".to_owned(),
                    problem: error.info().to_owned(),
                })
            }
            None => Err(Self::refuse(self.line, "the document ends too early")),
        }
    }

    /// There is nothing after the one document.
    fn end(&mut self) -> Result<(), TemplateError> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, line) => return Err(Self::refuse(line, "one document is expected")),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, line: usize) -> Result<Node, TemplateError> {
        match event {
            Event::Scalar(text, style, _, tag) => Ok(Node {
                line,
                tag: tag.map(|tag| tag.suffix.clone()),
                kind: Kind::Scalar {
                    text: text.into_owned(),
                    quoted: style != saphyr_parser::ScalarStyle::Plain,
                },
            }),
            Event::SequenceStart(_, tag, ..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line)?),
                    }
                }
                Ok(Node {
                    line,
                    tag: tag.map(|tag| tag.suffix.clone()),
                    kind: Kind::List(items),
                })
            }
            Event::MappingStart(_, tag, ..) => {
                let mut entries: Vec<(String, Node)> = Vec::new();
                loop {
                    let (event, line) = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        next => next,
                    };
                    let Event::Scalar(key, ..) = event else {
                        return Err(Self::refuse(line, "a key must be text"));
                    };
                    if entries.iter().any(|(name, _)| *name == key) {
                        return Err(Self::refuse(line, &format!("the key {key} is there twice")));
                    }
                    let (event, line) = self.next()?;
                    entries.push((key.into_owned(), self.node(event, line)?));
                }
                Ok(Node {
                    line,
                    tag: tag.map(|tag| tag.suffix.clone()),
                    kind: Kind::Map(entries),
                })
            }
            Event::Alias(_) => Err(Self::refuse(line, "CloudFormation knows no aliases")),
            _ => Err(Self::refuse(line, "one document is expected")),
        }
    }

    fn refuse(line: usize, problem: &str) -> TemplateError {
        TemplateError {
            line,
            path: "YAML".to_owned(),
            problem: problem.to_owned(),
        }
    }
}
