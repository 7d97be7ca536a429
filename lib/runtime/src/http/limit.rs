//! Rate limits: so many requests of a sender in a minute, over all processes (contract section 7,
//! `infra/ARCHITECTURE.md` §6).
//!
//! A window is a minute of the clock. What counts is handed in; where it fails, the request is let
//! through. A sender whose window is known to be full is refused without asking again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bitflow_fault::{Class, Fault};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::admin::Admin;
use super::problem::{Challenge, Problem};
use super::serve::Requested;
use crate::clock;
use crate::log::chain;

/// A window, seconds.
const WINDOW: i64 = 60;

/// How long a window is remembered after its end, seconds.
const KEPT: i64 = 10 * WINDOW;

/// Most senders that are remembered as full; beyond that all are asked about again.
const MOST_FULL: usize = 10_000;

type Counted = Result<Option<u32>, Box<dyn Fault>>;
type Counter = Box<dyn Fn(String, u32, Timestamp) -> BoxFuture<'static, Counted> + Send + Sync>;

/// Lets so many requests of each sender through in a minute.
pub struct Limiter {
    limit: u32,
    count: Counter,
    /// Until when (epoch seconds) a bucket is known to be full.
    full: Mutex<HashMap<String, i64>>,
}

/// Where a request's sender stands: what its answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    /// At most `limit` a minute. `count` counts one more in a bucket, unless that has `limit`
    /// already, which is `None`; it may forget the bucket after the time it is given.
    pub fn new<F: Fault>(
        limit: u32,
        count: impl Fn(String, u32, Timestamp) -> BoxFuture<'static, Result<Option<u32>, F>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let count: Counter = Box::new(move |bucket, limit, until| {
            count(bucket, limit, until)
                .map(|counted| counted.map_err(|error| Box::new(error) as Box<dyn Fault>))
                .boxed()
        });
        Self {
            limit,
            count,
            full: Mutex::default(),
        }
    }

    /// Counts a request of `sender`, one of a kind of senders such as `address`; 429 where there
    /// were too many. Whatever is answered then tells how many more there may be. Where it cannot
    /// be counted it is let through.
    pub async fn take(
        &self,
        request: &Requested,
        (kind, sender): (&str, &str),
        now: Timestamp,
    ) -> Result<(), Problem> {
        let window = now.as_second().div_euclid(WINDOW);
        let ends_at = (window + 1) * WINDOW;
        // Of one length, and nobody's name or address.
        let digest = hex::encode(&Sha256::digest(sender)[..16]);
        let bucket = format!("{kind}:{digest}#{window}");
        if !self.is_full(&bucket) {
            let kept = Timestamp::from_second(ends_at + KEPT).unwrap_or(now);
            match (self.count)(bucket.clone(), self.limit, kept).await {
                Ok(Some(hits)) => {
                    request.stands(Standing {
                        limit: self.limit,
                        remaining: self.limit.saturating_sub(hits),
                    });
                    return Ok(());
                }
                Ok(None) => self.is_full_until(bucket, ends_at, now),
                Err(error) => {
                    let (class, error) = (error.class(), chain(error.as_ref()));
                    tracing::warn!(target: "bitflow", %class, error, "a request was not counted, and let through");
                    return Ok(());
                }
            }
        }
        request.stands(Standing {
            limit: self.limit,
            remaining: 0,
        });
        let seconds = u32::try_from(ends_at - now.as_second()).unwrap_or(1);
        Err(Problem::too_many(self.limit, seconds))
    }

    /// Counts a call by a portal: one that is signed, by the university whose it is, even where that
    /// is not there any more; one that is not, by its address, since it may name whom it likes. A
    /// call of which that could not be found out is not counted.
    ///
    /// # Errors
    /// 429 where there were too many. Else what `caller` is refused with, with the challenge to
    /// sign.
    pub async fn of_caller<C, F: Fault>(
        &self,
        request: &Requested,
        caller: Result<C, F>,
        university_id: impl fmt::Display,
        now: Timestamp,
    ) -> Result<C, Problem> {
        match caller.as_ref().map_err(Fault::class) {
            // Who is told that its university is deleted has signed for it.
            Ok(_) | Err(Class::Missing) => {
                let sender = ("university", &*university_id.to_string());
                self.take(request, sender, now).await?;
            }
            Err(Class::Unauthenticated) => self.of_stranger(request, now).await?,
            Err(_) => {}
        }
        caller.map_err(|error| Problem::from(error).with_challenge(Challenge::Signature))
    }

    /// Counts a call by nobody that is known: by its address. 429 where there were too many.
    pub async fn of_stranger(&self, request: &Requested, now: Timestamp) -> Result<(), Problem> {
        let sender = ("address", request.source_ip.as_str());
        self.take(request, sender, now).await
    }

    fn is_full(&self, bucket: &str) -> bool {
        let full = self.full.lock().expect("no holder panics");
        full.contains_key(bucket)
    }

    fn is_full_until(&self, bucket: String, ends_at: i64, now: Timestamp) {
        let mut full = self.full.lock().expect("no holder panics");
        full.retain(|_, ends_at| *ends_at > now.as_second());
        if full.len() >= MOST_FULL {
            full.clear();
        }
        full.insert(bucket, ends_at);
    }
}

impl Standing {
    /// Adds the headers.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        headers.insert("x-ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(self.remaining));
    }
}

