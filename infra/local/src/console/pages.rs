//! The page, and what it shows of what went through. No build, and nothing from elsewhere.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde_json::json;

use super::{Console, view};

/// Changes within this time are told as one.
const MOMENT: Duration = Duration::from_millis(150);

/// What the page is made of.
const FILES: [(&str, &str, &str); 5] = [
    ("console.css", "text/css", include_str!("page/console.css")),
    (
        "console.js",
        "text/javascript",
        include_str!("page/console.js"),
    ),
    (
        "timeline.js",
        "text/javascript",
        include_str!("page/timeline.js"),
    ),
    (
        "panels.js",
        "text/javascript",
        include_str!("page/panels.js"),
    ),
    ("dom.js", "text/javascript", include_str!("page/dom.js")),
];

pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("page/index.html"))
}

pub(super) async fn file(Path(file): Path<String>) -> Response {
    let found = FILES.iter().find(|(name, ..)| *name == file);
    let Some((_, kind, text)) = found else {
        return nothing().await;
    };
    let kind = [(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))];
    (kind, *text).into_response()
}

pub(super) async fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "The console has nothing here.")
}

/// Newest first.
pub(super) async fn flows(State(console): State<Arc<Console>>) -> Response {
    let now = console.clock.now();
    let flows = console.recorder.look(|flows| {
        let flows = flows.newest().map(|flow| view::summary(flow, now));
        flows.collect::<Vec<_>>()
    });
    Json(json!({ "now": now, "flows": flows })).into_response()
}

pub(super) async fn flow(State(console): State<Arc<Console>>, Path(id): Path<String>) -> Response {
    let now = console.clock.now();
    let found = console
        .recorder
        .look(|flows| view::whole(flows, flows.of(&id)?, now));
    found.map_or_else(|| forgotten(&id), |flow| Json(flow).into_response())
}

/// What a function logged under a flow's correlation ids.
pub(super) async fn log(
    State(console): State<Arc<Console>>,
    Path((id, function)): Path<(String, String)>,
) -> Response {
    let ids = console.recorder.look(|flows| {
        let flow = flows.flow(flows.of(&id)?)?;
        Some([std::slice::from_ref(&flow.id), &flow.also].concat())
    });
    let Some(ids) = ids else {
        return forgotten(&id);
    };
    let mut lines = console.lambda.logs(&function);
    lines.retain(|line| ids.iter().any(|id| line.contains(id.as_str())));
    Json(json!({ "lines": lines })).into_response()
}

fn forgotten(id: &str) -> Response {
    let why = format!("Nothing with the correlation id {id} is remembered.");
    refusal(StatusCode::NOT_FOUND, &why)
}

/// A line whenever something changed; what, the page asks.
pub(super) async fn live(
    State(console): State<Arc<Console>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seen = (console.recorder.revisions(), console.progress.subscribe());
    let changes = stream::unfold(seen, async |(mut recorded, mut progress)| {
        tokio::select! {
            changed = recorded.changed() => changed.ok()?,
            changed = progress.changed() => changed.ok()?,
        }
        tokio::time::sleep(MOMENT).await;
        recorded.borrow_and_update();
        progress.borrow_and_update();
        Some((Ok(Event::default().data("changed")), (recorded, progress)))
    });
    // The first tells the page that it is connected.
    let connected = stream::once(async { Ok(Event::default().data("connected")) });
    let all = futures_util::StreamExt::chain(connected, changes);
    Sse::new(all).keep_alive(KeepAlive::default())
}

/// Why not, as the page shows it.
pub(super) fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
