//! What comes out of buckets, queues and streams: pictures, and what was put there by us, or by
//! somebody else.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Cursor;

use bitflow_events::envelope::Envelope;
use bitflow_portal::billing::due::InvoiceDue;
use bitflow_portal::billing::month_report::ReportDue;
use bitflow_portal::dead_letters::death::{self, DeadMessage};
use bitflow_portal::listen::{self, ListenError};
use bitflow_portal::maintenance::deliver::TryDue;
use bitflow_portal::picture::{Picture, PictureError};
use bitflow_portal::usage::due::MeasurementDue;
use bitflow_runtime::{sqs, stream};
use bitflow_store::outbox::OutboxEvent;
use bytes::Bytes;
use futures_util::FutureExt;
use image::ImageReader;
use serde::Serialize;
use serde_json::Value;

/// A picture that is taken is the file as it came, begins like what it is said to be, is of a size that
/// is taken, and is taken again; a file that is refused for what it is not does not begin like one.
pub fn picture(data: &[u8]) {
    let read = || Picture::read(Bytes::copy_from_slice(data));
    let begins = |with: &[u8]| data.starts_with(with);
    let picture = match read() {
        Ok(picture) => picture,
        Err(error) => {
            assert_eq!(error == PictureError::Empty, data.is_empty());
            let unknown = error == PictureError::Unknown;
            assert!(!unknown || !begins(b"\x89PNG\r\n\x1A\n"), "a PNG");
            return;
        }
    };
    assert_eq!(picture.bytes, data);
    let right = match picture.format.media_type() {
        "image/png" => begins(b"\x89PNG\r\n\x1A\n"),
        "image/jpeg" => begins(b"\xFF\xD8\xFF"),
        "image/webp" => begins(b"RIFF") && data.get(8..12) == Some(b"WEBP"),
        _ => false,
    };
    assert!(right, "{}", picture.format.media_type());
    let reader = ImageReader::new(Cursor::new(data)).with_guessed_format();
    let size = reader.expect("no file").into_dimensions();
    let (width, height) = size.expect("it was read whole");
    let sides = 1..=4096;
    assert!(sides.contains(&width) && sides.contains(&height));
    assert_eq!(read().expect("taken before").format, picture.format);
}

/// An invocation by SQS: every message that is no event fails, and no other.
pub fn queue_event(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let handle = async |(): &(), message: sqs::Message<'_>| -> Result<(), ListenError> {
        listen::decode(message.body).map(drop)
    };
    let answer = sqs::answer(&(), event.clone(), &handle);
    let Ok(answer) = answer.now_or_never().expect("nothing to wait for") else {
        return;
    };
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let Some(records) = objects(&event, "body") else {
        return;
    };
    let body = |record: &Value| record["body"].as_str().unwrap_or_default().to_owned();
    let failed = records
        .iter()
        .filter(|it| Envelope::from_json(&body(it)).is_err());
    let failed: Vec<_> = failed.map(|it| &it["messageId"]).collect();
    let told = answer["batchItemFailures"].as_array().expect("a list");
    let told: Vec<_> = told.iter().map(|it| &it["itemIdentifier"]).collect();
    assert_eq!(told, failed);
}

/// What a queue carries other than events: what is read is written as what is read as the same.
pub fn queue_message(data: &[u8]) {
    fn same<T: Serialize + PartialEq + Debug>(
        read: impl Fn(&str) -> Result<T, ListenError>,
        text: &str,
    ) {
        let Ok(due) = read(text) else { return };
        let written = serde_json::to_string(&due).expect("it is JSON");
        let again = read(&written).expect("a message of our own");
        assert_eq!(again, due, "{written}");
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    same(InvoiceDue::from_json, text);
    same(MeasurementDue::from_json, text);
    same(ReportDue::from_json, text);
    same(TryDue::from_json, text);
}

/// An invocation by the outbox's stream: it goes on from the first record that is no row, or from
/// nowhere.
pub fn stream_event(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let handle = async |(): &(), records: &[stream::Record]| -> Vec<Result<(), _>> {
        let read = records.iter();
        read.map(|it| OutboxEvent::from_stream_image(it.new_image()).map(drop))
            .collect()
    };
    let answer = stream::answer(&(), event.clone(), &handle);
    let Ok(answer) = answer.now_or_never().expect("nothing to wait for") else {
        return;
    };
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let Some(records) = objects(&event, "dynamodb") else {
        return;
    };
    let is_row = |it: &&Value| OutboxEvent::from_stream_image(&it["dynamodb"]["NewImage"]).is_ok();
    let first = records.iter().find(|it| !is_row(it));
    let first = first.map_or(&Value::Null, |it| &it["dynamodb"]["SequenceNumber"]);
    let told = &answer["batchItemFailures"][0]["itemIdentifier"];
    assert_eq!(told, first);
}

/// The records of an event that is written with names, as AWS's are. serde takes lists as well, in
/// place of each object: such an event is read, but says nothing that could be compared.
fn objects<'a>(event: &'a Value, part: &str) -> Option<&'a Vec<Value>> {
    let records = event.get("Records")?.as_array()?;
    let named = |it: &Value| it.is_object() && !it[part].is_array();
    records.iter().all(named).then_some(records)
}

/// An event that is read is written as what is read as the same event.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(event) = Envelope::from_json(text) {
        let written = event.to_json();
        let again = Envelope::from_json(&written).expect("an event of our own");
        assert_eq!(again, event, "{written}");
    }
}

/// A dead letter: the first line is where it died, one of the ways there are; the rest is its body.
/// What is told of it is an alert, of one line, with nobody's address.
pub fn dead_letter(data: &[u8]) {
    let (way, body) = crate::first_line(data);
    let (way, body) = (String::from_utf8_lossy(way), String::from_utf8_lossy(body));
    let arn = format!("arn:aws:sqs:us-east-1:123456789012:{way}");
    let mut attributes = BTreeMap::new();
    if way.starts_with("rule") || way.starts_with("schedule") {
        attributes.insert("ERROR_CODE", &*way);
        attributes.insert("TARGET_ARN", &*arn);
        attributes.insert("ERROR_MESSAGE", &*body);
    }
    if way.starts_with("schedule") {
        attributes.insert("SCHEDULE_ARN", &*arn);
    }
    let message = DeadMessage {
        queue: "dead-letters",
        id: "00000000-0000-4000-8000-000000000001",
        body: &body,
        receive_count: u32::try_from(way.len()).unwrap_or(u32::MAX),
        source_arn: (!way.is_empty()).then_some(&*arn),
        attributes: &attributes,
    };
    let death = death::of(&message);
    assert_eq!(death, death::of(&message));
    let alert = death.alert();
    let message = alert.message.as_str();
    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    assert!(!message.contains('@') || way.contains('@'), "{message}");
}
