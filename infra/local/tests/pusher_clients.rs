//! The libraries that Pusher gives to servers, for Node and for Python, work against the local Pusher
//! server.
//!
//! Needs Node with npm, and Python, and their registries; where one cannot be had its test says so
//! and passes.

#[path = "support/packages.rs"]
mod packages;
#[path = "support/socket.rs"]
mod socket;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use bitflow_local::console::witness::Witness;
use bitflow_local::functions::workspace;
use bitflow_local::simulators::pusher::PusherSim;
use bitflow_realtime::auth::App;
use packages::{of_npm, of_python, program, skip};
use serde::Deserialize;
use serde_json::{Value, json};
use socket::Client;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long one library may take for all of its calls.
const PATIENCE: Duration = Duration::from_mins(1);

/// A private channel with every character that a name may have.
const PRIVATE: &str = "private-Bitflow_1=@,.;";
const PRESENCE: &str = "presence-owners";
const PUBLIC: &str = "news";

/// A server's refusal, as a library hands it on.
#[derive(Debug, Deserialize)]
struct Refused {
    status: u16,
    body: String,
}

/// A library in a process of its own, which answers a line with a line.
struct Library {
    calls: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Ends with the library.
    _process: Child,
}

impl Library {
    /// Runs a driver with what its library is made from.
    fn start(mut driver: Command, app: &App, secret: &str, address: SocketAddr) -> Self {
        let options = json!({
            "app_id": app.id,
            "key": app.key,
            "secret": secret,
            "host": address.ip(),
            "port": address.port(),
        });
        let mut process = driver
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the driver runs");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            calls: process.stdin.take().expect("piped"),
            answers: answers.lines(),
            _process: process,
        }
    }

    async fn call(&mut self, call: &str, mut with: Value) -> Result<Value, Refused> {
        with["call"] = call.into();
        let line = format!("{with}\n");
        self.calls.write_all(line.as_bytes()).await.expect("asked");
        let answer = self.answers.next_line().await.expect("read");
        let answer = answer.unwrap_or_else(|| panic!("the driver fails at {with}"));
        serde_json::from_str(&answer).expect("an answer")
    }

    async fn get(&mut self, call: &str, with: Value) -> Value {
        let answer = self.call(call, with.clone()).await;
        answer.unwrap_or_else(|refused| panic!("{call} {with}: {refused:?}"))
    }

    /// The status of a call that must be refused with a reason.
    async fn refusal(&mut self, call: &str, with: Value) -> u16 {
        match self.call(call, with.clone()).await {
            Ok(answer) => panic!("{call} {with} is not refused: {answer}"),
            Err(refused) => {
                assert!(!refused.body.is_empty(), "{call} {with}: no reason");
                refused.status
            }
        }
    }

    async fn trigger(&mut self, name: &str, channels: &[&str], data: &Value) {
        let event = json!({ "name": name, "channels": channels, "data": data });
        assert_eq!(self.get("trigger", event).await, json!({}));
    }

    /// Subscribes with what the library makes of it.
    async fn authorize(&mut self, client: &mut Client, channel: &str, user: Option<Value>) {
        let asked = json!({ "socket_id": client.socket_id, "channel": channel, "user": user });
        let answer = self.get("authorize", asked).await;
        subscribed(client, channel, &answer).await;
    }
}

async fn subscribed(client: &mut Client, channel: &str, answer: &Value) {
    let taken = client.subscribe_as(channel, answer).await;
    assert_eq!(taken["event"], "pusher_internal:subscription_succeeded");
}

/// The next event's name, channel and data.
async fn heard(client: &mut Client) -> (String, String, Value) {
    let event = client.next().await;
    let text = |name: &str| event[name].as_str().expect("a text").to_owned();
    let data = serde_json::from_str(&text("data")).expect("JSON");
    (text("event"), text("channel"), data)
}

fn event(name: &str, channel: &str, data: &Value) -> (String, String, Value) {
    (name.to_owned(), channel.to_owned(), data.clone())
}

/// The app of Pusher's worked examples.
fn documented() -> App {
    App {
        id: "3".to_owned(),
        key: "278d425bdf160c739803".to_owned(),
        secret: "7ad3773142a6692b25b8".to_owned().into(),
    }
}

/// What a library answers for a member of a presence channel: JSON in its own manner, and its signature.
struct Member {
    channel_data: &'static str,
    signature: &'static str,
}

