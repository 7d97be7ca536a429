//! Reads `template.yaml` into a [`model::Model`], and refuses what the stack does not know.
//!
//! [`node`] is YAML with line numbers, [`intrinsics`] evaluates CloudFormation's functions,
//! [`properties`] reads objects strictly, and [`resources`] knows the resource types. Whatever
//! none of them knows is an error with its line; nothing is ever skipped in silence.

pub mod intrinsics;
pub mod model;
pub mod node;
mod policies;
mod properties;
mod resources;
mod triggers;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use model::Model;

/// What the template is read for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `AWS::StackName`.
    pub stack_name: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account: String,
    /// Where queue URLs point.
    pub aws_url: String,
    /// Where the HTTP API is.
    pub api_url: String,
    /// Values of parameters; the others keep their defaults.
    pub parameters: BTreeMap<String, String>,
    /// What `{{resolve:secretsmanager:NAME:SecretString:KEY}}` gives, by name and key.
    pub secrets: BTreeMap<(String, String), String>,
}

/// Something in the template that the stack cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Line in the template, from 1.
    pub line: usize,
    /// Where it is, e.g. `Resources.Api.Properties.Auth`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The template cannot be taken: all that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read from disk.
    #[error("{path} could not be read")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It holds what the stack does not know.
    #[error("{}", lines(.0))]
    Refused(Vec<TemplateError>),
}

/// Reads the template at `path`.
///
/// # Errors
/// [`ReadError::Refused`] for what the stack does not know: all of it, each with its line.
pub fn read(path: &Path, settings: &Settings) -> Result<Model, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReadError::File {
        path: path.display().to_string(),
        source,
    })?;
    parse(&text, settings).map_err(ReadError::Refused)
}

/// Reads a template's text.
///
/// # Errors
/// What the stack does not know: all of it, each with its line; or where the text is no YAML.
pub fn parse(text: &str, settings: &Settings) -> Result<Model, Vec<TemplateError>> {
    let root = node::parse(text).map_err(|error| vec![error])?;
    resources::read(&root, settings)
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "template.yaml:{}: {}: {}",
            self.line, self.path, self.problem
        )
    }
}

fn lines(errors: &[TemplateError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
