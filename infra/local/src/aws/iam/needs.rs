//! What a call needs to be granted.
//!
//! An operation that is not listed here needs the action of its own name: where AWS has no such
//! action no template names it, so it is denied.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::aws::Identity;
use crate::aws::sqs::Sqs;

/// One action on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `service:Action`.
    pub action: String,
    /// An ARN; `*` where the action has none.
    pub resource: String,
    /// `s3:prefix`, of what is listed.
    pub prefix: Option<String>,
}

impl Need {
    /// On no condition.
    pub fn new(action: impl Into<String>, resource: String) -> Self {
        Self {
            action: action.into(),
            resource,
            prefix: None,
        }
    }
}

/// Of a call of DynamoDB.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>
pub fn dynamodb(identity: &Identity, operation: &str, body: &[u8]) -> Vec<Need> {
    let action = format!("dynamodb:{operation}");
    let Ok(call) = serde_json::from_slice::<DynamoDbCall>(body) else {
        return vec![Need::new(action, "*".to_owned())];
    };
    // A table may be named by its ARN.
    let arn = |table: &str| {
        if table.starts_with("arn:") {
            table.to_owned()
        } else {
            identity.arn("dynamodb", &format!("table/{table}"))
        }
    };
    let in_transaction = |items: Vec<BTreeMap<String, InTransaction>>| {
        let parts = items.into_iter().flatten();
        let needs = parts.map(|(kind, part)| {
            let action = match kind.as_str() {
                "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
                kind => format!("dynamodb:{kind}Item"),
            };
            Need::new(action, arn(&part.table_name))
        });
        needs.collect()
    };
    match operation {
        "TransactWriteItems" | "TransactGetItems" => in_transaction(call.transact_items),
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = call.request_items.keys();
            tables.map(|table| Need::new(&action, arn(table))).collect()
        }
        _ => {
            let resource = match (call.table_name, call.index_name) {
                (Some(table), Some(index)) => format!("{}/index/{index}", arn(&table)),
                (Some(table), None) => arn(&table),
                (None, _) => call.stream_arn.unwrap_or_else(|| "*".to_owned()),
            };
            vec![Need::new(action, resource)]
        }
    }
}

/// What a call of DynamoDB says of tables.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DynamoDbCall {
    table_name: Option<String>,
    index_name: Option<String>,
    stream_arn: Option<String>,
    transact_items: Vec<BTreeMap<String, InTransaction>>,
    request_items: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InTransaction {
    table_name: String,
}

/// Of a call of SQS. A batch needs what one message needs.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html>
pub fn sqs(identity: &Identity, operation: &str, body: &Value) -> Vec<Need> {
    let operation = operation.strip_suffix("Batch").unwrap_or(operation);
    let text = |name: &str| body[name].as_str();
    let queue = text("QueueUrl").map(Sqs::name_in).or(text("QueueName"));
    let resource = match (queue, text("SourceArn")) {
        (Some(queue), _) => identity.arn("sqs", queue),
        (None, Some(source)) => source.to_owned(),
        (None, None) => "*".to_owned(),
    };
    vec![Need::new(format!("sqs:{operation}"), resource)]
}

