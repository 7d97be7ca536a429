//! The functions as they are deployed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitflow_local::functions::{build_release, workspace};

use crate::Error;

/// Arguments that are names, and the folder of `--packages FOLDER`: what `sam build` made.
#[derive(Debug, Default)]
pub struct Arguments {
    /// What is to be measured; everything where there is none.
    pub names: Vec<String>,
    /// Where the packages are; without it functions are built.
    pub packages: Option<PathBuf>,
}

impl Arguments {
    /// Those of this process.
    pub fn read() -> Result<Self, Error> {
        let mut read = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // What cargo says to every benchmark.
                "--bench" => {}
                "--packages" => {
                    let folder = arguments.next().ok_or("--packages needs a folder")?;
                    // Cargo starts a benchmark in the folder of its package.
                    read.packages = Some(workspace().join(folder));
                }
                option if option.starts_with('-') => {
                    return Err(format!("{option} is not an option").into());
                }
                name => read.names.push(name.to_owned()),
            }
        }
        Ok(read)
    }
}

/// Every function of the workspace, in the order of the alphabet.
pub fn all() -> Result<Vec<String>, Error> {
    let folders = std::fs::read_dir(workspace().join("functions"))?;
    let mut names = Vec::new();
    for folder in folders {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The release builds of these functions, by name: their packages where there are any, else built
/// now.
pub fn release(
    names: &[String],
    packages: Option<&Path>,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let Some(folder) = packages else {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        return Ok(build_release(&names)?);
    };
    let packaged = names.iter().map(|name| {
        let bootstrap = folder.join(logical_id(name)).join("bootstrap");
        if bootstrap.is_file() {
            Ok((name.clone(), bootstrap))
        } else {
            Err(format!("{} is not there: run sam build", bootstrap.display()).into())
        }
    });
    packaged.collect()
}

/// What a function is called in `template.yaml`: `stripe-webhook` is `StripeWebhook` there.
fn logical_id(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}
