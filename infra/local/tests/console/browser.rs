//! A headless Chromium, told what to do by the DevTools protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long a page may take to become as it should.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Browser {
    process: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    last: u64,
    /// What the page complained of.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start(program: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--remote-debugging-port=0", "about:blank"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a browser");
        let said = BufReader::new(process.stderr.take().expect("piped"));
        let url = tokio::task::spawn_blocking(|| {
            let mut lines = said.lines().map_while(Result::ok);
            let url = lines.find_map(|it| Some(it.split_once("listening on ")?.1.to_owned()));
            // Who is not listened to any more must not be kept from talking.
            std::thread::spawn(move || lines.for_each(drop));
            url
        });
        let url = url.await.expect("read").expect("it listens");
        let (socket, _) = connect_async(url).await.expect("connected");
        let mut browser = Self {
            process,
            socket,
            session: String::new(),
            last: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let blank = json!({ "url": "about:blank" });
        let target = browser.tell("Target.createTarget", blank).await["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = browser.tell("Target.attachToTarget", attach).await;
        attached["sessionId"]
            .as_str()
            .expect("an id")
            .clone_into(&mut browser.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.tell(domain, json!({})).await;
        }
        browser
    }

    /// Does one thing; what came of it.
    pub(crate) async fn tell(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let text = Message::Text(message.to_string().into());
        self.socket.send(text).await.expect("sent");
        let answered = tokio::time::timeout(PATIENCE, async {
            loop {
                let message = self.socket.next().await.expect("open").expect("a message");
                let Message::Text(text) = message else {
                    continue;
                };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["id"] == self.last {
                    assert_eq!(message.get("error"), None, "{method}");
                    return message["result"].clone();
                }
                self.hear(&message);
            }
        });
        let answered = answered.await;
        answered.unwrap_or_else(|_| panic!("{method} takes too long"))
    }

    fn hear(&mut self, message: &Value) {
        let told = &message["params"];
        let complains = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => told["type"] != "log",
            Some("Log.entryAdded") => told["entry"]["level"] != "verbose",
            _ => false,
        };
        if complains {
            self.complaints.push(told.to_string());
        }
    }

    /// What an expression of the page comes to.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let ask = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let answer = self.tell("Runtime.evaluate", ask).await;
        assert_eq!(answer.get("exceptionDetails"), None, "{expression}");
        answer["result"]["value"].clone()
    }

    /// Returns once an expression of the page is true; it is looked at for every frame.
    pub(crate) async fn until(&mut self, expression: &str) {
        let wait = format!(
            "new Promise((done) => {{
                const look = () => (({expression}) ? done(true) : setTimeout(look, 16));
                look();
            }})"
        );
        let ask = json!({ "expression": wait, "awaitPromise": true });
        let said = self.tell("Runtime.evaluate", ask).await;
        assert_eq!(said.get("exceptionDetails"), None, "{expression}");
    }

    pub(crate) async fn open(&mut self, url: &str) {
        self.tell("Page.navigate", json!({ "url": url })).await;
        self.until("document.readyState === 'complete'").await;
    }

    /// A window of this width, and a system that is light or dark.
    pub(crate) async fn look(&mut self, width: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tell("Emulation.setEmulatedMedia", json!({ "features": scheme }))
            .await;
    }

    /// Presses a key, as on a keyboard.
    pub(crate) async fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            "/" => (191, "/"),
            other => panic!("{other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.tell("Input.dispatchKeyEvent", event).await;
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}
