//! Pure rules and types of the portal.
//!
//! Architecture invariant: nothing here waits, reads a clock, draws a random number or knows AWS.
//! `now` and new ids are arguments, so every rule can be tested as a table.

pub mod alert;
pub mod billing;
pub mod contact;
pub mod decision;
pub mod id;
pub mod money;
pub mod notification;
pub mod secret;
pub mod university;
pub mod version;
