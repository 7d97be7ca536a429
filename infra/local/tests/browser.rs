//! A browser with the real laravel-echo and pusher-js, as in the contract's snippet (contract section
//! 5.2), hears of an alert that a portal raises.
//!
//! Needs npm with its registry, which also has a Chromium for where there is none; where one cannot
//! be had the test says so and passes.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use bitflow_university::sign;
use serde_json::{Value, json};
use support::chromium::chromium;
use support::packages::{of_npm, skip};
use support::{TestStack, real_now, text};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PACKAGES: [&str; 2] = ["laravel-echo@2.5.0", "pusher-js@8.6.0"];

/// How long a browser may take for one step.
const PATIENCE: Duration = Duration::from_mins(1);

/// The frontend: the contract's snippet, with the local server in place of a cluster, and what it is
/// told sent back to the test.
fn page(stack: &TestStack) -> String {
    let info = stack.info();
    let options = json!({
        "broadcaster": "pusher",
        "key": info.pusher.key,
        "cluster": "local",
        "wsHost": info.pusher.host,
        "wsPort": info.pusher.port,
        "forceTLS": false,
        "enabledTransports": ["ws"],
        "authEndpoint": format!("{}/broadcasting/auth", info.api_url),
        "auth": { "headers": { "Authorization": format!("Bearer {}", info.admin_token) } },
    });
    format!(
        "<!doctype html><script src=/pusher.js></script><script src=/echo.js></script><script>
        const tell = (what) => fetch('/told', {{
          method: 'POST',
          headers: {{ 'Content-Type': 'application/json' }},
          body: JSON.stringify(what),
        }});
        const echo = new Echo.default({options});
        echo.private('bitflow-admin')
          .subscribed(() => tell('subscribed'))
          .error((error) => tell({{ error }}))
          .listen('.alert.created', (e) => tell(e));
        </script>"
    )
}

/// Serves the page and its scripts; what the page tells.
fn frontend(page: String, packages: &Path, listener: TcpListener) -> UnboundedReceiver<Value> {
    let (told, tells) = unbounded_channel();
    let script = |path: &str| {
        let script = std::fs::read_to_string(packages.join(path)).expect("a script");
        let kind = [(header::CONTENT_TYPE, "text/javascript")];
        get(async move || (kind, script).into_response())
    };
    let routes = Router::new()
        .route("/", get(async move || Html(page)))
        .route("/pusher.js", script("pusher-js/dist/web/pusher.min.js"))
        .route("/echo.js", script("laravel-echo/dist/echo.iife.js"))
        .route(
            "/told",
            post(
                async |State(told): State<UnboundedSender<Value>>, Json(what): Json<Value>| {
                    told.send(what).expect("the test listens");
                },
            ),
        )
        .with_state(told);
    tokio::spawn(async { axum::serve(listener, routes).await });
    tells
}

#[tokio::test]
async fn the_owners_browser_hears_of_an_alert() {
    let needs = || Ok((chromium()?, of_npm("browser", &PACKAGES)?));
    let needs: Result<_, String> = tokio::task::spawn_blocking(needs).await.expect("it ends");
    let (chromium, packages) = match needs {
        Ok(needs) => needs,
        Err(why) => return skip(&why),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let origin = format!("http://{address}");
    let stack = TestStack::start_with_parameter("AllowedOrigin", &origin).await;
    let mut tells = frontend(page(&stack), &packages, listener);
    let profile = tempfile::tempdir().expect("a folder");
    let mut browser = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--remote-debugging-port=0")
        .arg(&origin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a browser");
    let seen = tokio::time::timeout(PATIENCE, async {
        assert_eq!(tells.recv().await, Some("subscribed".into()));
        let created = stack.onboard("Uppsala").await;
        let alert = json!({
            "type": "storage_exceeded",
            "university_id": created["id"],
            "message": "Storage quota exceeded",
        });
        let body = alert.to_string();
        let secret = text(&created["portal_secret"]).into();
        let signature = sign(&secret, body.as_bytes(), real_now());
        let raised = stack.post_signed("/api/admin/alerts", &body, Some(&signature));
        let (_, raised) = raised.await;
        (raised, tells.recv().await.expect("an event"))
    });
    let seen = seen.await;
    browser.kill().expect("killed");
    browser.wait().expect("gone");
    let (raised, heard) = seen.expect("the browser hears of it in time");
    for key in ["id", "type", "university_id", "severity", "message"] {
        assert_eq!(heard[key], raised[key], "{key} in {heard}");
    }
    stack.finish().await;
}
