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

/// Grants that no call of the function itself shows.
fn is_for_others(function: &str, action: &str, resource: &str) -> bool {
    match action {
        // Lambda writes to on-failure destinations, in the function's name.
        "sqs:SendMessage" => resource.ends_with("-undelivered"),
        // Whoever has a URL that the function signed.
        "s3:GetObject" if function == "universities-api" => resource.ends_with("/logos/*"),
        "s3:PutObject" if function == "universities-api" => resource.ends_with("/uploads/*"),
        // Without it a file that there is not is "access denied", not "no such key".
        "s3:ListBucket" => matches!(function, "universities-api" | "billing-api"),
        // The books' way to whose an invoice is that Stripe tells of under no name of ours: what an
        // admin or the monthly run is about is always known.
        "dynamodb:Query" if matches!(function, "billing-api" | "invoice-listener") => {
            resource.ends_with("/index/by_stripe_customer")
        }
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
    if !arn.contains(":s3:::") {
        return tail == what;
    }
    // The bucket itself, or what is below it.
    let below = tail.split_once('/').map_or("", |(_, below)| below);
    let mut parts = below.split('*');
    let start = parts.next().unwrap_or_default();
    let Some(rest) = what.strip_prefix(start) else {
        return false;
    };
    let found = parts.try_fold(rest, |rest, part| {
        rest.find(part).map(|at| &rest[at + part.len()..])
    });
    found.is_some_and(|rest| rest.is_empty() || below.ends_with('*'))
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
