//! The vendors, as their documentation says they behave.

pub mod portal;
pub mod sendgrid;
pub mod stripe;
