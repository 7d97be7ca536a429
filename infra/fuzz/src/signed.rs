//! What is signed: Stripe's webhooks, and the calls of portals. The first line is the header, the
//! rest is the body.

use bitflow_stripe::event::{Object, ParseError, parse};
use bitflow_stripe::signature;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::first_line;

/// What seeds are signed with; no secret of anybody.
pub(crate) fn secret() -> SecretString {
    "whsec_of_the_fuzzer".to_owned().into()
}

/// When seeds are signed.
pub(crate) const SIGNED_AT: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// A body is verified only by the digest of itself at the signed time, and by that always. Every
/// body can be asked for an event, and says the same each time; one of a type that is not followed
/// is never refused for its object.
pub fn stripe_webhook(data: &[u8]) {
    let (header, body) = first_line(data);
    let header = String::from_utf8_lossy(header);
    if signature::verify(&secret(), &header, body, SIGNED_AT).is_ok() {
        assert!(
            is_of_right_digest(&header, |at| signature::sign(&secret(), body, at)),
            "verified by no right digest: {header}"
        );
    }
    let right = signature::sign(&secret(), body, SIGNED_AT);
    let verified = |body: &[u8]| signature::verify(&secret(), &right, body, SIGNED_AT).is_ok();
    assert!(verified(body), "what is signed is verified");
    assert!(!verified(&[body, b" "].concat()), "another body is not");

    let followed = parse(body, |_| true);
    match (&followed, parse(body, |_| true)) {
        (Ok(one), Ok(other)) => assert_eq!(*one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        (one, other) => panic!("{one:?} and {other:?}"),
    }
    match (followed, parse(body, |_| false)) {
        (Ok(_) | Err(ParseError::Object { .. }), Ok(event)) => {
            assert_eq!(event.object, Object::Other);
        }
        (Err(ParseError::Event(_)), Err(ParseError::Event(_))) => {}
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

/// A call is verified only by a digest made with one of the secrets, and by that always; every copy
/// of it is known by the same digest.
pub fn portal_signature(data: &[u8]) {
    let (header, body) = first_line(data);
    let header = String::from_utf8_lossy(header);
    let (current, previous) = (secret(), SecretString::from("psk_of_the_fuzzer".to_owned()));
    let secrets = [&current, &previous];
    let verify =
        |header: &str, body: &[u8]| bitflow_university::verify(&secrets, header, body, SIGNED_AT);
    if verify(&header, body).is_ok() {
        let right = secrets.iter().any(|secret| {
            is_of_right_digest(&header, |at| bitflow_university::sign(secret, body, at))
        });
        assert!(right, "verified by no right digest: {header}");
    }
    let [one, other] = secrets.map(|secret| bitflow_university::sign(secret, body, SIGNED_AT));
    assert_eq!(verify(&one, body), verify(&other, body));
    assert!(verify(&one, body).is_ok(), "what is signed is verified");
    let longer = [body, b" "].concat();
    assert!(verify(&one, &longer).is_err(), "another body is not");
}

/// Whether a header has the digest that `sign` makes at a time that the header has as well.
fn is_of_right_digest(header: &str, sign: impl Fn(Timestamp) -> String) -> bool {
    let of = |name: &'static str| {
        let entries = header.split(',').filter_map(|it| it.trim().split_once('='));
        entries
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let times = of("t").filter_map(|it| Timestamp::from_second(it.parse().ok()?).ok());
    let mut right = times.map(sign);
    right.any(|right| {
        let digest = right.rsplit('=').next().unwrap_or_default();
        of("v1").any(|it| it.eq_ignore_ascii_case(digest))
    })
}
