//! Sample events below `events/`.

use bitflow_stripe::signature;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

/// What the calls of others are signed with.
#[derive(Debug)]
pub struct Secrets {
    /// Stripe's webhooks.
    pub stripe: SecretString,
    /// The calls of the portal of the university that the sample names, where there is one.
    pub portal: Option<SecretString>,
}

/// The university that a sample of a signed call names.
pub fn caller(event: &Value) -> Option<String> {
    event.pointer("/headers/x-signature")?;
    let body: Value = serde_json::from_str(event["body"].as_str()?).ok()?;
    body["university_id"].as_str().map(str::to_owned)
}

/// Signs the event of a webhook, or of a call by a portal, anew: a signature is good for five
/// minutes, a file for longer. Every other event is left as it is.
pub fn sign_anew(event: &mut Value, secrets: &Secrets, now: Timestamp) {
    let body = event["body"].as_str().unwrap_or_default().to_owned();
    if let Some(header) = event.pointer_mut("/headers/stripe-signature") {
        *header = signature::sign(&secrets.stripe, body.as_bytes(), now).into();
    }
    if let (Some(header), Some(secret)) =
        (event.pointer_mut("/headers/x-signature"), &secrets.portal)
    {
        *header = bitflow_university::sign(secret, body.as_bytes(), now).into();
    }
}
