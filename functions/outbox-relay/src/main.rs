//! Bitflow.
fn main() {}