/// Of a call of EventBridge.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html>
pub fn events(identity: &Identity, operation: &str, body: &Value) -> Vec<Need> {
    let action = format!("events:{operation}");
    let entries = body["Entries"]
        .as_array()
        .filter(|_| operation == "PutEvents");
    let Some(entries) = entries else {
        return vec![Need::new(action, "*".to_owned())];
    };
    let mut needs: Vec<Need> = Vec::new();
    for entry in entries {
        let bus = entry["EventBusName"].as_str().unwrap_or("default");
        let bus = bus.rsplit('/').next().unwrap_or(bus);
        let need = Need::new(&action, identity.arn("events", &format!("event-bus/{bus}")));
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

/// Of a call of S3 about a bucket, or an object in it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
pub fn s3(operation: &str, bucket: &str, key: Option<&str>, prefix: Option<String>) -> Need {
    let action = match operation {
        "HeadObject" => "GetObject",
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "ListBucket",
        "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => "PutObject",
        other => other,
    };
    let path = match key {
        Some(key) => format!("{bucket}/{key}"),
        None => bucket.to_owned(),
    };
    Need {
        prefix,
        ..Need::new(format!("s3:{action}"), format!("arn:aws:s3:::{path}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            region: "r".to_owned(),
            account: "1".to_owned(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
            aws_url: String::new(),
        }
    }

    fn check(needs: &[Need], expect: &[(&str, &str)]) {
        let needs: Vec<_> = needs
            .iter()
            .map(|need| (need.action.as_str(), need.resource.as_str()))
            .collect();
        assert_eq!(needs, expect);
    }

    #[test]
    fn tables_indexes_and_each_item_of_a_transaction() {
        let needs = |operation: &str, body: Value| {
            dynamodb(&identity(), operation, body.to_string().as_bytes())
        };
        let (a, b) = (
            "arn:aws:dynamodb:r:1:table/a",
            "arn:aws:dynamodb:r:1:table/b",
        );
        check(
            &needs("GetItem", json!({ "TableName": "a", "Key": {} })),
            &[("dynamodb:GetItem", a)],
        );
        check(
            &needs("GetItem", json!({ "TableName": a })),
            &[("dynamodb:GetItem", a)],
        );
        check(
            &needs("Query", json!({ "TableName": "a" })),
            &[("dynamodb:Query", a)],
        );
        check(
            &needs("Query", json!({ "TableName": "a", "IndexName": "by_x" })),
            &[("dynamodb:Query", "arn:aws:dynamodb:r:1:table/a/index/by_x")],
        );
        let part = |kind: &str, table: &str| json!({ kind: { "TableName": table } });
        let items = ["Put", "Update", "Delete", "ConditionCheck"].map(|kind| part(kind, "a"));
        check(
            &needs("TransactWriteItems", json!({ "TransactItems": items })),
            &[
                ("dynamodb:PutItem", a),
                ("dynamodb:UpdateItem", a),
                ("dynamodb:DeleteItem", a),
                ("dynamodb:ConditionCheckItem", a),
            ],
        );
        let items = [part("Get", "a"), part("Get", "b")];
        check(
            &needs("TransactGetItems", json!({ "TransactItems": items })),
            &[("dynamodb:GetItem", a), ("dynamodb:GetItem", b)],
        );
        let items = json!({ "a": { "Keys": [] }, "b": { "Keys": [] } });
        check(
            &needs("BatchGetItem", json!({ "RequestItems": items })),
            &[("dynamodb:BatchGetItem", a), ("dynamodb:BatchGetItem", b)],
        );
        check(
            &needs("ListTables", json!({})),
            &[("dynamodb:ListTables", "*")],
        );
        // No table that it could be granted on, whatever it says.
        check(
            &needs(
                "ExecuteStatement",
                json!({ "Statement": "SELECT * FROM a" }),
            ),
            &[("dynamodb:ExecuteStatement", "*")],
        );
        check(
            &dynamodb(&identity(), "GetItem", b"{"),
            &[("dynamodb:GetItem", "*")],
        );
    }

    #[test]
    fn a_batch_of_messages_needs_what_one_needs() {
        let queue = "arn:aws:sqs:r:1:q";
        for (operation, body, action, resource) in [
            (
                "SendMessage",
                json!({ "QueueUrl": "http://aws/1/q" }),
                "sqs:SendMessage",
                queue,
            ),
            (
                "SendMessageBatch",
                json!({ "QueueUrl": "http://aws/1/q" }),
                "sqs:SendMessage",
                queue,
            ),
            (
                "ChangeMessageVisibilityBatch",
                json!({ "QueueUrl": "http://aws/1/q" }),
                "sqs:ChangeMessageVisibility",
                queue,
            ),
            (
                "GetQueueUrl",
                json!({ "QueueName": "q" }),
                "sqs:GetQueueUrl",
                queue,
            ),
            (
                "StartMessageMoveTask",
                json!({ "SourceArn": queue }),
                "sqs:StartMessageMoveTask",
                queue,
            ),
            ("ListQueues", json!({}), "sqs:ListQueues", "*"),
        ] {
            check(&sqs(&identity(), operation, &body), &[(action, resource)]);
        }
    }

    #[test]
    fn events_need_each_bus_once() {
        let (a, other) = (
            "arn:aws:events:r:1:event-bus/a",
            "arn:aws:events:r:1:event-bus/default",
        );
        let body = json!({ "Entries": [{ "EventBusName": "a" }, { "EventBusName": a }, {}] });
        check(
            &events(&identity(), "PutEvents", &body),
            &[("events:PutEvents", a), ("events:PutEvents", other)],
        );
        check(
            &events(&identity(), "ListRules", &json!({})),
            &[("events:ListRules", "*")],
        );
    }

    #[test]
    fn objects_and_buckets() {
        for (operation, key, action, resource) in [
            (
                "GetObject",
                Some("k/l"),
                "s3:GetObject",
                "arn:aws:s3:::b/k/l",
            ),
            ("HeadObject", Some("k"), "s3:GetObject", "arn:aws:s3:::b/k"),
            ("ListObjectsV2", None, "s3:ListBucket", "arn:aws:s3:::b"),
            ("UploadPart", Some("k"), "s3:PutObject", "arn:aws:s3:::b/k"),
            // Nobody can be granted what needs two things.
            ("CopyObject", Some("k"), "s3:CopyObject", "arn:aws:s3:::b/k"),
        ] {
            let need = s3(operation, "b", key, None);
            check(&[need], &[(action, resource)]);
        }
    }
}
