//! Where fuzzing begins: made from the samples below `events/`, signed with the fuzzer's own secret,
//! and from pictures that are drawn here.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bitflow_stripe::signature;
use image::{DynamicImage, ImageFormat};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::signed::{SIGNED_AT, secret};

/// The seeds of a target of [`TARGETS`](crate::TARGETS).
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let samples = Samples(events());
    let seeds = match target {
        "stripe_webhook" => samples.signed(&["stripe-webhook"], signature::sign),
        "portal_signature" => {
            let portals = ["university-sync", "alerts-api"];
            samples.signed(&portals, bitflow_university::sign)
        }
        "gateway_event" => with_lists(samples.whole("/requestContext")),
        "headers" => samples.headers(),
        "query" => samples.queries(),
        "cursor" => cursors(),
        "broadcasting" => {
            let more = [
                r#"{"socket_id":"1.2","channel_name":"private-bitflow-admin"}"#,
                r#"{"socket_id":"1.2:x","channel_name":"private-bitflow-admin"}"#,
                "socket_id=1.2%3Aprivate&channel_name=presence-bitflow-admin",
                "socket_id=1.2&channel_name=private-bitflow-admin-2",
                // Found by fuzzing.
                "$serde_json::private::RawValue",
                r#"{"$serde_json::private::RawValue":"{}"}"#,
            ];
            let bodies = samples.texts(&["broadcasting-auth"], "/body");
            bytes(bodies.into_iter().chain(more.map(str::to_owned)))
        }
        "picture" => {
            let sent = samples.texts(&["universities-api"], "/body");
            let sent = sent.into_iter().filter_map(|it| STANDARD.decode(it).ok());
            let cut = drawn().map(|file| {
                // After the first byte of a JPEG's last marker.
                let end = file.iter().rposition(|byte| *byte == 0xFF);
                file[..end.map_or(file.len() / 2, |at| at + 1)].to_vec()
            });
            sent.chain(drawn()).chain(cut).collect()
        }
        "queue_event" => with_lists(samples.whole("/Records/0/body")),
        "stream_event" => {
            let whole = samples.whole("/Records/0/dynamodb").into_iter();
            with_lists(whole.chain(samples.half_spoilt()).collect())
        }
        "envelope" | "queue_message" => bytes(samples.messages()),
        "dead_letter" => {
            let ways = ["", "email", "rule", "schedule"].into_iter().cycle();
            let lost = samples.whole("/time").into_iter();
            let lost = lost.filter_map(|it| String::from_utf8(it).ok());
            let bodies = samples.messages().into_iter().chain(lost).zip(ways);
            bytes(bodies.map(|(body, way)| format!("{way}\n{body}")))
        }
        _ => Vec::new(),
    };
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// Every sample, each with the function that it is for.
struct Samples(Vec<(String, Value)>);

impl Samples {
    /// Those that have something there, as they are.
    fn whole(&self, at: &str) -> Vec<Vec<u8>> {
        let with = self.0.iter().filter(|(_, it)| it.pointer(at).is_some());
        bytes(with.map(|(_, it)| it.to_string()))
    }

    /// Streams with a row, and then two records that are none.
    fn half_spoilt(&self) -> Vec<Vec<u8>> {
        let rows = self.0.iter().filter_map(|(_, it)| it.pointer("/Records/0"));
        let rows = rows.filter(|row| row["dynamodb"]["NewImage"].is_object());
        bytes(rows.map(|row| {
            let none = |number: &str| {
                let mut none = row.clone();
                none["dynamodb"]["SequenceNumber"] = number.into();
                none["dynamodb"]["NewImage"] = Value::Null;
                none
            };
            json!({ "Records": [row, none("8"), none("9")] }).to_string()
        }))
    }

    /// The texts that the samples of these functions have there.
    fn texts(&self, functions: &[&str], at: &str) -> Vec<String> {
        let of = self.0.iter();
        let of = of.filter(|(it, _)| functions.contains(&it.as_str()));
        let texts = of.filter_map(|(_, it)| it.pointer(at)?.as_str().map(str::to_owned));
        texts.collect()
    }

