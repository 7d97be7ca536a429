//! Bitflow.
