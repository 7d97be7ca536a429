//! ETags: the entity's version.

/// A strong ETag for a version.
pub fn of(version: u64) -> String {
    format!("\"{version}\"")
}
