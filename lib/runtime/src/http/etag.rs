//! ETags: the entity's version; and `If-Match`, which makes a change depend on it
//! (`infra/ARCHITECTURE.md` §6).

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;

use super::problem::Problem;

/// A strong ETag for a version.
pub fn of(version: u64) -> String {
    format!("\"{version}\"")
}

/// What a request's `If-Match` asks for (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing, or `*`: whatever is stored.
    Any,
    /// The entity must be of one of these versions. A tag that is weak, or that no entity of ours
    /// has, is of none.
    OneOf(Vec<u64>),
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut lines = Vec::new();
        for value in parts.headers.get_all(IF_MATCH) {
            lines.push(value.to_str().unwrap_or("not a list"));
        }
        if lines.is_empty() {
            return Ok(Self::Any);
        }
        parse(&lines.join(",")).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "If-Match must be * or a list of ETags such as \"7\".",
            )
        })
    }
}

/// `*`, or entity tags with commas between them.
fn parse(text: &str) -> Option<IfMatch> {
    let mut rest = text.trim_matches(SPACE);
    if rest == "*" {
        return Some(IfMatch::Any);
    }
    let mut versions = Vec::new();
    let mut tags = 0;
    loop {
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (tags > 0).then_some(IfMatch::OneOf(versions));
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !tag
            .bytes()
            .all(|byte| byte == b'!' || (0x23..=0x7e).contains(&byte))
        {
            return None;
        }
        tags += 1;
        // As we write it, so that "07" is not version 7.
        let version = tag
            .parse()
            .ok()
            .filter(|version| of(*version) == of_text(tag));
        versions.extend(version.filter(|_| !weak));
        rest = after.trim_start_matches(SPACE);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

const SPACE: [char; 2] = [' ', '\t'];

fn of_text(tag: &str) -> String {
    format!("\"{tag}\"")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn check(sent: &[&str], expect: Result<IfMatch, StatusCode>) {
        let mut request = Request::builder();
        for value in sent {
            request = request.header(IF_MATCH, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let seen = IfMatch::from_request_parts(&mut parts, &()).await;
        assert_eq!(seen.map_err(|problem| problem.status()), expect, "{sent:?}");
    }

    #[tokio::test]
    async fn conditions() {
        let one_of = |versions: &[u64]| Ok(IfMatch::OneOf(versions.to_vec()));
        check(&[], Ok(IfMatch::Any)).await;
        check(&[" * "], Ok(IfMatch::Any)).await;
        check(&[&of(7)], one_of(&[7])).await;
        check(&["\"1\", \"2\" ,\"3\""], one_of(&[1, 2, 3])).await;
        check(&["\"1\"", ",\"2\","], one_of(&[1, 2])).await;
        // These match nothing, which is not the same as no condition.
        for none_of_ours in ["W/\"1\"", "\"\"", "\"x,y\"", "\"01\"", "\"+1\""] {
            check(&[none_of_ours], one_of(&[])).await;
        }
        check(&["W/\"1\", \"2\""], one_of(&[2])).await;
        for wrong in [
            "",
            ",",
            "1",
            "\"1",
            "1\"",
            "\"1\" \"2\"",
            "\"1\", *",
            "w/\"1\"",
            "\"a b\"",
            "\"å\"",
        ] {
            check(&[wrong], Err(StatusCode::BAD_REQUEST)).await;
        }
    }
}
