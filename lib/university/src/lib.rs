//! The universities' own portals: how calls to and from them are signed, and how they are called.
//!
//! `X-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`, with the university's
//! secret, in both directions (`infra/ARCHITECTURE.md` §6).
//!
//! Where a portal is, others decide: a domain may lead into our own network. So every call goes by
//! the guard (§7).
//!
//! - [`guard`]: which addresses are called
//! - [`outbound`]: the one client that calls none but those
//! - [`template`]: the address of a portal, from its domain
//! - [`notify`]: telling a portal of maintenance

pub mod guard;
pub mod notify;
pub mod outbound;
pub mod template;

use bitflow_fault::{Class, Fault};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The header that carries the signature.
pub const HEADER: &str = "x-signature";

/// How far the signed time may be from now, in either direction.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);

/// A call that is known to come from whom it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Of what was signed, time and body: the same for every copy of the call, hex.
    pub digest: String,
}

/// Why a call is not known to come from whom it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not `t=…,v1=…`.
    #[error("the X-Signature header has no time or no v1 signature")]
    Malformed,
    /// None of the secrets made it.
    #[error("the signature does not match the body")]
    Mismatch,
    /// Right, but too old, or of the future.
    #[error("the signature is outside the tolerance of 300 s")]
    Stale,
}

impl Fault for SignatureError {
    fn class(&self) -> Class {
        Class::Unauthenticated
    }
}

/// The header's value for `body`, signed at `signed_at`.
pub fn sign(secret: &SecretString, body: &[u8], signed_at: Timestamp) -> String {
    let seconds = signed_at.as_second();
    format!(
        "t={seconds},v1={}",
        hex::encode(digest(secret, seconds, body))
    )
}

/// Checks that one of `secrets` signed `body`, byte for byte, within [`TOLERANCE`] of `now`. Two
/// secrets are good while one is being rotated.
///
/// # Errors
/// [`SignatureError::Stale`] is told of a right signature only: whoever has no secret learns
/// nothing of the time. All of them are refused alike; a portal that repeats itself signs anew.
pub fn verify(
    secrets: &[&SecretString],
    header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Signed, SignatureError> {
    let (mut seconds, mut signature) = (None, None);
    for (key, value) in header
        .split(',')
        .filter_map(|entry| entry.trim().split_once('='))
    {
        match key {
            "t" => seconds = value.parse::<i64>().ok(),
            "v1" => signature = hex::decode(value).ok(),
            _ => {}
        }
    }
    let (Some(seconds), Some(signature)) = (seconds, signature) else {
        return Err(SignatureError::Malformed);
    };
    // Every secret is tried, so that the time taken does not tell which one was right.
    let right = secrets.iter().fold(Choice::from(0), |right, secret| {
        right | signature.as_slice().ct_eq(&digest(secret, seconds, body))
    });
    if !bool::from(right) {
        return Err(SignatureError::Mismatch);
    }
    let signed_at = Timestamp::from_second(seconds).map_err(|_| SignatureError::Stale)?;
    if now.duration_since(signed_at).abs() > TOLERANCE {
        return Err(SignatureError::Stale);
    }
    let signed = Sha256::new()
        .chain_update(seconds.to_string())
        .chain_update(".")
        .chain_update(body);
    Ok(Signed {
        digest: hex::encode(signed.finalize()),
    })
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

    const T: i64 = 1_700_000_000;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    fn check(
        secrets: &[&str],
        header: &str,
        body: &[u8],
        now: i64,
        expect: Result<(), SignatureError>,
    ) {
        let secrets: Vec<_> = secrets.iter().map(|text| secret(text)).collect();
        let secrets: Vec<_> = secrets.iter().collect();
        let now = Timestamp::from_second(now).unwrap();
        let seen = verify(&secrets, header, body, now).map(drop);
        assert_eq!(seen, expect, "{header}");
    }

    #[test]
    fn either_secret_within_the_tolerance() {
        let at = Timestamp::from_second(T).unwrap();
        let old = sign(&secret("old"), b"body", at);
        check(&["new", "old"], &old, b"body", T, Ok(()));
        check(&["old"], &old, b"body", T + 300, Ok(()));
        check(&["old"], &old, b"body", T + 301, Err(SignatureError::Stale));
        check(&["old"], &old, b"body", T - 301, Err(SignatureError::Stale));
        check(&["new"], &old, b"body", T, Err(SignatureError::Mismatch));
        check(&["old"], &old, b"other", T, Err(SignatureError::Mismatch));
        check(&[], &old, b"body", T, Err(SignatureError::Mismatch));
        check(
            &["old"],
            &old.replace("v1", "v0"),
            b"body",
            T,
            Err(SignatureError::Malformed),
        );
        check(&["old"], "", b"body", T, Err(SignatureError::Malformed));
    }

    #[test]
    fn a_copy_is_known_by_its_digest() {
        let at = Timestamp::from_second(T).unwrap();
        let digest = |header: &str, body: &[u8]| {
            verify(&[&secret("old"), &secret("new")], header, body, at)
                .unwrap()
                .digest
        };
        let signed = sign(&secret("new"), b"body", at);
        let first = digest(&signed, b"body");
        let (time, signature) = signed.split_once(",v1=").unwrap();
        for copy in [
            signed.clone(),
            format!("v1={signature}, {time},v0=00"),
            format!("{time},v1={}", signature.to_uppercase()),
            sign(&secret("old"), b"body", at),
        ] {
            assert_eq!(digest(&copy, b"body"), first, "{copy}");
        }
        let other = sign(&secret("new"), b"other", at);
        assert_ne!(digest(&other, b"other"), first);
        let later = sign(&secret("new"), b"body", at + SignedDuration::from_secs(1));
        assert_ne!(digest(&later, b"body"), first);
    }

    #[test]
    fn the_signature_is_what_the_design_says() {
        // printf '1700000000.body' | openssl dgst -sha256 -hmac secret
        let at = Timestamp::from_second(T).unwrap();
        assert_eq!(
            sign(&secret("secret"), b"body", at),
            "t=1700000000,v1=42ac6f0448c1d9c3e1e82b9726248f58fef84afffcbad5188246e96070e0ea46"
        );
    }
}
