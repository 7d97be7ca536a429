//! The one client for calls whose address others decide. What the guard refuses is never connected
//! to, and what answers can neither hold us up nor lead us on.
//!
//! - A name is looked up once for each call, by the connection that is then made to just what was
//!   judged. No connection is kept, so none outlives its check.
//! - No redirects, no proxy from the environment, no repeats of its own.
//! - One clock over everything, from the look-up to the last byte of the answer.
//! - Of an answer's body, [`LIMIT`] is read; of its head, what hyper takes: 100 headers, 400 KiB.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bitflow_fault::{Class, Fault};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, retry};
use url::Url;

use crate::guard::{Allowed, Refusal};

/// How much of an answer's body is read.
pub const LIMIT: usize = 16 * 1024;

/// The longest wait that an answer can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The client; see the module for what it does not do.
#[derive(Debug)]
pub struct Outbound {
    settings: Settings,
    /// Built on the first call.
    http: OnceLock<reqwest::Client>,
}

/// Whom to call, and for how long.
#[derive(Clone)]
pub struct Settings {
    /// Special addresses that are called all the same.
    pub allowed: Allowed,
    /// What looks names up; its answers are judged.
    pub resolver: Arc<dyn Resolve>,
    /// From the look-up until the connection stands, TLS included.
    pub connect_timeout: Duration,
    /// From the look-up until the answer is read.
    pub timeout: Duration,
}

impl Settings {
    /// As in production: the system's resolver, 3 s to connect, 5 s in all.
    pub fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            resolver: Arc::new(System),
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("allowed", &self.allowed)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    /// JSON.
    pub(crate) body: Vec<u8>,
}

/// The call was answered with 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// HTTP status.
    pub status: u16,
}

/// The call did not succeed, or nobody knows whether it did.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The guard let nothing through: nothing was connected to.
    #[error("the portal may not be called")]
    Guarded(#[source] Refusal),
    /// It was answered no, and would be again. A redirect is such an answer: the call was for
    /// this address.
    #[error("the portal refused with {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// It was answered that it may work later.
    #[error("the portal answered {status} for now")]
    NotNow {
        /// HTTP status.
        status: u16,
        /// How long the portal wants to be left alone, a day at most.
        retry_after: Option<Duration>,
    },
    /// No answer came back: no name, no connection, no TLS, no time left, or none that could be
    /// read. It may have been taken.
    #[error("the portal gave no answer")]
    Unreachable(#[source] reqwest::Error),
    /// No request could be made of what was given.
    #[error("the call to the portal could not be made")]
    Unsendable(#[source] reqwest::Error),
}

impl Fault for PortalError {
    fn class(&self) -> Class {
        match self {
            Self::Guarded(_) => Class::Forbidden,
            Self::Refused { .. } => Class::Invalid,
            Self::NotNow { status: 429, .. } => Class::TooMany,
            Self::NotNow { .. } | Self::Unreachable(_) => Class::Busy,
            Self::Unsendable(_) => Class::Broken,
        }
    }
}

impl PortalError {
    /// Whether another try may do better.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotNow { .. } | Self::Unreachable(_))
    }

    /// What was answered, if anything.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status } | Self::NotNow { status, .. } => Some(*status),
            Self::Guarded(_) | Self::Unreachable(_) | Self::Unsendable(_) => None,
        }
    }

    /// How long the portal wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotNow { retry_after, .. } => *retry_after,
            Self::Guarded(_)
            | Self::Refused { .. }
            | Self::Unreachable(_)
            | Self::Unsendable(_) => None,
        }
    }
}

impl Outbound {
    /// Nothing is built, looked up or connected before the first call.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            http: OnceLock::new(),
        }
    }

    /// Posts JSON. The status alone says what came of it: an answer whose body is too long, too
    /// slow or cut off is an answer, and a repeat would tell the portal twice.
    pub(crate) async fn post(
        &self,
        call: Call<'_>,
        now: Timestamp,
    ) -> Result<Delivered, PortalError> {
        let judged = self.settings.allowed.judge_url(&call.url);
        judged.map_err(PortalError::Guarded)?;
        let mut request = self
            .http()
            .post(call.url)
            .header("content-type", "application/json")
            // Without it, some frameworks answer wrong input with a redirect to a page.
            .header("accept", "application/json");
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let answer = request.body(call.body).send().await.map_err(unanswered)?;
        let outcome = outcome(answer.status().as_u16(), answer.headers(), now);
        finish(answer).await;
        outcome
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .dns_resolver(Guarded {
                    resolver: self.settings.resolver.clone(),
                    allowed: self.settings.allowed.clone(),
                })
                .connect_timeout(self.settings.connect_timeout)
                .timeout(self.settings.timeout)
                .redirect(Policy::none())
                // A proxy would do its own look-up.
                .no_proxy()
                .retry(retry::never())
                .pool_max_idle_per_host(0)
                .http1_only()
                .user_agent(concat!("Bitflow-Admin-Portal/", env!("CARGO_PKG_VERSION")))
                .build()
                .expect("the client has no setting that can fail")
        })
    }
}

