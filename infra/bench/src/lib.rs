//! Nothing but its benchmarks, below `benches/`; what they measured is in `RESULTS.md`.
