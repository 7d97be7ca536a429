//! `Idempotency-Key` (`infra/ARCHITECTURE.md` §6): what makes a POST safe to repeat.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;

/// The header.
pub const HEADER: &str = "idempotency-key";

/// The client's key of a request, where it sent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut sent = parts.headers.get_all(HEADER).iter();
        let Some(value) = sent.next() else {
            return Ok(Self(None));
        };
        let key = value.to_str().unwrap_or_default();
        let right =
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if right && sent.next().is_none() {
            Ok(Self(Some(key.to_owned())))
        } else {
            Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "The Idempotency-Key must be one text of 1 to 255 visible ASCII characters.",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn check(sent: &[&str], expect: Result<Option<&str>, StatusCode>) {
        let mut request = Request::builder();
        for key in sent {
            request = request.header(HEADER, *key);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let seen = IdempotencyKey::from_request_parts(&mut parts, &()).await;
        let seen = seen.map(|key| key.0).map_err(|problem| problem.status());
        assert_eq!(seen, expect.map(|key| key.map(str::to_owned)), "{sent:?}");
    }

    #[tokio::test]
    async fn a_key_is_one_visible_text() {
        check(&[], Ok(None)).await;
        check(&["a-1"], Ok(Some("a-1"))).await;
        check(&["x".repeat(255).as_str()], Ok(Some(&"x".repeat(255)))).await;
        for wrong in [
            &[""][..],
            &["a b"],
            &["x".repeat(256).as_str()],
            &["a", "b"],
        ] {
            check(wrong, Err(StatusCode::BAD_REQUEST)).await;
        }
    }
}
