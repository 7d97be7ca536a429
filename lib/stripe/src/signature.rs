//! The `Stripe-Signature` header. <https://docs.stripe.com/webhooks#verify-manually>

use bitflow_fault::{Class, Fault};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// How far the signed time may be from now.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);

/// Why a payload is not known to come from Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not `t=…,v1=…`.
    #[error("the Stripe-Signature header has no time or no v1 signature")]
    Malformed,
    /// No `v1` entry is right.
    #[error("no v1 signature matches the payload")]
    Mismatch,
    /// Right, but signed too long ago, or in the future.
    #[error("the signature is outside the tolerance of 300 s")]
    Stale,
}

impl Fault for SignatureError {
    fn class(&self) -> Class {
        Class::Unauthenticated
    }
}

/// Checks that `body`, byte for byte, was signed with `secret` within [`TOLERANCE`] of `now`.
///
/// While Stripe rolls a secret it sends several `v1` entries; one right entry is enough. Other
/// schemes (`v0`) are ignored.
///
/// # Errors
/// [`SignatureError::Stale`] is told of a right signature only. All of them are refused alike;
/// Stripe signs anew each time it delivers.
pub fn verify(
    secret: &SecretString,
    header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let mut signed_at = None;
    let mut signatures = Vec::new();
    for (key, value) in header
        .split(',')
        .filter_map(|entry| entry.trim().split_once('='))
    {
        match key {
            "t" => signed_at = value.parse::<i64>().ok(),
            "v1" => signatures.extend(hex::decode(value)),
            _ => {}
        }
    }
    let seconds = signed_at.ok_or(SignatureError::Malformed)?;
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let expected = digest(secret, seconds, body);
    let right = signatures.iter().fold(Choice::from(0), |right, signature| {
        right | signature.as_slice().ct_eq(&expected)
    });
    if !bool::from(right) {
        return Err(SignatureError::Mismatch);
    }
    let signed_at = Timestamp::from_second(seconds).map_err(|_| SignatureError::Stale)?;
    if now.duration_since(signed_at).abs() > TOLERANCE {
        return Err(SignatureError::Stale);
    }
    Ok(())
}

/// The header that Stripe would send with `body` at `signed_at`.
pub fn sign(secret: &SecretString, body: &[u8], signed_at: Timestamp) -> String {
    let seconds = signed_at.as_second();
    format!(
        "t={seconds},v1={}",
        hex::encode(digest(secret, seconds, body))
    )
}

fn digest(secret: &SecretString, seconds: i64, body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_test","object":"event"}"#;
    const RIGHT: &str = "8042376f6ca064adbe037642a718227dfd59047137eb49497a54c49eb0cfb724";

    fn check(header: &str, body: &[u8], now: i64, expect: Result<(), SignatureError>) {
        let secret = "whsec_test_secret".to_owned().into();
        let now = Timestamp::from_second(now).unwrap();
        assert_eq!(verify(&secret, header, body, now), expect, "{header}");
    }

    #[test]
    fn one_right_v1_within_the_tolerance() {
        let t = 1_700_000_000;
        let right = format!("t={t},v1={RIGHT}");
        let other = "00".repeat(32);
        check(&right, BODY, t, Ok(()));
        check(&right, BODY, t + 300, Ok(()));
        check(
            &format!("t={t}, v1={other}, v1={RIGHT}, v0=aa"),
            BODY,
            t,
            Ok(()),
        );
        check(&right, BODY, t + 301, Err(SignatureError::Stale));
        check(&right, BODY, t - 301, Err(SignatureError::Stale));
        check(&right, b"{}", t, Err(SignatureError::Mismatch));
        check(
            &format!("t={},v1={RIGHT}", t + 1),
            BODY,
            t,
            Err(SignatureError::Mismatch),
        );
        check(
            &format!("t={t},v1={other}"),
            BODY,
            t,
            Err(SignatureError::Mismatch),
        );
        check(
            &format!("t={t},v0={RIGHT}"),
            BODY,
            t,
            Err(SignatureError::Malformed),
        );
        check(
            &format!("t={t},v1=zz"),
            BODY,
            t,
            Err(SignatureError::Malformed),
        );
        check(
            &format!("v1={RIGHT}"),
            BODY,
            t,
            Err(SignatureError::Malformed),
        );
        check("", BODY, t, Err(SignatureError::Malformed));
    }

    #[test]
    fn what_we_sign_is_what_stripe_signs() {
        let secret = "whsec_test_secret".to_owned().into();
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(sign(&secret, BODY, at), format!("t=1700000000,v1={RIGHT}"));
    }
}
