//! The simulator of sendgrid.
