//! Every vendor and every portal at once: whatever it is asked, it answers with what was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

/// How often each path was asked.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

pub(crate) struct Echo {
    pub(crate) url: String,
    asked: Asked,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Asked::default();
        let router = Router::new().fallback(answer).with_state(asked.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, asked }
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked
            .lock()
            .expect("no holder panics")
            .keys()
            .cloned()
            .collect()
    }
}

/// In turn: refused as vendors do, taken with an answer of no known shape, failed.
async fn answer(
    State(asked): State<Asked>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let turn = {
        let mut asked = asked.lock().expect("no holder panics");
        let turn = asked.entry(uri.path().to_owned()).or_default();
        *turn += 1;
        *turn
    };
    // One customer is made, or nothing could be billed.
    if method == Method::POST && uri.path() == "/v1/customers" && turn > 3 {
        let made =
            json!({ "id": "cus_echo", "object": "customer", "created": 1, "livemode": false });
        return made.to_string().into_response();
    }
    let echo = format!("{uri} {headers:?} {body}");
    let refused = json!({
        "error": { "type": "invalid_request_error", "code": "parameter_invalid", "message": echo },
        "errors": [{ "field": "personalizations.0.to", "message": echo }],
        "message": echo,
        "title": echo,
    });
    match turn % 3 {
        1 => (StatusCode::BAD_REQUEST, refused.to_string()).into_response(),
        2 => json!(echo).to_string().into_response(),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, echo).into_response(),
    }
}
