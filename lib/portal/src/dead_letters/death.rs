//! What died, why, and how it is handled again: read from one message, in every shape in which AWS
//! gives one up.
//!
//! Nothing of a body is told but types, ids and times: who reads alerts need not be who may read
//! mails, names or secrets.

use std::collections::BTreeMap;

use bitflow_domain::alert::{AlertMessage, NewAlert, OurAlert};
use bitflow_domain::id::UniversityId;
use bitflow_events::envelope::{CorrelationId, EventId};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Longest text of AWS's that is passed on, in characters.
const SAID: usize = 200;

/// A message as it lies in a dead-letter queue.
#[derive(Debug, Clone, Copy)]
pub struct DeadMessage<'a> {
    /// The queue's name.
    pub queue: &'a str,
    /// The id that SQS gave it; a move to the dead-letter queue does not change it.
    pub id: &'a str,
    /// What was sent.
    pub body: &'a str,
    /// `ApproximateReceiveCount`: in all queues it was in, this look included.
    pub receive_count: u32,
    /// `DeadLetterQueueSourceArn`: the queue it was given up in, where there was one.
    pub source_arn: Option<&'a str>,
    /// Its message attributes, those that are text.
    pub attributes: &'a BTreeMap<&'a str, &'a str>,
}

/// What a dead letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// What died, why, and how it is handled again: a sentence or two each.
    pub told: [String; 3],
    /// Whom it is about.
    pub university_id: Option<UniversityId>,
    /// Under which the log tells more.
    pub correlation_id: Option<CorrelationId>,
    /// It would tell of an alert that is itself about a dead letter. That alert is in the list; to
    /// raise another whenever its news dies would go on for as long as its listener fails.
    pub is_of_our_alert: bool,
}

impl Death {
    /// The alert that it is.
    pub fn alert(&self) -> NewAlert {
        NewAlert {
            university_id: self.university_id,
            kind: OurAlert::DeadLetter.into(),
            // Those that are handled again alike are one alert: the first says how.
            subject: Some(self.told[2].clone()),
            message: AlertMessage::saying(&self.told.join(" ")),
        }
    }
}

/// Reads what a dead-lettered message says of its death.
pub fn of(message: &DeadMessage<'_>) -> Death {
    let body: Value = serde_json::from_str(message.body).unwrap_or_default();
    // A rule's target gets the detail; a rule's dead-letter queue gets all of the event.
    let event = Event::in_body(if body["detail"].is_object() {
        &body["detail"]
    } else {
        &body
    });
    let told = if message.attributes.contains_key("ERROR_CODE") {
        undelivered(message, &event, &body)
    } else if body["requestContext"]["condition"].is_string() {
        given_up_by_lambda(message.queue, &body)
    } else {
        given_up_in_queue(message, &event)
    };
    Death {
        told,
        university_id: event.university_id,
        is_of_our_alert: event.kind.as_deref() == Some("AlertCreated")
            && event.alert_type.as_deref() == Some(OurAlert::DeadLetter.as_str()),
        correlation_id: event.correlation_id.map(CorrelationId::new),
    }
}

/// What can be told of an event or of a piece of work, whether or not this build knows it.
struct Event {
    kind: Option<String>,
    id: Option<EventId>,
    university_id: Option<UniversityId>,
    correlation_id: Option<String>,
    alert_type: Option<String>,
}

impl Event {
    fn in_body(body: &Value) -> Self {
        let letters = |kind: &String| kind.chars().all(char::is_alphanumeric);
        Self {
            kind: name(&body["type"]).filter(letters),
            id: EventId::deserialize(&body["event_id"]).ok(),
            university_id: UniversityId::deserialize(&body["university_id"]).ok(),
            correlation_id: name(&body["correlation_id"]),
            alert_type: name(&body["data"]["type"]),
        }
    }

    fn what(&self) -> String {
        match (&self.kind, self.id) {
            (Some(kind), Some(id)) => format!("{kind} event {id}"),
            _ => "A message".to_owned(),
        }
    }
}

/// A listener failed it as often as its queue allows.
fn given_up_in_queue(message: &DeadMessage<'_>, event: &Event) -> [String; 3] {
    let DeadMessage {
        queue,
        id,
        receive_count,
        source_arn,
        ..
    } = message;
    let what = event.what();
    let log = match &event.correlation_id {
        Some(id) => format!("correlation_id {id}"),
        None => format!("message_id {id}"),
    };
    let Some(source) = source_arn else {
        return [
            format!("{what} was sent to {queue} (message {id})."),
            "It was in no other queue before.".to_owned(),
            "Whoever sent it has to send it again; then delete it.".to_owned(),
        ];
    };
    let (of, source) = source.rsplit_once(':').unwrap_or(("", source));
    // This look is one receive; others who looked count as well.
    let receives = receive_count.saturating_sub(1).max(1);
    [
        format!("{what} lies in {queue} (message {id})."),
        format!(
            "The listener of {source} gave it up after about {receives} receives; its log tells the cause under {log}."
        ),
        format!(
            "When the cause is removed: aws sqs start-message-move-task --source-arn {of}:{queue}"
        ),
    ]
}

