//! Pusher Channels, or any server that speaks its protocol.
//!
//! [`auth`] signs what the HTTP API and private channels ask for; [`Pusher`] triggers events.
//! <https://pusher.com/docs/channels/library_auth_reference/>

pub mod auth;
mod trigger;

pub use trigger::{MAX_DATA, Pusher, RealtimeError};
