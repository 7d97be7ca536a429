//! The vendors, as their documentation says they behave.

pub mod hold;
pub mod portal;
pub mod pusher;
pub mod sendgrid;
pub mod stripe;
