//! What is documented, in one place: where something may happen twice, and which grants of the
//! template are for other hands than the function's own.

use bitflow_local::lambda::gate::{Call, Fault};
use bitflow_local::template::model::Function;

/// What may be there twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Doubles {
    /// A mail: SendGrid has no idempotency key.
    pub(crate) mails: bool,
    /// A call of a portal, under the same `Idempotency-Key`.
    pub(crate) posts: bool,
}

impl Doubles {
    /// The documented points: from the moment that the other side may have taken it until that is
    /// noted. See `Mailroom::deliver` and `Courier::deliver`.
    pub(crate) fn at(call: &Call, fault: Fault) -> Self {
        let what = call.what.as_str();
        let took_effect = matches!(fault, Fault::DiesAfter | Fault::Lost);
        match call.function.as_str() {
            "email-listener" => Self {
                mails: what == "POST sendgrid /v3/mail/send" && took_effect
                    || what == "DynamoDB.UpdateItem inbox" && fault != Fault::DiesAfter,
                posts: false,
            },
            "portal-delivery-listener" => Self {
                mails: false,
                posts: what == "POST portal /*/api/notifications" && took_effect
                    || what.starts_with("DynamoDB.TransactWriteItems"),
            },
            _ => Self::default(),
        }
    }
}

/// Grants that are not for the function's own calls: it signs URLs that others use, and Lambda
/// itself writes to on-failure destinations; and what it needs to be told "there is none".
fn is_for_others(function: &str, action: &str, resource: &str) -> bool {
    let _ = function;
    match action {
        "sqs:SendMessage" => resource.ends_with("-undelivered"),
        _ => false,
    }
}

/// The grants of a function that none of these calls needs.
pub(crate) fn unused<'a>(function: &Function, calls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let calls: Vec<_> = calls.collect();
    let needed: Vec<_> = calls.iter().flat_map(|call| needs(call)).collect();
    let mut unused = Vec::new();
    for statement in &function.policies {
        for action in &statement.actions {
            for resource in &statement.resources {
                let grants = |(it, what): &(String, String)| it == action && is_of(resource, what);
                let is_used = needed.iter().any(grants);
                if !is_used && !is_for_others(&function.binary, action, resource) {
                    unused.push(format!("{action} {resource}"));
                }
            }
        }
    }
    unused
}

/// Whether an ARN is that of what a call names.
fn is_of(arn: &str, what: &str) -> bool {
    let tail = arn.rsplit(':').next().unwrap_or(arn);
    let tail = tail
        .trim_start_matches("table/")
        .trim_start_matches("event-bus/")
        .trim_start_matches("bitflow-local-")
        .replace("/index/", "/");
    // Of S3: the bucket, and what is below it.
    let below = tail.split_once('/').map_or("", |(_, below)| below);
    tail == what || (arn.contains(":s3:::") && below == what)
}

/// The actions that a call needs, each with what it is about.
fn needs(call: &str) -> Vec<(String, String)> {
    let Some((operation, about)) = call.split_once(' ') else {
        return vec![(
            call.replace("S3.ListObjectsV2", "s3:ListBucket"),
            String::new(),
        )];
    };
    let about = about.split(", ");
    match operation {
        "DynamoDB.TransactWriteItems" => about
            .filter_map(|item| {
                let (kind, table) = item.split_once(' ')?;
                Some((format!("dynamodb:{kind}Item"), table.to_owned()))
            })
            .collect(),
        "SQS.SendMessageBatch" => about
            .map(|queue| ("sqs:SendMessage".to_owned(), queue.to_owned()))
            .collect(),
        "SQS.ChangeMessageVisibilityBatch" => about
            .map(|queue| ("sqs:ChangeMessageVisibility".to_owned(), queue.to_owned()))
            .collect(),
        other => {
            let Some((service, operation)) = other.split_once('.') else {
                return Vec::new();
            };
            let service = match service {
                "EventBridge" => "events".to_owned(),
                other => other.to_lowercase(),
            };
            let action = format!("{service}:{operation}");
            about.map(|it| (action.clone(), it.to_owned())).collect()
        }
    }
}