/// A rule or a schedule could not deliver to its target.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>,
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html>
fn undelivered(message: &DeadMessage<'_>, event: &Event, body: &Value) -> [String; 3] {
    let attribute = |name: &str| message.attributes.get(name).copied().unwrap_or("unknown");
    let queue = message.queue;
    let target = last_of(attribute("TARGET_ARN"));
    let why = format!(
        "EventBridge gave up after {} retries, {}: {}.",
        said(attribute("RETRY_ATTEMPTS")),
        said(attribute("ERROR_CODE")),
        said(attribute("ERROR_MESSAGE")).trim_end_matches('.'),
    );
    if message.attributes.contains_key("SCHEDULE_ARN") {
        return [
            format!("{target} was not invoked by its schedule (message in {queue})."),
            why,
            run_again(target, body),
        ];
    }
    let what = event.what();
    [
        format!("{what} was not delivered to {target} (message in {queue})."),
        why,
        "When the cause is removed: aws events put-events with the message's source, detail-type and detail (consumers know it by its id); then delete it.".to_owned(),
    ]
}

/// Lambda gave up records of a stream, or an asynchronous invocation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
fn given_up_by_lambda(queue: &str, body: &Value) -> [String; 3] {
    let context = &body["requestContext"];
    let unknown = || "unknown".to_owned();
    let arn = name(&context["functionArn"]).unwrap_or_else(unknown);
    let function = last_of(arn.trim_end_matches(":$LATEST"));
    let condition = name(&context["condition"]).unwrap_or_else(unknown);
    let request = name(&context["requestId"]).unwrap_or_else(unknown);
    let invokes = context["approximateInvokeCount"]
        .as_u64()
        .unwrap_or_default();
    let error = body["responsePayload"]["errorMessage"].as_str();
    let error = error.map(|error| format!(", {}", said(error).trim_end_matches('.')));
    let why = format!(
        "Lambda gave up after {invokes} invocations ({condition}{}); its log tells the cause under request id {request}.",
        error.unwrap_or_default(),
    );
    let batch = &body["DDBStreamBatchInfo"];
    if batch.is_object() {
        let records = match batch["batchSize"].as_u64() {
            Some(1) => "a record".to_owned(),
            Some(records) => format!("{records} records"),
            None => "records".to_owned(),
        };
        return [
            format!("{function} did not handle {records} of its stream (message in {queue})."),
            why,
            "What waits in the outbox, sweep-outbox-job relays within five minutes of the cause being removed; then delete the message.".to_owned(),
        ];
    }
    let payload = &body["requestPayload"];
    let of = time(payload).map_or_else(String::new, |at| format!(" of {at}"));
    [
        format!("The run{of} of {function} failed (message in {queue})."),
        why,
        run_again(function, payload),
    ]
}

fn run_again(function: &str, payload: &Value) -> String {
    let at = time(payload).map_or_else(|| "…".to_owned(), |at| at.to_string());
    format!(
        "When the cause is removed: aws lambda invoke --function-name {function} --cli-binary-format raw-in-base64-out --payload '{{\"time\":\"{at}\"}}' /dev/stdout; then delete the message."
    )
}

fn time(payload: &Value) -> Option<Timestamp> {
    payload["time"].as_str()?.parse().ok()
}

/// The name at the end of an ARN.
fn last_of(arn: &str) -> &str {
    arn.rsplit([':', '/']).next().unwrap_or(arn)
}

/// A name or an id, if it is one: whatever else stands there is not told.
fn name(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let of_a_name = |it: char| it.is_ascii_alphanumeric() || "-_.:/+=$".contains(it);
    let right = (1..=170).contains(&text.len()) && text.chars().all(of_a_name);
    right.then(|| text.to_owned())
}

