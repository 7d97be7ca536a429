//! Builds the functions, and knows where their binaries are.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The functions could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// cargo could not be run.
    #[error("cargo could not be run")]
    Run(#[source] std::io::Error),
    /// cargo failed; it has said why.
    #[error("the functions could not be built")]
    Failed,
}

/// The workspace that this stack belongs to.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Builds every binary of the workspace and returns them by name.
///
/// The whole workspace at once: cargo then resolves features as it did for this process, and what
/// is built already is not built again with others.
///
/// # Errors
/// [`BuildError::Failed`]: cargo has said why, on its standard error.
pub fn build() -> Result<BTreeMap<String, PathBuf>, BuildError> {
    cargo_build(&["--workspace".to_owned()])
}

/// Builds these functions as they are deployed, and returns their binaries by name.
pub fn build_release(names: &[&str]) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    let packages = names.iter().map(|name| format!("--package=bitflow-{name}"));
    let release = std::iter::once("--release".to_owned());
    cargo_build(&release.chain(packages).collect::<Vec<_>>())
}

fn cargo_build(what: &[String]) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bins"]).args(what);
    // Who waits at a terminal sees what for.
    if !std::io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::Run)?;
    if !output.status.success() {
        return Err(BuildError::Failed);
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let binaries = messages.filter_map(|line| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let executable = message["executable"].as_str()?;
        Some((
            message["target"]["name"].as_str()?.to_owned(),
            executable.into(),
        ))
    });
    Ok(binaries.collect())
}