/// Holds one library against the server.
async fn check(driver: impl Fn() -> Command, member: Member) {
    let app = documented();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let sim = PusherSim::start(listener, app.clone(), Witness::default());
    let secret = "7ad3773142a6692b25b8";
    let mut library = Library::start(driver(), &app, secret, address);
    let mut stranger = Library::start(driver(), &app, "of another app", address);
    let checked = tokio::time::timeout(PATIENCE, async {
        signs_as_documented(&mut library, &member).await;
        let mut owner = Client::connect(&address.to_string(), &app.key).await;
        let mut guest = Client::connect(&address.to_string(), &app.key).await;
        library.authorize(&mut owner, PRIVATE, None).await;
        library.authorize(&mut guest, PRIVATE, None).await;
        subscribed(&mut owner, PUBLIC, &json!({})).await;
        triggers(&mut library, &mut owner, &mut guest).await;
        triggers_a_batch(&mut library, &mut owner, &mut guest).await;
        knows_the_channels(&mut library, &mut owner, &mut guest).await;
        keeps_limits(&mut library).await;
        is_refused(&mut stranger, &mut owner).await;
        // Nothing came of what was refused: the next event that is heard is the next that may be.
        library.trigger("last", &[PUBLIC], &json!(1)).await;
        assert_eq!(heard(&mut owner).await, event("last", PUBLIC, &json!(1)));
    });
    checked.await.expect("checked in time");
    sim.shutdown();
}

async fn signs_as_documented(library: &mut Library, member: &Member) {
    let key = documented().key;
    let private = json!({ "socket_id": "1234.1234", "channel": "private-foobar" });
    let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    let answer = library.get("authorize", private).await;
    assert_eq!(answer, json!({ "auth": format!("{key}:{signature}") }));

    let user = json!({ "user_id": 10, "user_info": { "name": "Mr. Channels" } });
    let presence = json!({ "socket_id": "1234.1234", "channel": "presence-foobar", "user": user });
    assert_eq!(
        library.get("authorize", presence).await,
        json!({
            "auth": format!("{key}:{}", member.signature),
            "channel_data": member.channel_data,
        })
    );
}

async fn triggers(library: &mut Library, owner: &mut Client, guest: &mut Client) {
    let data = json!({ "city": "Malmö", "owed": "1 €", "quoted": "\"" });
    library
        .trigger("alert.created", &[PRIVATE, PUBLIC], &data)
        .await;
    let heard_by_owner = [heard(owner).await, heard(owner).await];
    let on_both = [PRIVATE, PUBLIC].map(|channel| event("alert.created", channel, &data));
    assert_eq!(heard_by_owner, on_both);
    assert_eq!(heard(guest).await, on_both[0]);

    let but_owner = json!({
        "name": "moved",
        "channels": [PRIVATE],
        "data": 1,
        "socket_id": owner.socket_id,
    });
    assert_eq!(library.get("trigger", but_owner).await, json!({}));
    library.trigger("moved", &[PRIVATE], &json!(2)).await;
    assert_eq!(heard(owner).await, event("moved", PRIVATE, &json!(2)));
    assert_eq!(heard(guest).await, event("moved", PRIVATE, &json!(1)));
    assert_eq!(heard(guest).await, event("moved", PRIVATE, &json!(2)));
}

async fn triggers_a_batch(library: &mut Library, owner: &mut Client, guest: &mut Client) {
    let batch = json!({ "batch": [
        { "name": "first", "channel": PRIVATE, "data": "{}", "socket_id": guest.socket_id },
        { "name": "second", "channel": PUBLIC, "data": { "a": 1 } },
        { "name": "third", "channel": PRIVATE, "data": [] },
    ] });
    assert_eq!(library.get("batch", batch).await, json!({}));
    let third = event("third", PRIVATE, &json!([]));
    assert_eq!(heard(owner).await, event("first", PRIVATE, &json!({})));
    assert_eq!(
        heard(owner).await,
        event("second", PUBLIC, &json!({ "a": 1 }))
    );
    assert_eq!(heard(owner).await, third);
    assert_eq!(heard(guest).await, third);

    let counted = json!({ "batch": [
        { "name": "counted", "channel": PRIVATE, "data": 1, "info": "subscription_count" },
        { "name": "counted", "channel": PUBLIC, "data": 2 },
    ] });
    assert_eq!(
        library.get("batch", counted).await,
        json!({ "batch": [{ "subscription_count": 2 }, {}] })
    );
    assert_eq!(heard(owner).await, event("counted", PRIVATE, &json!(1)));
    assert_eq!(heard(owner).await, event("counted", PUBLIC, &json!(2)));
    assert_eq!(heard(guest).await, event("counted", PRIVATE, &json!(1)));
}

