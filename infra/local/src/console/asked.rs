//! What a call of AWS asks, in a few words, and the events that it commits. Read in one pass, and no
//! more than is needed: the call waits for it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::causes::Told;

/// A call of AWS by a JSON protocol.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The operation, and after a space the tables, queue or bus.
    pub(crate) what: String,
    /// The events that it puts into the outbox.
    pub(super) commits: Vec<Told>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body<'a> {
    #[serde(borrow)]
    table_name: Option<Cow<'a, str>>,
    index_name: Option<Cow<'a, str>>,
    queue_url: Option<Cow<'a, str>>,
    transact_items: Vec<BTreeMap<Cow<'a, str>, Act<'a>>>,
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Act<'a> {
    #[serde(borrow, default)]
    table_name: Cow<'a, str>,
    item: Option<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text<'a> {
    #[serde(borrow)]
    s: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    event_bus_name: Option<Cow<'a, str>>,
}

impl Asked {
    /// Of a call's `X-Amz-Target` and body; names lose this prefix.
    pub(crate) fn of(target: &str, body: &[u8], prefix: &str) -> Self {
        let (service, operation) = target.split_once('.').unwrap_or((target, ""));
        let service = match service {
            "AmazonSQS" => "SQS",
            "AWSEvents" => "EventBridge",
            other => other.split('_').next().unwrap_or(other),
        };
        let body: Body<'_> = serde_json::from_slice(body).unwrap_or_default();
        let bare = |name: &str| {
            let name = name.rsplit('/').next().unwrap_or(name);
            name.strip_prefix(prefix).unwrap_or(name).to_owned()
        };
        let mut about = BTreeSet::new();
        for (kind, act) in body.transact_items.iter().flatten() {
            about.insert(format!("{kind} {}", bare(&act.table_name)));
        }
        let buses = body
            .entries
            .iter()
            .filter_map(|it| it.event_bus_name.as_deref());
        about.extend(buses.chain(body.queue_url.as_deref()).map(bare));
        if let Some(table) = &body.table_name {
            let index = body.index_name.map(|index| format!("/{index}"));
            about.insert(format!("{}{}", bare(table), index.unwrap_or_default()));
        }
        let about: Vec<_> = about.into_iter().collect();
        let puts = body.transact_items.iter().filter_map(|it| it.get("Put"));
        let rows = puts.filter(|put| put.table_name.ends_with("-outbox"));
        let details = rows.filter_map(|put| put.item.as_ref()?.detail.as_ref()?.s.as_deref());
        Self {
            what: format!("{service}.{operation} {}", about.join(", ")),
            commits: details.map(Told::of_text).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(target: &str, body: &Value, expect: &str, commits: usize) {
        let asked = Asked::of(target, body.to_string().as_bytes(), "x-");
        assert_eq!((&*asked.what, asked.commits.len()), (expect, commits));
    }

    #[test]
    fn a_call_is_told_in_a_few_words() {
        let query = json!({ "TableName": "x-invoices", "IndexName": "by_created", "Limit": 3 });
        check(
            "DynamoDB_20120810.Query",
            &query,
            "DynamoDB.Query invoices/by_created",
            0,
        );
        let send =
            json!({ "QueueUrl": "http://127.0.0.1:1/000/x-email", "Entries": [{ "Id": "1" }] });
        check(
            "AmazonSQS.SendMessageBatch",
            &send,
            "SQS.SendMessageBatch email",
            0,
        );
        let put = json!({ "Entries": [{ "EventBusName": "x-bus", "Detail": "{}" }] });
        check("AWSEvents.PutEvents", &put, "EventBridge.PutEvents bus", 0);
        check("AmazonSQS.ListQueues", &json!([1]), "SQS.ListQueues ", 0);
    }

    #[test]
    fn a_transaction_commits_what_it_puts_into_the_outbox() {
        let envelope = json!({ "event_id": "01J", "type": "UniversityCreated" });
        let row = json!({ "detail": { "S": envelope.to_string() }, "n": { "N": "1" } });
        let body = json!({ "TransactItems": [
            { "Put": { "TableName": "x-universities", "Item": row } },
            { "Put": { "TableName": "x-outbox", "Item": row } },
            { "Update": { "TableName": "x-outbox", "Key": {} } },
        ] });
        let expect = "DynamoDB.TransactWriteItems Put outbox, Put universities, Update outbox";
        check("DynamoDB_20120810.TransactWriteItems", &body, expect, 1);
        let asked = Asked::of("", body.to_string().as_bytes(), "x-");
        assert_eq!(asked.commits, [Told::of_text(&envelope.to_string())]);
    }
}