/// The resolver whose answers were judged.
struct Guarded {
    resolver: Arc<dyn Resolve>,
    allowed: Allowed,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.resolver.resolve(name);
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let addresses = resolving.await?.map(|address| address.ip());
            let judged = allowed.judge_all(addresses)?;
            // Port 0 is the URL's: the resolver has no say in it.
            let judged = judged
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(judged) as Addrs)
        })
    }
}

/// The system's resolver.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// What an error of the client means. The guard's refusal of a look-up comes as the innermost
/// cause.
fn unanswered(error: reqwest::Error) -> PortalError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(it) = cause {
        if let Some(refusal) = it.downcast_ref::<Refusal>() {
            return PortalError::Guarded(refusal.clone());
        }
        cause = it.source();
    }
    if error.is_builder() {
        return PortalError::Unsendable(error.without_url());
    }
    PortalError::Unreachable(error.without_url())
}

/// What an answer means.
fn outcome(status: u16, headers: &HeaderMap, now: Timestamp) -> Result<Delivered, PortalError> {
    match status {
        200..300 => Ok(Delivered { status }),
        // A secret that was rotated, or a portal that is being set up, is mended within a day.
        401 | 403 | 404 | 408 | 425 | 429 | 500.. => Err(PortalError::NotNow {
            status,
            retry_after: retry_after(headers, now),
        }),
        _ => Err(PortalError::Refused { status }),
    }
}

/// `Retry-After`: seconds, or a time.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time, too.
        text.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        let at = DateTimeParser::new().parse_timestamp(text).ok()?;
        // A time that is past is no wait.
        at.duration_since(now).try_into().unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// Lets the portal finish its answer, within limit and time: closed on it, some give up on what
/// they were doing.
async fn finish(mut answer: Response) {
    let mut left = LIMIT;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) if rest > 0 => left = rest,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One name, on a port of its own.
    struct Elsewhere;

    impl Resolve for Elsewhere {
        fn resolve(&self, _: Name) -> Resolving {
            let address: SocketAddr = "[::ffff:8.8.8.8]:22".parse().unwrap();
            Box::pin(async move { Ok(Box::new([address].into_iter()) as Addrs) })
        }
    }

    #[tokio::test]
    async fn what_was_judged_is_what_is_connected_to_on_the_urls_port() {
        let guarded = Guarded {
            resolver: Arc::new(Elsewhere),
            allowed: Allowed::default(),
        };
        let found = guarded.resolve("uu.example".parse().unwrap()).await;
        let found: Vec<_> = found.unwrap().map(|it| it.to_string()).collect();
        assert_eq!(found, ["8.8.8.8:0"]);
    }

    /// 2026-01-02T00:00:00Z.
    const NOW: i64 = 1_767_312_000;

    fn check(status: u16, retry_after: Option<&str>, expect: Result<u16, (Class, Option<u64>)>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        let seen = outcome(status, &headers, Timestamp::from_second(NOW).unwrap());
        let seen = seen.map(|delivered| delivered.status).map_err(|error| {
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.may_pass(), error.class().is_transient());
            let wait = error.retry_after();
            (error.class(), wait.map(|wait| wait.as_secs()))
        });
        assert_eq!(seen, expect, "{status} {retry_after:?}");
    }

    #[test]
    fn every_status_means_something() {
        for status in [200, 201, 202, 204, 299] {
            check(status, Some("5"), Ok(status));
        }
        for status in [301, 302, 303, 304, 307, 308, 400, 405, 409, 410, 422] {
            check(status, Some("5"), Err((Class::Invalid, None)));
        }
        for status in [401, 403, 404, 408, 425, 500, 501, 502, 503, 504, 599, 999] {
            check(status, None, Err((Class::Busy, None)));
            check(status, Some("5"), Err((Class::Busy, Some(5))));
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_time_and_a_day_at_most() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Fri, 02 Jan 2026 00:01:00 GMT", Some(60)),
            ("Thu, 01 Jan 2026 00:00:00 GMT", Some(0)),
            ("Fri, 02 Jan 2099 00:00:00 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            check(429, Some(text), Err((Class::TooMany, seconds)));
        }
        check(429, None, Err((Class::TooMany, None)));
    }
}
