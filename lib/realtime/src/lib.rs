//! Pusher Channels, or any server that speaks its protocol.
//!
//! [`auth`] signs what the HTTP API and private channels ask for.
//! <https://pusher.com/docs/channels/library_auth_reference/>

pub mod auth;
