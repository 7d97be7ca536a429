//! The simulator of portal.
