//! Reads `template.yaml` into a [`model::Model`], and refuses what the stack does not know.

pub mod model;