    /// Their bodies, each after a header that is right.
    fn signed(
        &self,
        functions: &[&str],
        sign: fn(&SecretString, &[u8], Timestamp) -> String,
    ) -> Vec<Vec<u8>> {
        let bodies = self.texts(functions, "/body").into_iter();
        bytes(bodies.map(|body| {
            let header = sign(&secret(), body.as_bytes(), SIGNED_AT);
            format!("{header}\n{body}")
        }))
    }

    fn headers(&self) -> Vec<Vec<u8>> {
        let header = |it: &Value, name: &str| it["headers"][name].as_str().map(str::to_owned);
        let of = |(_, it): &(String, Value)| {
            let (tags, key) = (header(it, "if-match"), header(it, "idempotency-key"));
            let either = tags.is_some() || key.is_some();
            either.then(|| format!("{}\n{}", tags.unwrap_or_default(), key.unwrap_or_default()))
        };
        let more = ["*\nkey", "W/\"1\", \"2\" ,\"x\"\n1"].map(str::to_owned);
        bytes(self.0.iter().filter_map(of).chain(more))
    }

    fn queries(&self) -> Vec<Vec<u8>> {
        let query = |(_, it): &(String, Value)| it["rawQueryString"].as_str().map(str::to_owned);
        let more = ["limit=100&cursor=eyJ9&status=7", "limit=%31%30"].map(str::to_owned);
        bytes(self.0.iter().filter_map(query).chain(more))
    }

    /// What listeners get.
    fn messages(&self) -> Vec<String> {
        let records = |it: &Value| it["Records"].as_array().cloned().unwrap_or_default();
        let records = self.0.iter().flat_map(|(_, it)| records(it));
        let bodies = records.filter_map(|it| it["body"].as_str().map(str::to_owned));
        bodies.collect()
    }
}

fn bytes(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    texts.into_iter().map(String::into_bytes).collect()
}

/// With what fuzzing found: lists in place of objects.
fn with_lists(seeds: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let lists = [
        &b"[[]]"[..],
        br#"[[["1","x"]]]"#,
        br#"{"Records":[[["1"]]]}"#,
    ];
    seeds.into_iter().chain(lists.map(<[u8]>::to_vec)).collect()
}

fn cursors() -> Vec<Vec<u8>> {
    let of = [
        r#"{"name_key":"uppsala","university_id":"01900000-0000-7000-8000-000000000001"}"#,
        r#"{"university_id":"å","name_key":"\u0000\""}"#,
        r#"{"name_key":"x"}"#,
        r#"{"name_key":"x","status":"deleted","university_id":"y"}"#,
    ];
    bytes(of.map(|json| URL_SAFE_NO_PAD.encode(json)))
}

/// Every sample with the function that it is for, in order.
fn events() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let mut files = Vec::new();
    for function in std::fs::read_dir(folder).expect("events/ is there") {
        let function = function.expect("events/ can be read");
        for file in std::fs::read_dir(function.path()).expect("a folder of each function") {
            let name = function.file_name().to_string_lossy().into_owned();
            files.push((name, file.expect("a sample").path()));
        }
    }
    files.sort();
    let read = |path| std::fs::read(path).expect("a sample can be read");
    let event = |bytes: Vec<u8>| serde_json::from_slice(&bytes).expect("a sample is JSON");
    let events = files.into_iter();
    events
        .map(|(function, path)| (function, event(read(path))))
        .collect()
}

/// A small picture of each kind.
fn drawn() -> impl Iterator<Item = Vec<u8>> {
    let kinds = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    kinds.into_iter().map(|kind| {
        let mut file = Cursor::new(Vec::new());
        let picture = DynamicImage::new_rgb8(8, 8);
        picture.write_to(&mut file, kind).expect("it can be drawn");
        file.into_inner()
    })
}