/// What AWS says, cut; without what looks like an address or a secret.
fn said(text: &str) -> String {
    const SECRETS: [&str; 6] = ["sk_", "rk_", "psk_", "whsec_", "SG.", "Bearer"];
    let words = text.split_whitespace().map(|word| {
        let is_secret = SECRETS.iter().any(|it| word.contains(it));
        if is_secret || word.contains('@') {
            "…"
        } else {
            word
        }
    });
    let said = words.collect::<Vec<_>>().join(" ");
    said.chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "019a0000-0000-7000-8000-000000000001";
    const SOURCE: &str = "arn:aws:sqs:eu-west-1:123456789012:bitflow-prod-email";

    fn event(kind: &str, data: Value) -> Value {
        json!({
            "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "type": kind,
            "version": 1,
            "occurred_at": "2025-11-13T09:00:00Z",
            "aggregate_id": "x",
            "university_id": ID,
            "aggregate_version": 1,
            "actor": { "kind": "admin", "id": "auth0|7" },
            "correlation_id": "Ksm2ghpLoAMEPQw=",
            "data": data,
        })
    }

    fn read(body: &str, source_arn: Option<&str>, attributes: &[(&str, &str)]) -> Death {
        of(&DeadMessage {
            queue: "bitflow-prod-email-dead-letters",
            id: "5fea7756-0ea4-451a-a703-a558b933e274",
            body,
            receive_count: 6,
            source_arn,
            attributes: &attributes.iter().copied().collect(),
        })
    }

    fn check(
        body: impl std::fmt::Display,
        source_arn: Option<&str>,
        attributes: &[(&str, &str)],
        expect: &str,
    ) -> Death {
        let death = read(&body.to_string(), source_arn, attributes);
        assert_eq!(death.told.join("\n"), expect);
        death
    }

    #[test]
    fn an_event_that_its_listener_gave_up() {
        let data = json!({ "primary_email": "registrar@uu.example", "name": "Uppsala" });
        let death = check(
            event("UniversityCreated", data),
            Some(SOURCE),
            &[],
            "UniversityCreated event 01ARZ3NDEKTSV4RRFFQ69G5FAV lies in bitflow-prod-email-dead-letters (message 5fea7756-0ea4-451a-a703-a558b933e274).\n\
             The listener of bitflow-prod-email gave it up after about 5 receives; its log tells the cause under correlation_id Ksm2ghpLoAMEPQw=.\n\
             When the cause is removed: aws sqs start-message-move-task --source-arn arn:aws:sqs:eu-west-1:123456789012:bitflow-prod-email-dead-letters",
        );
        assert_eq!(death.university_id, ID.parse().ok());
        assert_eq!(death.correlation_id.unwrap().as_str(), "Ksm2ghpLoAMEPQw=");
        assert!(!death.is_of_our_alert);
    }

    #[test]
    fn a_message_that_is_no_event_is_told_without_its_body() {
        let told = "A message lies in bitflow-prod-email-dead-letters (message 5fea7756-0ea4-451a-a703-a558b933e274).\n\
             The listener of bitflow-prod-email gave it up after about 5 receives; its log tells the cause under message_id 5fea7756-0ea4-451a-a703-a558b933e274.\n\
             When the cause is removed: aws sqs start-message-move-task --source-arn arn:aws:sqs:eu-west-1:123456789012:bitflow-prod-email-dead-letters";
        check("registrar@uu.example", Some(SOURCE), &[], told);
        check("", Some(SOURCE), &[], told);
        for (kind, id) in [
            ("registrar@uu.example", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("psk_secret", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("UniversityCreated", "psk_secret"),
        ] {
            let strange = json!({ "type": kind, "event_id": id });
            check(strange, Some(SOURCE), &[], told);
        }
        let work = json!({ "university_id": ID, "month": "2026-01" });
        let death = check(work, Some(SOURCE), &[], told);
        assert_eq!(death.university_id, ID.parse().ok());
        check(
            "{}",
            None,
            &[],
            "A message was sent to bitflow-prod-email-dead-letters (message 5fea7756-0ea4-451a-a703-a558b933e274).\n\
             It was in no other queue before.\n\
             Whoever sent it has to send it again; then delete it.",
        );
    }

    #[test]
    fn an_event_that_a_rule_could_not_deliver() {
        let attributes = [
            ("ERROR_CODE", "NO_PERMISSIONS"),
            (
                "ERROR_MESSAGE",
                "Access denied for a@b.example, sk_live_1, on the queue.",
            ),
            ("EXHAUSTED_RETRY_CONDITION", "MaximumRetryAttempts"),
            ("RETRY_ATTEMPTS", "185"),
            ("RULE_ARN", "arn:aws:events:eu-west-1:1:rule/bus/EmailRule"),
            ("TARGET_ARN", "arn:aws:sqs:eu-west-1:1:bitflow-prod-email"),
        ];
        let body =
            json!({ "source": "bitflow.admin", "detail": event("PaymentFailed", json!({})) });
        let death = check(
            body,
            None,
            &attributes,
            "PaymentFailed event 01ARZ3NDEKTSV4RRFFQ69G5FAV was not delivered to bitflow-prod-email (message in bitflow-prod-email-dead-letters).\n\
             EventBridge gave up after 185 retries, NO_PERMISSIONS: Access denied for … … on the queue.\n\
             When the cause is removed: aws events put-events with the message's source, detail-type and detail (consumers know it by its id); then delete it.",
        );
        assert_eq!(death.university_id, ID.parse().ok());
    }

    #[test]
    fn a_run_that_a_schedule_could_not_begin() {
        let attributes = [
            ("ERROR_CODE", "ThrottlingException"),
            ("ERROR_MESSAGE", "Rate exceeded"),
            ("RETRY_ATTEMPTS", "5"),
            (
                "SCHEDULE_ARN",
                "arn:aws:scheduler:eu-west-1:1:schedule/default/s",
            ),
            (
                "TARGET_ARN",
                "arn:aws:lambda:eu-west-1:1:function:bitflow-prod-a-job",
            ),
        ];
        check(
            r#"{"time":"2026-01-01T00:00:00Z"}"#,
            None,
            &attributes,
            "bitflow-prod-a-job was not invoked by its schedule (message in bitflow-prod-email-dead-letters).\n\
             EventBridge gave up after 5 retries, ThrottlingException: Rate exceeded.\n\
             When the cause is removed: aws lambda invoke --function-name bitflow-prod-a-job --cli-binary-format raw-in-base64-out --payload '{\"time\":\"2026-01-01T00:00:00Z\"}' /dev/stdout; then delete the message.",
        );
    }

    fn lambda_record(function: &str, condition: &str, invokes: u32) -> Value {
        let arn = format!("arn:aws:lambda:eu-west-1:123456789012:function:{function}");
        json!({
            "version": "1.0",
            "timestamp": "2019-11-14T18:16:05.568Z",
            "requestContext": {
                "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
                "functionArn": arn,
                "condition": condition,
                "approximateInvokeCount": invokes,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        })
    }

    /// The shapes of AWS's documentation.
    #[test]
    fn what_lambda_gave_up() {
        let mut record = lambda_record("bitflow-prod-a-job:$LATEST", "RetriesExhausted", 3);
        record["requestPayload"] = json!({ "time": "2026-01-01T00:00:00Z" });
        record["responsePayload"] =
            json!({ "errorType": "Error", "errorMessage": "the job failed: busy" });
        check(
            &record,
            None,
            &[],
            "The run of 2026-01-01T00:00:00Z of bitflow-prod-a-job failed (message in bitflow-prod-email-dead-letters).\n\
             Lambda gave up after 3 invocations (RetriesExhausted, the job failed: busy); its log tells the cause under request id e4b46cbf-b738-xmpl-8880-a18cdf61200e.\n\
             When the cause is removed: aws lambda invoke --function-name bitflow-prod-a-job --cli-binary-format raw-in-base64-out --payload '{\"time\":\"2026-01-01T00:00:00Z\"}' /dev/stdout; then delete the message.",
        );
        let mut record = lambda_record("bitflow-prod-outbox-relay", "RetryAttemptsExhausted", 6);
        record["DDBStreamBatchInfo"] = json!({ "shardId": "s", "batchSize": 1 });
        check(
            &record,
            None,
            &[],
            "bitflow-prod-outbox-relay did not handle a record of its stream (message in bitflow-prod-email-dead-letters).\n\
             Lambda gave up after 6 invocations (RetryAttemptsExhausted); its log tells the cause under request id e4b46cbf-b738-xmpl-8880-a18cdf61200e.\n\
             What waits in the outbox, sweep-outbox-job relays within five minutes of the cause being removed; then delete the message.",
        );
    }

    #[test]
    fn the_news_of_our_own_alert_is_known() {
        for (kind, of, ours) in [
            ("AlertCreated", "dead_letter", true),
            ("AlertCreated", "storage_quota", false),
            ("AlertAcknowledged", "dead_letter", false),
        ] {
            let body = event(kind, json!({ "type": of }));
            let death = read(&body.to_string(), Some(SOURCE), &[]);
            assert_eq!(death.is_of_our_alert, ours, "{kind} {of}");
        }
    }

    #[test]
    fn however_long_it_is_all_of_it_fits_into_an_alert() {
        let long = "x".repeat(5000);
        let mut record = lambda_record(&"f".repeat(100), &"c".repeat(170), u32::MAX);
        record["requestPayload"] = json!({ "time": "2026-01-01T00:00:00.123456789Z" });
        record["responsePayload"] = json!({ "errorMessage": long });
        let attributes = [
            "ERROR_CODE",
            "ERROR_MESSAGE",
            "RETRY_ATTEMPTS",
            "TARGET_ARN",
        ]
        .map(|name| (name, &*long));
        let event = event(&"T".repeat(170), json!({}));
        for death in [
            read(&record.to_string(), None, &[]),
            read(&event.to_string(), Some(SOURCE), &[]),
            read("{}", None, &attributes[..3]),
        ] {
            let message = death.alert().message;
            assert_eq!(message.as_str(), death.told.join(" "), "nothing is cut");
        }
    }
}
