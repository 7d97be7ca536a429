//! CloudFormation's functions, in short and long form.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

use std::collections::BTreeMap;

use super::node::{Kind, Node};
use super::{Settings, TemplateError};

/// What a logical id stands for.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// What `!Ref` gives.
    pub reference: String,
    /// What `!GetAtt` gives, by attribute.
    pub attributes: BTreeMap<&'static str, String>,
}

/// Evaluates functions.
#[derive(Debug)]
pub struct Resolver<'a> {
    settings: &'a Settings,
    /// Values of parameters. A list parameter's value is comma-separated.
    pub parameters: BTreeMap<String, Parameter>,
    conditions: BTreeMap<String, &'a Node>,
    /// What resources stand for, once known.
    pub resources: BTreeMap<String, Attributes>,
}

/// A parameter's value.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The value.
    pub value: String,
    /// `CommaDelimitedList`.
    pub list: bool,
}

/// The text that `AWS::NoValue` leaves, to be dropped by whoever holds it.
const NO_VALUE: &str = "\u{0}AWS::NoValue";

impl<'a> Resolver<'a> {
    /// Knows parameters and conditions, and no resource yet.
    pub fn new(
        settings: &'a Settings,
        parameters: BTreeMap<String, Parameter>,
        conditions: BTreeMap<String, &'a Node>,
    ) -> Self {
        Self {
            settings,
            parameters,
            conditions,
            resources: BTreeMap::new(),
        }
    }

