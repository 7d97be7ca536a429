//! The AWS JSON protocol of SQS.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html>

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::queue::{Attribute, Message, NewMessage};
use super::{Depth, Sqs, SqsError};
use crate::aws::endpoint::ServiceError;

/// Serves one call.
pub async fn serve(sqs: &Sqs, operation: &str, body: &Value) -> Result<Value, ServiceError> {
    let url = body["QueueUrl"].as_str().unwrap_or_default();
    let queue = Sqs::name_in(url);
    for entry in body["Entries"]
        .as_array()
        .map_or(std::slice::from_ref(body), Vec::as_slice)
    {
        in_range(entry)?;
    }
    match operation {
        "CreateQueue" | "GetQueueUrl" => {
            let name = body["QueueName"].as_str().unwrap_or_default();
            // Queues are the template's; making one that exists is what an SDK may do to find it.
            sqs.depth(name)?;
            Ok(json!({ "QueueUrl": sqs.url(name) }))
        }
        "ListQueues" => {
            let prefix = body["QueueNamePrefix"].as_str().unwrap_or_default();
            let names = sqs
                .names()
                .into_iter()
                .filter(|name| name.starts_with(prefix));
            Ok(json!({ "QueueUrls": names.map(|name| sqs.url(&name)).collect::<Vec<_>>() }))
        }
        "GetQueueAttributes" => attributes(sqs, queue),
        "SendMessage" => {
            let sent = sqs.send(queue, read::<Send>(body)?.into())?;
            Ok(sent_answer(&sent))
        }
        "SendMessageBatch" => batch(body, |entry| {
            let sent = sqs.send(queue, read::<Send>(entry)?.into())?;
            Ok(sent_answer(&sent))
        }),
        "ReceiveMessage" => receive(sqs, queue, body).await,
        "DeleteMessage" => {
            sqs.delete(queue, body["ReceiptHandle"].as_str().unwrap_or_default())?;
            Ok(json!({}))
        }
        "DeleteMessageBatch" => batch(body, |entry| {
            sqs.delete(queue, entry["ReceiptHandle"].as_str().unwrap_or_default())?;
            Ok(json!({}))
        }),
        "ChangeMessageVisibility" => {
            change_visibility(sqs, queue, body)?;
            Ok(json!({}))
        }
        "ChangeMessageVisibilityBatch" => batch(body, |entry| {
            change_visibility(sqs, queue, entry)?;
            Ok(json!({}))
        }),
        "PurgeQueue" => {
            sqs.purge(queue)?;
            Ok(json!({}))
        }
        "StartMessageMoveTask" => {
            let source = body["SourceArn"].as_str().unwrap_or_default();
            let (to, rate) = (
                &body["DestinationArn"],
                &body["MaxNumberOfMessagesPerSecond"],
            );
            let handle = sqs.start_move(source, to.as_str(), rate.as_u64())?;
            Ok(json!({ "TaskHandle": handle }))
        }
        "ListMessageMoveTasks" => {
            let source = body["SourceArn"].as_str().unwrap_or_default();
            let most = body["MaxResults"].as_u64().unwrap_or(1);
            Ok(json!({ "Results": sqs.moves_of(source, most)? }))
        }
        "CancelMessageMoveTask" => {
            let handle = body["TaskHandle"].as_str().unwrap_or_default();
            let moved = sqs.cancel_move(handle)?;
            Ok(json!({ "ApproximateNumberOfMessagesMoved": moved }))
        }
        other => Err(ServiceError::unknown_operation("AmazonSQS", other)),
    }
}

