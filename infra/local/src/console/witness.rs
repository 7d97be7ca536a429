//! What functions ask of vendors.
//!
//! Nothing in such a request tells which function it comes from. Therefore each process is given
//! vendors' URLs with a path in front that names the process, and whoever answers takes it off again:
//! so neither the product nor the simulators are any different.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::recorder::{Recorder, VendorCall};

/// What the path begins with.
const PREFIX: &str = "/_from/";

/// More than any vendor is sent, or answers.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Sees what one vendor is asked; the default one sees nothing.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    tells: Option<(Recorder, &'static str)>,
}

impl Recorder {
    /// One for this vendor.
    pub fn witness(&self, vendor: &'static str) -> Witness {
        Witness {
            tells: Some((self.clone(), vendor)),
        }
    }
}

impl Witness {
    /// The same routes, seen.
    pub fn before(self, routes: Router) -> Router {
        if self.tells.is_none() {
            return routes;
        }
        // Around the routes, since the path is another once it is seen.
        Router::new()
            .fallback_service(routes)
            .layer(from_fn_with_state(self, see))
    }
}

/// The variables of a function that lead to vendors, so that they name one of its processes.
pub(crate) fn named(
    variables: &BTreeMap<String, String>,
    vendors: &[String],
    environment: &str,
) -> BTreeMap<String, String> {
    let named = variables.iter().filter_map(|(variable, value)| {
        let mut rests = vendors.iter().filter_map(|url| {
            let rest = value.strip_prefix(url)?;
            let ends = rest.is_empty() || rest.starts_with('/');
            ends.then(|| format!("{url}{PREFIX}{environment}{rest}"))
        });
        Some((variable.clone(), rests.next()?))
    });
    named.collect()
}

async fn see(State(witness): State<Witness>, request: Request, next: Next) -> Response {
    let Some((environment, uri)) = split(request.uri()) else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let noted = witness.tells.and_then(|(recorder, vendor)| {
        let key = parts.headers.get("idempotency-key");
        let call = VendorCall {
            vendor,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            idempotency_key: key.and_then(|key| key.to_str().ok()),
            body: &body,
        };
        recorder.call_of_vendor(&environment, &call)
    });
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        if let Some(noted) = noted {
            noted.unanswered();
        }
        let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("no answer")) });
        return Response::from_parts(parts, Body::from_stream(broken));
    };
    if let Some(noted) = noted {
        let header = |name| parts.headers.get(name).and_then(|it| it.to_str().ok());
        if let Some(id) = header("request-id") {
            noted.known_as(id, header("original-request"));
        }
        noted.answered(parts.status.as_u16(), None);
    }
    Response::from_parts(parts, Body::from(body))
}

/// The process that a path names, and the path without it.
fn split(uri: &Uri) -> Option<(String, Uri)> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(PREFIX)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (environment, rest) = rest.split_at(end);
    let rest = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    Some((environment.to_owned(), rest.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_process_and_loses_it_again() {
        let check = |uri: &str, expect: Option<(&str, &str)>| {
            let found = split(&uri.parse().unwrap()).map(|(it, uri)| (it, uri.to_string()));
            let expect = expect.map(|(it, uri)| (it.to_owned(), uri.to_owned()));
            assert_eq!(found, expect, "{uri}");
        };
        check(
            "/_from/e1/v1/customers?limit=1",
            Some(("e1", "/v1/customers?limit=1")),
        );
        check("/_from/e1", Some(("e1", "/")));
        check("/_from/e1?a=b", Some(("e1", "/?a=b")));
        check("/v1/customers", None);
    }

    #[test]
    fn only_what_leads_to_a_vendor_names_the_process() {
        let texts = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            owned.collect::<BTreeMap<_, _>>()
        };
        let variables = texts(&[
            ("STRIPE", "http://127.0.0.1:80"),
            ("PORTAL", "http://127.0.0.1:81/{domain}"),
            ("OTHER", "http://127.0.0.1:8000"),
            ("TABLE", "universities"),
        ]);
        let vendors = ["http://127.0.0.1:80", "http://127.0.0.1:81"].map(str::to_owned);
        let expect = texts(&[
            ("STRIPE", "http://127.0.0.1:80/_from/e1"),
            ("PORTAL", "http://127.0.0.1:81/_from/e1/{domain}"),
        ]);
        assert_eq!(named(&variables, &vendors, "e1"), expect);
    }
}
