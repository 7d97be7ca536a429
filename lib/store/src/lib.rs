//! What is stored, and how it changes: DynamoDB tables, transactions, outbox and inbox; files in S3.
//!
//! One module for each table (`infra/ARCHITECTURE.md` §5). Table names come from configuration;
//! raw attribute names appear nowhere outside this crate, and its records are private to it.
//! Every change is one [`transaction::Transaction`]: the entity under a version condition, the
//! events it raises, and the inbox row of the message that caused it, all or nothing.

pub mod activities;
pub mod alert_folds;
pub mod alerts;
pub mod deliveries;
pub mod domains;
pub mod error;
#[cfg(feature = "files")]
pub mod files;
pub mod idempotency;
pub mod inbox;
pub mod invoices;
mod item;
pub mod job_runs;
pub mod notifications;
pub mod outbox;
pub mod page;
pub mod payments;
pub mod rate_limits;
pub mod subscriptions;
mod table;
mod time;
pub mod transaction;
pub mod universities;
