//! What the benchmarks below `benches/` share; what they measured is in `RESULTS.md`.

pub mod builds;
pub mod figures;
pub mod world;

/// Whatever ends a benchmark early.
pub type Error = Box<dyn std::error::Error>;