async fn knows_the_channels(library: &mut Library, owner: &mut Client, guest: &mut Client) {
    let user = |id: Value| Some(json!({ "user_id": id, "user_info": { "name": "Mr. Channels" } }));
    library.authorize(owner, PRESENCE, user(json!(10))).await;
    library
        .authorize(guest, PRESENCE, user(json!("guest")))
        .await;
    let (name, channel, member) = heard(owner).await;
    assert_eq!(
        (name.as_str(), channel.as_str()),
        ("pusher_internal:member_added", PRESENCE)
    );
    assert_eq!(member["user_id"], "guest");

    assert_eq!(
        library.get("channels", json!({})).await,
        json!({ "channels": { PRIVATE: {}, PUBLIC: {}, PRESENCE: {} } })
    );
    let counted = json!({ "prefix": "presence-", "info": ["user_count"] });
    assert_eq!(
        library.get("channels", counted).await,
        json!({ "channels": { PRESENCE: { "user_count": 2 } } })
    );
    let counted = json!({ "info": ["user_count"] });
    assert_eq!(library.refusal("channels", counted).await, 400);

    let counted = json!({ "channel": PRIVATE, "info": ["subscription_count"] });
    assert_eq!(
        library.get("channel", counted).await,
        json!({ "occupied": true, "subscription_count": 2 })
    );
    let counted = json!({ "channel": PRESENCE, "info": ["user_count", "subscription_count"] });
    assert_eq!(
        library.get("channel", counted).await,
        json!({ "occupied": true, "user_count": 2, "subscription_count": 2 })
    );
    let empty = library.get("channel", json!({ "channel": "empty" })).await;
    assert_eq!(empty, json!({ "occupied": false }));
    let counted = json!({ "channel": PUBLIC, "info": ["user_count"] });
    assert_eq!(library.refusal("channel", counted).await, 400);

    assert_eq!(
        library.get("users", json!({ "channel": PRESENCE })).await,
        json!({ "users": [{ "id": "10" }, { "id": "guest" }] })
    );
    let users = json!({ "channel": PRIVATE });
    assert_eq!(library.refusal("users", users).await, 400);
}

async fn keeps_limits(library: &mut Library) {
    let large = json!({ "name": "large", "channels": [PUBLIC], "data": "x".repeat(10_241) });
    assert_eq!(library.refusal("trigger", large).await, 413);
    let event = json!({ "name": "many", "channel": PUBLIC, "data": 1 });
    let many = json!({ "batch": vec![event; 11] });
    assert_eq!(library.refusal("batch", many).await, 400);
}

/// One who has another secret.
async fn is_refused(stranger: &mut Library, owner: &mut Client) {
    let event = json!({ "name": "forged", "channels": [PUBLIC], "data": 1 });
    assert_eq!(stranger.refusal("trigger", event).await, 401);
    let batch = json!({ "batch": [{ "name": "forged", "channel": PUBLIC, "data": 1 }] });
    assert_eq!(stranger.refusal("batch", batch).await, 401);
    assert_eq!(stranger.refusal("channels", json!({})).await, 401);
    let channel = json!({ "channel": PRESENCE });
    assert_eq!(stranger.refusal("channel", channel.clone()).await, 401);
    assert_eq!(stranger.refusal("users", channel).await, 401);

    let asked = json!({ "socket_id": owner.socket_id, "channel": "private-other" });
    let forged = stranger.get("authorize", asked).await;
    let auth = forged["auth"].as_str().expect("a text");
    let refused = owner.subscribe("private-other", auth).await;
    assert_eq!(refused["event"], "pusher:error");
    assert_eq!(refused["data"]["code"], 4009);
}

#[tokio::test]
async fn the_library_for_node() {
    let Some(node) = program(&["node"]) else {
        return skip("Node is missing");
    };
    let installed = tokio::task::spawn_blocking(|| of_npm("pusher-node", &["pusher@5.3.4"]));
    let modules = match installed.await.expect("it ends") {
        Ok(modules) => modules,
        Err(why) => return skip(&why),
    };
    let driver = || {
        let mut command = Command::new(&node);
        command.env("NODE_PATH", &modules);
        command.arg(workspace().join("infra/local/tests/pusher_clients/library.cjs"));
        command
    };
    let member = Member {
        channel_data: r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#,
        signature: "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
    };
    check(driver, member).await;
}

#[tokio::test]
async fn the_library_for_python() {
    let installed = tokio::task::spawn_blocking(|| of_python("pusher-python", &["pusher==3.3.4"]));
    let python = match installed.await.expect("it ends") {
        Ok(python) => python,
        Err(why) => return skip(&why),
    };
    let driver = || {
        let mut command = Command::new(&python);
        command.arg(workspace().join("infra/local/tests/pusher_clients/library.py"));
        command
    };
    // It writes JSON with spaces, and so signs another text than the documented one.
    let member = Member {
        channel_data: r#"{"user_id": 10, "user_info": {"name": "Mr. Channels"}}"#,
        signature: "5b8808f3035fec2e4157c6b430a06d5b0de16d174e1a779e0e2b64d9983bde27",
    };
    check(driver, member).await;
}
