//! The simulator of pusher.
