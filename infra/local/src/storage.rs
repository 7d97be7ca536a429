//! What a part of the stack keeps between runs: one JSON file, replaced atomically.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file that holds one part's state; or nothing, in an ephemeral stack.
#[derive(Debug, Clone)]
pub struct Storage {
    file: Option<PathBuf>,
}

impl Storage {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self { file: None }
    }

    /// Keeps `<folder>/<name>.json`.
    pub fn file(folder: &Path, name: &str) -> Self {
        Self {
            file: Some(folder.join(format!("{name}.json"))),
        }
    }

    /// What was saved last; the default where nothing was.
    ///
    /// # Errors
    /// Also for what another build kept and this one cannot read; it says to start with `--reset`.
    pub fn load<T: DeserializeOwned + Default>(&self) -> io::Result<T> {
        let Some(file) = &self.file else {
            return Ok(T::default());
        };
        match std::fs::read(file) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| {
                let text = format!(
                    "{} cannot be read ({error}); start with --reset",
                    file.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what is kept. A reader sees the old content or the new, never half of it.
    pub fn save<T: Serialize>(&self, state: &T) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let json = serde_json::to_vec(state).map_err(io::Error::other)?;
        let unfinished = file.with_extension("json.new");
        std::fs::write(&unfinished, json)?;
        std::fs::rename(unfinished, file)
    }
}