    /// The node with every function in it evaluated.
    pub fn resolve(&self, node: &Node, path: &str) -> Result<Node, TemplateError> {
        if let Some((name, argument)) = function(node) {
            return self.call(&name, &argument, node.line, path);
        }
        let kind = match &node.kind {
            Kind::Scalar { text, quoted } => Kind::Scalar {
                text: self.secrets(text, node.line, path)?,
                quoted: *quoted,
            },
            Kind::List(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    resolved.push(self.resolve(item, &format!("{path}.{at}"))?);
                }
                resolved.retain(|item| item.as_text() != Some(NO_VALUE));
                Kind::List(resolved)
            }
            Kind::Map(entries) => {
                let mut resolved = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    resolved.push((key.clone(), self.resolve(value, &format!("{path}.{key}"))?));
                }
                resolved.retain(|(_, value)| value.as_text() != Some(NO_VALUE));
                Kind::Map(resolved)
            }
        };
        Ok(Node {
            line: node.line,
            tag: None,
            kind,
        })
    }

    fn call(
        &self,
        name: &str,
        argument: &Node,
        line: usize,
        path: &str,
    ) -> Result<Node, TemplateError> {
        let refuse = |problem: String| TemplateError {
            line,
            path: path.to_owned(),
            problem,
        };
        match name {
            "Ref" => {
                let id = argument
                    .as_text()
                    .ok_or_else(|| refuse("!Ref takes a name".to_owned()))?;
                if let Some(parameter) = self.parameters.get(id).filter(|it| it.list) {
                    let items = parameter
                        .value
                        .split(',')
                        .map(|item| Node::text(line, item.trim()));
                    return Ok(Node {
                        line,
                        tag: None,
                        kind: Kind::List(items.collect()),
                    });
                }
                let value = self
                    .reference(id)
                    .ok_or_else(|| refuse(format!("nothing is named {id}")))?;
                Ok(Node {
                    line,
                    tag: None,
                    kind: Kind::Scalar {
                        text: value,
                        quoted: false,
                    },
                })
            }
            "GetAtt" => {
                let target = match &argument.kind {
                    Kind::Scalar { text, .. } => text.clone(),
                    Kind::List(parts) => parts
                        .iter()
                        .filter_map(Node::as_text)
                        .collect::<Vec<_>>()
                        .join("."),
                    Kind::Map(_) => String::new(),
                };
                let value = self.attribute(&target);
                value
                    .map(|text| Node::text(line, text))
                    .ok_or_else(|| refuse(format!("the stack knows no attribute {target}")))
            }
            "Sub" => self.substitute(argument, line, path),
            "Join" => {
                let resolved = self.resolve(argument, path)?;
                match &resolved.kind {
                    Kind::List(parts) if parts.len() == 2 => {
                        match (parts[0].as_text(), &parts[1].kind) {
                            (Some(by), Kind::List(items)) => {
                                let items: Vec<_> =
                                    items.iter().filter_map(Node::as_text).collect();
                                Ok(Node::text(line, items.join(by)))
                            }
                            _ => Err(refuse("!Join takes a text and a list".to_owned())),
                        }
                    }
                    _ => Err(refuse("!Join takes a text and a list".to_owned())),
                }
            }
            "If" => match &argument.kind {
                Kind::List(parts) if parts.len() == 3 => {
                    let condition = parts[0].as_text().unwrap_or_default();
                    let chosen = if self.condition(condition, line, path)? {
                        &parts[1]
                    } else {
                        &parts[2]
                    };
                    self.resolve(chosen, path)
                }
                _ => Err(refuse("!If takes a condition and two values".to_owned())),
            },
            "Equals" | "Not" | "And" | "Or" | "Condition" => {
                let holds = self.holds(name, argument, line, path)?;
                let text = holds.to_string();
                Ok(Node {
                    line,
                    tag: None,
                    kind: Kind::Scalar {
                        text,
                        quoted: false,
                    },
                })
            }
            other => Err(refuse(format!("the function {other} is not known"))),
        }
    }

    /// Whether a named condition holds.
    fn condition(&self, name: &str, line: usize, path: &str) -> Result<bool, TemplateError> {
        let refuse = |problem: String| TemplateError {
            line,
            path: path.to_owned(),
            problem,
        };
        let node = self
            .conditions
            .get(name)
            .ok_or_else(|| refuse(format!("there is no condition {name}")))?;
        let (function, argument) = function(node)
            .ok_or_else(|| refuse(format!("the condition {name} is not a function")))?;
        self.holds(
            &function,
            &argument,
            node.line,
            &format!("Conditions.{name}"),
        )
    }

    fn holds(
        &self,
        function_name: &str,
        argument: &Node,
        line: usize,
        path: &str,
    ) -> Result<bool, TemplateError> {
        let refuse = |problem: String| TemplateError {
            line,
            path: path.to_owned(),
            problem,
        };
        if function_name == "Condition" {
            return self.condition(argument.as_text().unwrap_or_default(), line, path);
        }
        let Kind::List(parts) = &argument.kind else {
            return Err(refuse(format!("{function_name} takes a list")));
        };
        let part = |node: &Node| match function(node) {
            Some((name, argument)) => self.holds(&name, &argument, node.line, path),
            None => Err(refuse("a condition is expected".to_owned())),
        };
        match (function_name, parts.as_slice()) {
            ("Equals", [left, right]) => {
                Ok(self.resolve(left, path)?.as_text() == self.resolve(right, path)?.as_text())
            }
            ("Not", [one]) => Ok(!part(one)?),
            ("And", parts) => parts.iter().try_fold(true, |all, one| Ok(all & part(one)?)),
            ("Or", parts) => parts
                .iter()
                .try_fold(false, |any, one| Ok(any | part(one)?)),
            _ => Err(refuse(format!(
                "the condition {function_name} is not known"
            ))),
        }
    }

    /// `${Name}`, `${Name.Attribute}` and `${!Literal}` in a text; with own variables in the long
    /// form.
    fn substitute(&self, argument: &Node, line: usize, path: &str) -> Result<Node, TemplateError> {
        let refuse = |problem: String| TemplateError {
            line,
            path: path.to_owned(),
            problem,
        };
        let mut variables = BTreeMap::new();
        let text = match &argument.kind {
            Kind::Scalar { text, .. } => text.as_str(),
            Kind::List(parts) if parts.len() == 2 => {
                for (key, value) in parts[1].entries() {
                    let value = self.resolve(value, path)?;
                    variables.insert(key.as_str(), value.as_text().unwrap_or_default().to_owned());
                }
                parts[0]
                    .as_text()
                    .ok_or_else(|| refuse("!Sub takes a text".to_owned()))?
            }
            _ => return Err(refuse("!Sub takes a text".to_owned())),
        };
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            result.push_str(before);
            let end = after
                .find('}')
                .ok_or_else(|| refuse("${ is not closed".to_owned()))?;
            let name = &after[2..end];
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str("${");
                result.push_str(literal);
                result.push('}');
            } else {
                let value = variables
                    .get(name)
                    .cloned()
                    .or_else(|| {
                        if name.contains('.') {
                            self.attribute(name)
                        } else {
                            self.reference(name)
                        }
                    })
                    .ok_or_else(|| refuse(format!("nothing is named {name}")))?;
                result.push_str(&value);
            }
            rest = &after[end + 1..];
        }
        result.push_str(rest);
        Ok(Node::text(line, self.secrets(&result, line, path)?))
    }

    fn reference(&self, id: &str) -> Option<String> {
        let pseudo = match id {
            "AWS::AccountId" => &self.settings.account,
            "AWS::Region" => &self.settings.region,
            "AWS::StackName" => &self.settings.stack_name,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::NoValue" => NO_VALUE,
            _ => {
                let parameter = self.parameters.get(id).map(|it| it.value.clone());
                return parameter.or_else(|| Some(self.resources.get(id)?.reference.clone()));
            }
        };
        Some(pseudo.to_owned())
    }

    fn attribute(&self, target: &str) -> Option<String> {
        let (id, attribute) = target.split_once('.')?;
        self.resources.get(id)?.attributes.get(attribute).cloned()
    }

    /// Replaces `{{resolve:secretsmanager:NAME:SecretString:KEY}}`.
    fn secrets(&self, text: &str, line: usize, path: &str) -> Result<String, TemplateError> {
        let refuse = |problem: String| TemplateError {
            line,
            path: path.to_owned(),
            problem,
        };
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{resolve:") {
            result.push_str(before);
            let (reference, tail) = after
                .split_once("}}")
                .ok_or_else(|| refuse("{{resolve: is not closed".to_owned()))?;
            let parts: Vec<_> = reference.split(':').collect();
            let value = match parts.as_slice() {
                ["secretsmanager", name, "SecretString", key] => self
                    .settings
                    .secrets
                    .get(&((*name).to_owned(), (*key).to_owned())),
                _ => None,
            };
            let value = value.ok_or_else(|| refuse(format!("there is no secret {reference}")))?;
            result.push_str(value);
            rest = tail;
        }
        result.push_str(rest);
        Ok(result)
    }
}

/// The function that a node is a call of, with its argument: by its tag, or as a map with one
/// `Fn::` key.
fn function(node: &Node) -> Option<(String, Node)> {
    if let Some(tag) = &node.tag {
        let argument = Node {
            tag: None,
            ..node.clone()
        };
        return Some((tag.clone(), argument));
    }
    match node.entries() {
        [(key, argument)] if key == "Ref" || key == "Condition" && argument.as_text().is_some() => {
            Some((key.clone(), argument.clone()))
        }
        [(key, argument)] => Some((key.strip_prefix("Fn::")?.to_owned(), argument.clone())),
        _ => None,
    }
}
