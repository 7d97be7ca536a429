//! Who may talk to the console: its own page, and tools of this machine. Another site in the same
//! browser may not, neither by a form nor by a name of its own that leads here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Console;
use super::pages::refusal;

/// Lets a request pass, or says why not.
pub(super) async fn check(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let port = console.info.api_url.rsplit(':').next().unwrap_or_default();
    if let Err(why) = may(request.method(), request.headers(), port) {
        return refusal(StatusCode::FORBIDDEN, why);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                  frame-ancestors 'self'; base-uri 'none'; form-action 'none'";
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(policy));
    response
}

/// `port` is that of the HTTP API.
fn may(method: &Method, headers: &HeaderMap, port: &str) -> Result<(), &'static str> {
    let text = |name: HeaderName| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let is_own = |host: &str| {
        let name = host.strip_suffix(port).and_then(|it| it.strip_suffix(':'));
        matches!(name, Some("127.0.0.1" | "localhost" | "[::1]"))
    };
    if !text(header::HOST).is_some_and(is_own) {
        return Err("The console answers on 127.0.0.1 and localhost only.");
    }
    if [Method::GET, Method::HEAD].contains(method) {
        return Ok(());
    }
    let origin = text(header::ORIGIN);
    if origin.is_some_and(|it| !it.strip_prefix("http://").is_some_and(is_own)) {
        return Err("The console does not take this from another site.");
    }
    // What a form of another site can send is none of these.
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err("The console takes Content-Type: application/json only.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, given: &[(&'static str, &'static str)], expect: bool) {
        let given = given.iter().map(|(name, value)| {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            (name, value)
        });
        let headers = given.collect();
        assert_eq!(may(method, &headers, "3000").is_ok(), expect, "{headers:?}");
    }

    #[test]
    fn only_its_own_page_and_this_machine_may() {
        let (host, json) = (
            ("host", "127.0.0.1:3000"),
            ("content-type", "application/json"),
        );
        check(&Method::GET, &[host], true);
        check(&Method::GET, &[("host", "localhost:3000")], true);
        check(&Method::GET, &[("host", "[::1]:3000")], true);
        check(&Method::GET, &[("host", "evil.example:3000")], false);
        check(
            &Method::GET,
            &[("host", "127.0.0.1:3000.evil.example")],
            false,
        );
        check(&Method::GET, &[("host", "127.0.0.1:80")], false);
        check(&Method::GET, &[], false);
        check(&Method::POST, &[host, json], true);
        check(
            &Method::POST,
            &[host, json, ("origin", "http://127.0.0.1:3000")],
            true,
        );
        check(
            &Method::POST,
            &[host, json, ("origin", "http://127.0.0.1:8025")],
            false,
        );
        check(
            &Method::POST,
            &[host, json, ("origin", "https://evil.example")],
            false,
        );
        check(&Method::POST, &[host, json, ("origin", "null")], false);
        check(&Method::POST, &[host], false);
        check(
            &Method::POST,
            &[host, ("content-type", "text/plain")],
            false,
        );
    }
}
