//! The Runtime API that a function's process talks to.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! All processes share one port; each has its own path, so that a call tells whose it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::environment::{Ended, Environment, Log};

/// The live processes, and what each function has logged.
#[derive(Clone, Default)]
pub(super) struct Environments {
    live: Arc<Mutex<HashMap<String, Arc<Environment>>>>,
    logs: Arc<Mutex<HashMap<String, Log>>>,
}

impl Environments {
    /// Starts a process. It may ask for work before this returns: whoever looks for it meanwhile
    /// waits until it is known.
    pub(super) fn start(
        &self,
        spawn: impl FnOnce() -> std::io::Result<Arc<Environment>>,
    ) -> std::io::Result<Arc<Environment>> {
        let mut live = self.live.lock().expect("no holder panics");
        let environment = spawn()?;
        live.insert(environment.id.clone(), environment.clone());
        Ok(environment)
    }

    pub(super) fn remove(&self, environment: &Environment) {
        self.live
            .lock()
            .expect("no holder panics")
            .remove(&environment.id);
    }

    pub(super) fn of(&self, binary: &str) -> Vec<Arc<Environment>> {
        let live = self.live.lock().expect("no holder panics");
        live.values()
            .filter(|it| it.binary == binary)
            .cloned()
            .collect()
    }

    pub(super) fn log_of(&self, binary: &str) -> Log {
        self.logs
            .lock()
            .expect("no holder panics")
            .entry(binary.to_owned())
            .or_default()
            .clone()
    }

    pub(super) fn logs(&self, binary: &str) -> Vec<String> {
        self.log_of(binary)
            .lock()
            .expect("no holder panics")
            .iter()
            .cloned()
            .collect()
    }

    fn get(&self, id: &str) -> Option<Arc<Environment>> {
        self.live.lock().expect("no holder panics").get(id).cloned()
    }
}

pub(super) fn router(environments: Environments) -> Router {
    Router::new()
        .route(
            "/{environment}/2018-06-01/runtime/invocation/next",
            get(next),
        )
        .route(
            "/{environment}/2018-06-01/runtime/invocation/{request_id}/response",
            post(response),
        )
        .route(
            "/{environment}/2018-06-01/runtime/invocation/{request_id}/error",
            post(error),
        )
        .route(
            "/{environment}/2018-06-01/runtime/init/error",
            post(init_error),
        )
        .layer(DefaultBodyLimit::max(2 * super::MAX_PAYLOAD))
        .with_state(environments)
}

async fn next(State(environments): State<Environments>, Path(id): Path<String>) -> Response {
    let Some(environment) = environments.get(&id) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Some(work) = environment.waiting.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", work.request_id),
        ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            environment.arn.clone(),
        ),
        ("lambda-runtime-trace-id", work.trace),
        ("content-type", "application/json".to_owned()),
    ];
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| {
            Some((
                axum::http::HeaderName::from_static(name),
                value.parse().ok()?,
            ))
        })
        .collect();
    (headers, work.payload).into_response()
}

async fn response(
    State(environments): State<Environments>,
    Path((id, request_id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    if body.len() > super::MAX_PAYLOAD {
        let message = format!(
            "Exceeded maximum allowed payload size ({} bytes).",
            super::MAX_PAYLOAD
        );
        let error = super::error_object("Function.ResponseSizeTooLarge", &message);
        end(&environments, &id, &request_id, Ended::Failed(error));
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    end(&environments, &id, &request_id, Ended::Answered(body))
}

async fn error(
    State(environments): State<Environments>,
    Path((id, request_id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    end(&environments, &id, &request_id, Ended::Failed(body))
}

/// The process ends by itself after this; its exit fails the invocation.
async fn init_error(State(_): State<Environments>, Path(id): Path<String>) -> Response {
    tracing::warn!(environment = id, "a function failed to start");
    StatusCode::ACCEPTED.into_response()
}

fn end(environments: &Environments, id: &str, request_id: &str, ended: Ended) -> Response {
    let known = environments
        .get(id)
        .is_some_and(|it| it.end(request_id, ended));
    if known {
        StatusCode::ACCEPTED.into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}