async fn receive(sqs: &Sqs, queue: &str, body: &Value) -> Result<Value, ServiceError> {
    let seconds = |name: &str| body[name].as_u64().map(Duration::from_secs);
    let most = body["MaxNumberOfMessages"].as_u64().unwrap_or(1);
    if !(1..=10).contains(&most) {
        return Err(invalid("MaxNumberOfMessages must be from 1 to 10."));
    }
    let most = usize::try_from(most).unwrap_or(10);
    let wait = seconds("WaitTimeSeconds").unwrap_or_default();
    let received = sqs
        .receive(queue, most, seconds("VisibilityTimeout"), wait)
        .await?;
    if received.is_empty() {
        return Ok(json!({}));
    }
    for message in &received {
        sqs.let_go(queue, message.receipt_handle.as_deref().unwrap_or_default())?;
    }
    let wanted = |list: &str, name: &str| {
        let names = body[list]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        names.into_iter().any(|it| it == "All" || it == name)
    };
    let messages = received
        .iter()
        .map(|message| received_answer(message, &wanted));
    Ok(json!({ "Messages": messages.collect::<Vec<_>>() }))
}

impl From<SqsError> for ServiceError {
    fn from(error: SqsError) -> Self {
        let message = error.to_string();
        match error {
            SqsError::NoQueue(_) => Self::new("com.amazonaws.sqs#QueueDoesNotExist", message)
                .with_query_error("AWS.SimpleQueueService.NonExistentQueue"),
            SqsError::ReceiptHandle => {
                Self::new("com.amazonaws.sqs#ReceiptHandleIsInvalid", message)
                    .with_query_error("ReceiptHandleIsInvalid")
            }
            SqsError::NotFound(_) => {
                Self::new("com.amazonaws.sqs#ResourceNotFoundException", message)
                    .with_query_error("ResourceNotFoundException")
                    .not_found()
            }
            SqsError::Invalid(_) => invalid(&message),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    message_attributes: std::collections::BTreeMap<String, Attribute>,
    /// There is one such attribute: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageSystemAttributeValue.html>
    #[serde(default)]
    message_system_attributes: SystemAttributes,
    delay_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemAttributes {
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Option<Attribute>,
}

impl From<Send> for NewMessage {
    fn from(send: Send) -> Self {
        Self {
            body: send.message_body,
            attributes: send.message_attributes,
            delay: send.delay_seconds.map(Duration::from_secs),
            trace_header: send
                .message_system_attributes
                .trace_header
                .and_then(|attribute| attribute.string_value),
        }
    }
}

/// Times within SQS's limits, seconds.
fn in_range(entry: &Value) -> Result<(), ServiceError> {
    for (name, most) in [
        ("DelaySeconds", 900),
        ("VisibilityTimeout", 43_200),
        ("WaitTimeSeconds", 20),
    ] {
        if entry[name].as_u64().is_some_and(|seconds| seconds > most) {
            return Err(invalid(&format!("{name} must be from 0 to {most}.")));
        }
    }
    Ok(())
}

fn read<T: for<'de> Deserialize<'de>>(body: &Value) -> Result<T, ServiceError> {
    T::deserialize(body).map_err(|error| invalid(&error.to_string()))
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new("com.amazonaws.sqs#InvalidParameterValueException", message)
        .with_query_error("InvalidParameterValue")
}

fn change_visibility(sqs: &Sqs, queue: &str, body: &Value) -> Result<(), ServiceError> {
    let timeout = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or_default());
    let handle = body["ReceiptHandle"].as_str().unwrap_or_default();
    Ok(sqs.change_visibility(queue, handle, timeout)?)
}

/// Each entry on its own, under its id.
fn batch(
    body: &Value,
    act: impl Fn(&Value) -> Result<Value, ServiceError>,
) -> Result<Value, ServiceError> {
    let entries = body["Entries"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        let code = "com.amazonaws.sqs#EmptyBatchRequest";
        return Err(
            ServiceError::new(code, "There should be at least one entry in the request.")
                .with_query_error("AWS.SimpleQueueService.EmptyBatchRequest"),
        );
    }
    if entries.len() > 10 {
        let code = "com.amazonaws.sqs#TooManyEntriesInBatchRequest";
        return Err(
            ServiceError::new(code, "Maximum number of entries per request are 10.")
                .with_query_error("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        );
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in &entries {
        match act(entry) {
            Ok(mut done) => {
                done["Id"] = entry["Id"].clone();
                successful.push(done);
            }
            // A queue that is not there fails the whole call.
            Err(error) if error.code().ends_with("QueueDoesNotExist") => return Err(error),
            Err(error) => failed.push(json!({
                "Id": entry["Id"],
                "SenderFault": true,
                "Code": error.code(),
                "Message": error.message(),
            })),
        }
    }
    let mut answer = json!({ "Successful": successful });
    if !failed.is_empty() {
        answer["Failed"] = failed.into();
    }
    Ok(answer)
}

fn sent_answer(message: &Message) -> Value {
    let mut answer =
        json!({ "MessageId": message.message_id, "MD5OfMessageBody": message.body_md5() });
    if let Some(md5) = message.attributes_md5() {
        answer["MD5OfMessageAttributes"] = md5.into();
    }
    if let Some(md5) = message.system_attributes_md5() {
        answer["MD5OfMessageSystemAttributes"] = md5.into();
    }
    answer
}

fn received_answer(message: &Message, wanted: &impl Fn(&str, &str) -> bool) -> Value {
    let mut answer = json!({
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.body_md5(),
        "Body": message.body,
    });
    for (name, value) in system_attributes(message) {
        if wanted("AttributeNames", name) || wanted("MessageSystemAttributeNames", name) {
            answer["Attributes"][name] = value.into();
        }
    }
    for (name, attribute) in &message.attributes {
        if wanted("MessageAttributeNames", name) {
            answer["MessageAttributes"][name] = serde_json::to_value(attribute).unwrap_or_default();
        }
    }
    if answer.get("MessageAttributes").is_some()
        && let Some(md5) = message.attributes_md5()
    {
        answer["MD5OfMessageAttributes"] = md5.into();
    }
    answer
}

/// What SQS itself says of a message; a Lambda event has the same.
pub(crate) fn system_attributes(message: &Message) -> Vec<(&'static str, String)> {
    let millis = |at: jiff::Timestamp| at.as_millisecond().to_string();
    let first = message.first_received_at.unwrap_or(message.sent_at);
    let mut attributes = vec![
        ("ApproximateReceiveCount", message.receive_count.to_string()),
        ("ApproximateFirstReceiveTimestamp", millis(first)),
        ("SenderId", "AIDALOCALSTACK".to_owned()),
        ("SentTimestamp", millis(message.sent_at)),
    ];
    let source = message.dead_letter_source_arn.clone();
    attributes.extend(source.map(|arn| ("DeadLetterQueueSourceArn", arn)));
    let trace = message.trace_header.clone();
    attributes.extend(trace.map(|header| ("AWSTraceHeader", header)));
    attributes
}

fn attributes(sqs: &Sqs, name: &str) -> Result<Value, ServiceError> {
    let Depth {
        visible,
        in_flight,
        delayed,
    } = sqs.depth(name)?;
    let declared = sqs.with(name, |queue| queue.declared().clone())?;
    let mut attributes = json!({
        "QueueArn": sqs.arn(name),
        "ApproximateNumberOfMessages": visible.to_string(),
        "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
        "ApproximateNumberOfMessagesDelayed": delayed.to_string(),
        "VisibilityTimeout": declared.visibility_timeout.as_secs().to_string(),
        "DelaySeconds": declared.delay.as_secs().to_string(),
        "MessageRetentionPeriod": declared.retention.as_secs().to_string(),
    });
    if let Some(redrive) = declared.redrive {
        let policy = json!({
            "deadLetterTargetArn": sqs.arn(&redrive.dead_letter_queue),
            "maxReceiveCount": redrive.max_receive_count,
        });
        attributes["RedrivePolicy"] = policy.to_string().into();
    }
    Ok(json!({ "Attributes": attributes }))
}
