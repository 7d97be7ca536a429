//! Errors as `application/problem+json` (RFC 9457).

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitflow_fault::{Class, Fault, Violation};
use serde::Serialize;

/// What a handler answers when it cannot do what was asked.
///
/// Any [`Fault`] turns into one with `?`. The cause is logged once, with its chain, and never
/// reaches the client.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    errors: Vec<Violation>,
    current_version: Option<u64>,
    retry_after_s: Option<u32>,
    challenge: Challenge,
    cause: Option<Arc<dyn Fault>>,
}

/// How whoever is not known is told to say who asks: the `WWW-Authenticate` of a 401 (RFC 9110
/// §11.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Challenge {
    /// By an admin's token.
    #[default]
    Bearer,
    /// By a portal's signature.
    Signature,
}

impl Challenge {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Signature => "X-Signature",
        }
    }
}

impl Problem {
    /// A problem that is fully told by its status and `detail`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: "about:blank",
            detail: detail.into(),
            errors: Vec::new(),
            current_version: None,
            retry_after_s: None,
            challenge: Challenge::default(),
            cause: None,
        }
    }

    /// 422 with every wrong field.
    pub fn invalid(errors: Vec<Violation>) -> Self {
        let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        Self {
            kind: "urn:bitflow:problem:validation",
            detail: format!("These fields are wrong: {}.", named.join(", ")),
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "")
        }
    }

    /// 503: it was not done in time, or not done at all.
    pub(crate) fn busy() -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Something this needs is slow; try again in a moment.",
            )
        }
    }

    /// 429: more than `limit` requests a minute; again in so many seconds.
    pub(crate) fn too_many(limit: u32, retry_after_s: u32) -> Self {
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("At most {limit} requests a minute; try again in {retry_after_s} s."),
            )
        }
    }

    /// 404 for the thing of this kind, e.g. `university`.
    pub fn missing(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {kind}."))
    }

    /// The same problem with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same problem; should it be a 401, this is how to say who asks.
    #[must_use]
    pub fn with_challenge(self, challenge: Challenge) -> Self {
        Self { challenge, ..self }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong with which field.
    pub fn errors(&self) -> &[Violation] {
        &self.errors
    }

    /// What went wrong, for the log.
    pub(crate) fn cause(&self) -> Option<&dyn Fault> {
        self.cause.as_deref()
    }

    /// The answer, once the request's id is known.
    pub(crate) fn render(&self, correlation_id: &str) -> Response {
        let body = Body {
            kind: self.kind,
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            correlation_id,
            errors: &self.errors,
            current_version: self.current_version,
        };
        let json = serde_json::to_vec(&body).expect("a problem holds nothing that JSON cannot");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(self.challenge.as_str());
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl<F: Fault> From<F> for Problem {
    fn from(fault: F) -> Self {
        let violations = fault.violations().to_vec();
        let (status, kind, detail) = match fault.class() {
            Class::Invalid if !violations.is_empty() => {
                let problem = Self::invalid(violations.clone());
                (problem.status, problem.kind, problem.detail)
            }
            Class::Invalid => (
                StatusCode::BAD_REQUEST,
                "about:blank",
                "The request cannot be read.".into(),
            ),
            Class::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "about:blank",
                "Who asks is not known.".into(),
            ),
            Class::Forbidden => (
                StatusCode::FORBIDDEN,
                "about:blank",
                "Who asks may not do this.".into(),
            ),
            Class::Missing => (
                StatusCode::NOT_FOUND,
                "about:blank",
                "There is no such thing.".into(),
            ),
            Class::Conflict if !violations.is_empty() => {
                let said: Vec<_> = violations
                    .iter()
                    .map(|v| format!("{} {}", v.field, v.message))
                    .collect();
                (
                    StatusCode::CONFLICT,
                    "urn:bitflow:problem:taken",
                    format!("The {}.", said.join(", ")),
                )
            }
            Class::Conflict => (
                StatusCode::CONFLICT,
                "urn:bitflow:problem:conflict",
                "It changed in the meantime; read it again and decide anew.".into(),
            ),
            Class::Precondition => (
                StatusCode::PRECONDITION_FAILED,
                "urn:bitflow:problem:precondition",
                "It is not the version that If-Match names; read it again and decide anew.".into(),
            ),
            Class::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "about:blank",
                "Too many requests.".into(),
            ),
            Class::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "about:blank",
                "Something this needs is busy; try again in a moment.".into(),
            ),
            Class::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "about:blank",
                "This is our fault; quote the correlation_id when you report it.".into(),
            ),
        };
        Self {
            status,
            kind,
            detail: fault.detail().unwrap_or(detail),
            errors: violations,
            current_version: fault.current_version(),
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            challenge: Challenge::default(),
            cause: Some(Arc::new(fault)),
        }
    }
}

/// Carries the problem to [`super::run`], which knows the request's id and logs.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_known_is_told_how_to_say_so() {
        let check = |status: StatusCode, challenge: Challenge, expect: Option<&str>| {
            let problem = Problem::new(status, "").with_challenge(challenge);
            let answer = problem.render("none");
            let told = answer.headers().get(header::WWW_AUTHENTICATE);
            assert_eq!(told.map(|it| it.to_str().unwrap()), expect, "{status}");
        };
        let unknown = StatusCode::UNAUTHORIZED;
        check(unknown, Challenge::default(), Some("Bearer"));
        check(unknown, Challenge::Signature, Some("X-Signature"));
        check(StatusCode::FORBIDDEN, Challenge::Signature, None);
    }

    /// Every handler's `Result` is as large, and clippy's `result_large_err` looks away from closures.
    #[test]
    fn a_problem_is_small() {
        assert!(size_of::<Problem>() < 128, "{}", size_of::<Problem>());
    }
}