/// Counts a request of an admin before it is read; whoever is not known is not counted, and refused
/// further on.
pub(super) async fn of_admin(limiter: &Limiter, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let requested = Requested::from_request_parts(&mut parts, &()).await;
    let admin = Admin::from_request_parts(&mut parts, &()).await;
    if let (Ok(requested), Ok(admin)) = (requested, admin) {
        let sender = ("admin", admin.subject.as_str());
        if let Err(problem) = limiter.take(&requested, sender, clock::now()).await {
            return problem.into_response();
        }
    }
    next.run(Request::from_parts(parts, body)).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::StatusCode;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the table is away")]
    struct Away;

    impl Fault for Away {
        fn class(&self) -> Class {
            Class::Busy
        }
    }

    /// A table in memory, and how often it was asked.
    #[derive(Default)]
    struct Table {
        hits: Mutex<HashMap<String, u32>>,
        asked: Mutex<u32>,
    }

    fn limiter(table: &Arc<Table>, limit: u32) -> Limiter {
        let table = table.clone();
        Limiter::new(limit, move |bucket, limit, _| {
            *table.asked.lock().unwrap() += 1;
            let mut hits = table.hits.lock().unwrap();
            let hits = hits.entry(bucket).or_default();
            let counted = (*hits < limit).then(|| {
                *hits += 1;
                *hits
            });
            async move { Ok::<_, Away>(counted) }.boxed()
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What a request is told: how many more, or in how many seconds again.
    async fn take(limiter: &Limiter, sender: &str, second: i64) -> Result<u32, String> {
        let request = Requested::none();
        let taken = limiter.take(&request, ("admin", sender), at(second)).await;
        let remaining = request.standing().map(|it| it.remaining);
        match taken {
            Ok(()) => Ok(remaining.unwrap()),
            Err(problem) => {
                assert_eq!(problem.status(), StatusCode::TOO_MANY_REQUESTS);
                assert_eq!(remaining, Some(0));
                let answer = problem.render("none");
                Err(answer.headers()["retry-after"].to_str().unwrap().to_owned())
            }
        }
    }

    #[tokio::test]
    async fn so_many_a_minute_each() {
        let table = Arc::new(Table::default());
        let limiter = limiter(&table, 2);
        assert_eq!(take(&limiter, "a", 0).await, Ok(1));
        assert_eq!(take(&limiter, "a", 1).await, Ok(0));
        assert_eq!(take(&limiter, "a", 1).await, Err("59".to_owned()));
        assert_eq!(take(&limiter, "a", 59).await, Err("1".to_owned()));
        assert_eq!(take(&limiter, "b", 59).await, Ok(1));
        assert_eq!(take(&limiter, "a", 60).await, Ok(1));
    }

    #[tokio::test]
    async fn once_it_is_full_nobody_is_asked() {
        let table = Arc::new(Table::default());
        let limiter = limiter(&table, 1);
        for _ in 0..5 {
            drop(take(&limiter, "a", 30).await);
        }
        assert_eq!(*table.asked.lock().unwrap(), 2);
        assert_eq!(take(&limiter, "a", 60).await, Ok(0));
        assert!(take(&limiter, "a", 60).await.is_err());
        assert_eq!(
            limiter.full.lock().unwrap().len(),
            1,
            "what is over is forgotten"
        );
    }

    /// Every call is of a university 7, and from one address; which budget each takes from.
    #[tokio::test]
    async fn a_call_counts_against_whoever_made_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("as told")]
        struct Failed(Class);

        impl Fault for Failed {
            fn class(&self) -> Class {
                self.0
            }
        }

        for (caller, expect, counted) in [
            (Ok(()), None, "university"),
            (Err(Class::Missing), Some(404), "university"),
            (Err(Class::Unauthenticated), Some(401), "address"),
            (Err(Class::Busy), Some(503), ""),
        ] {
            let table = Arc::new(Table::default());
            let limiter = limiter(&table, 2);
            for _ in 0..2 {
                let caller = caller.map_err(Failed);
                let answer = limiter
                    .of_caller(&Requested::none(), caller, 7, at(0))
                    .await;
                let status = answer.err().map(|it| it.status().as_u16());
                assert_eq!(status, expect);
            }
            let hits = table.hits.lock().unwrap().clone();
            let expect = (!counted.is_empty()).then_some((counted, 2));
            let hits = hits.iter().map(|(bucket, hits)| {
                let kind = bucket.split(':').next().unwrap();
                (kind, *hits)
            });
            assert_eq!(hits.collect::<Vec<_>>(), Vec::from_iter(expect));
            // What is over is refused, whatever it would have been answered.
            let answer = limiter
                .of_caller(&Requested::none(), caller.map_err(Failed), 7, at(0))
                .await;
            let status = answer.err().map(|it| it.status().as_u16());
            let expect = if counted.is_empty() { 503 } else { 429 };
            assert_eq!(status, Some(expect));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_counted_is_let_through() {
        let limiter = Limiter::new(1, |_, _, _| async { Err::<Option<u32>, _>(Away) }.boxed());
        for _ in 0..3 {
            let request = Requested::none();
            let taken = limiter.take(&request, ("admin", "a"), at(0)).await;
            assert!(taken.is_ok());
            assert_eq!(request.standing(), None);
        }
    }
}
