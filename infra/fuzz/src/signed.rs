//! What is signed: Stripe's webhooks, and the calls of portals. The first line is the header, the
//! rest is the body.

use bitflow_domain::id::UniversityId;
use bitflow_portal::stripe_events::follows;
use bitflow_runtime::clock;
use bitflow_stripe::event::{Object, ParseError, parse};
use bitflow_stripe::signature;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::functions::ask;
use crate::{SECRET, first_line};

/// What seeds are signed with; no secret of anybody.
pub(crate) fn secret() -> SecretString {
    SECRET.to_owned().into()
}

/// When seeds are signed.
pub(crate) const SIGNED_AT: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// How far from its time a signature is good, seconds: what Stripe recommends, and what we promise.
const TOLERANCE: i64 = 300;

/// A body is verified only by the digest of itself at a time near enough, and by that always. Every
/// body can be asked for an event, and says the same each time; one of a type that is not followed
/// is never refused for its object. And what the webhook answers is Stripe's contract.
pub fn stripe_webhook(data: &[u8]) {
    let (header, body) = first_line(data);
    let header = String::from_utf8_lossy(header);
    let verify =
        |header: &str, body: &[u8], now| signature::verify(&secret(), header, body, now).is_ok();
    let sign = |at| signature::sign(&secret(), body, at);
    if verify(&header, body, SIGNED_AT) {
        assert!(
            is_of_right_digest(&header, sign),
            "verified by no right digest: {header}"
        );
    }
    is_verified_in_time(body, sign, verify);

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
    stripe_is_answered(&header, body);
}

/// What is not Stripe's is 400, and changes nothing. What is Stripe's is 200 where there is nothing to
/// do, else, with the tables away, 503: never refused for good.
fn stripe_is_answered(header: &str, body: &[u8]) {
    let tell = |signature: &str| {
        let headers = [("stripe-signature", signature)];
        ask(("POST", "/api/webhooks/stripe"), &headers, body, None)
    };
    // It was signed at a time that is long gone, if at all.
    let refused = tell(header);
    assert!(refused.is_invalid_signature(), "{refused:?}");

    let told = tell(&signature::sign(&secret(), body, clock::now()));
    let expected: &[u16] = match parse(body, follows) {
        Ok(event) if event.object != Object::Other => &[200, 503],
        Ok(_) | Err(ParseError::Event(_)) => &[200],
        Err(ParseError::Object { .. }) => &[503],
    };
    assert!(told.is_of(expected), "{told:?}");
    if told.is_of(&[200]) {
        assert_eq!(told.json(), json!({ "status": "success" }));
    }
}

/// A call is verified only by a digest made with one of the secrets at a time near enough, and by that
/// always; every copy of it is known by the same digest. Whoever calls is told what is wrong with the
/// call, and only who names a university has it looked for.
pub fn portal_signature(data: &[u8]) {
    let (header, body) = first_line(data);
    let header = String::from_utf8_lossy(header);
    let (current, previous) = (secret(), SecretString::from("psk_of_the_fuzzer".to_owned()));
    let secrets = [&current, &previous];
    let verify =
        |header: &str, body: &[u8], now| bitflow_university::verify(&secrets, header, body, now);
    if verify(&header, body, SIGNED_AT).is_ok() {
        let right = secrets.iter().any(|secret| {
            is_of_right_digest(&header, |at| bitflow_university::sign(secret, body, at))
        });
        assert!(right, "verified by no right digest: {header}");
    }
    for secret in secrets {
        is_verified_in_time(
            body,
            |at| bitflow_university::sign(secret, body, at),
            |header, body, now| verify(header, body, now).is_ok(),
        );
    }
    let [one, other] = secrets.map(|secret| bitflow_university::sign(secret, body, SIGNED_AT));
    let of = |header: &str| verify(header, body, SIGNED_AT);
    assert_eq!(of(&one), of(&other));
    let stranger = SecretString::from("psk_of_nobody".to_owned());
    let strangers = bitflow_university::sign(&stranger, body, SIGNED_AT);
    assert!(of(&strangers).is_err(), "another's secret is good");

    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = sent.get("university_id").and_then(Value::as_str);
    let names_one = id.is_some_and(|id| UniversityId::parse(id).is_ok());
    for path in ["/api/webhooks/university-sync", "/api/admin/alerts"] {
        let answer = ask(("POST", path), &[("x-signature", &header)], body, None);
        let expected: &[u16] = match &sent {
            Value::Object(_) if names_one => &[503],
            Value::Object(_) => &[422],
            _ => &[400],
        };
        assert!(answer.is_of(expected), "{path}: {answer:?}");
    }
}

/// What is signed is verified while it is near enough, and not a second longer; another body never is.
fn is_verified_in_time(
    body: &[u8],
    sign: impl Fn(Timestamp) -> String,
    verify: impl Fn(&str, &[u8], Timestamp) -> bool,
) {
    let right = sign(SIGNED_AT);
    for away in [0, TOLERANCE, TOLERANCE + 1] {
        for now in [away, -away].map(|it| SIGNED_AT + SignedDuration::from_secs(it)) {
            let verified = verify(&right, body, now);
            assert_eq!(verified, away <= TOLERANCE, "signed {away} s away");
        }
    }
    let longer = [body, b" "].concat();
    assert!(
        !verify(&right, &longer, SIGNED_AT),
        "another body is verified"
    );
    let other = right.replace("t=1", "t=2");
    assert!(!verify(&other, body, SIGNED_AT), "another time is verified");
}

/// Whether a header has the digest that `sign` makes at a time that the header has as well, and that is
/// near enough to [`SIGNED_AT`].
fn is_of_right_digest(header: &str, sign: impl Fn(Timestamp) -> String) -> bool {
    let of = |name: &'static str| {
        let entries = header.split(',').filter_map(|it| it.trim().split_once('='));
        entries
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let times = of("t").filter_map(|it| Timestamp::from_second(it.parse().ok()?).ok());
    let times = times.filter(|it| it.duration_since(SIGNED_AT).abs().as_secs() <= TOLERANCE);
    let mut right = times.map(sign);
    right.any(|right| {
        let digest = right.rsplit('=').next().unwrap_or_default();
        of("v1").any(|it| it.eq_ignore_ascii_case(digest))
    })
}
