//! The wire contract of every event: what crosses the bus, and nothing else.
//!
//! An [`Envelope`](envelope::Envelope) is the `detail` of an EventBridge event; its `type` is the
//! `detail-type`, and [`SOURCE`] the `source`. A payload only ever grows; a change that breaks readers
//! is a new `version`. `infra/ARCHITECTURE.md` §4.

pub mod envelope;
pub mod payload;

/// `source` of every event on the bus.
pub const SOURCE: &str = "bitflow.admin";
