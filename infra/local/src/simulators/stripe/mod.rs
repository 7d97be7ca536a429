//! The simulator of stripe.
