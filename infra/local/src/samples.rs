//! Sample events below `events/`.

use bitflow_stripe::signature::sign;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

/// Signs a Stripe webhook's event anew: a signature is good for five minutes, a file for longer.
/// Every other event is left as it is.
pub fn sign_anew(event: &mut Value, secret: &SecretString, now: Timestamp) {
    let body = event["body"].as_str().unwrap_or_default().to_owned();
    if let Some(header) = event.pointer_mut("/headers/stripe-signature") {
        *header = sign(secret, body.as_bytes(), now).into();
    }
}
