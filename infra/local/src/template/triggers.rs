//! `Events` of a function: what invokes it.

use super::model::{AsyncConfig, Route, Schedule, SqsSource, StreamSource, Trigger};
use super::properties::Properties;

/// Reads one event source.
pub(super) fn read(id: &str, event: &Properties<'_>, default_authorizer: bool) -> Option<Trigger> {
    let kind = event.text("Type");
    let Some(properties) = event.object("Properties") else {
        event.refuse(event.line(), "Properties is required");
        return None;
    };
    let trigger = match kind.as_str() {
        "HttpApi" => Trigger::Http(route(&properties, default_authorizer)),
        "SQS" => Trigger::Sqs(queue(&properties)),
        "DynamoDB" => Trigger::Stream(stream(&properties)),
        "ScheduleV2" => Trigger::Schedule(schedule(id, &properties)),
        other => {
            event.refuse(
                event.line(),
                &format!("events of type {other} are not known"),
            );
            return None;
        }
    };
    properties.finish();
    Some(trigger)
}

fn route(properties: &Properties<'_>, default_authorizer: bool) -> Route {
    properties.without_effect(&["ApiId"]);
    let (mut authorized, mut scopes) = (default_authorizer, Vec::new());
    if let Some(auth) = properties.object("Auth") {
        scopes = auth.texts("AuthorizationScopes");
        if let Some(authorizer) = auth.optional("Authorizer") {
            authorized = authorizer != "NONE";
        }
        auth.finish();
    }
    Route {
        method: properties.text("Method").to_uppercase(),
        path: properties.text("Path"),
        scopes: authorized.then_some(scopes),
    }
}

fn queue(properties: &Properties<'_>) -> SqsSource {
    let scaling = properties.object("ScalingConfig");
    let maximum_concurrency = scaling
        .as_ref()
        .and_then(|it| it.value("MaximumConcurrency"));
    scaling.into_iter().for_each(Properties::finish);
    SqsSource {
        queue: name_of(&properties.text("Queue")),
        batch_size: properties.value("BatchSize").unwrap_or(10),
        maximum_concurrency,
        report_batch_item_failures: reports(properties),
        filters: filters(properties),
    }
}

/// `EventInvokeConfig` of a function.
pub(super) fn asynchronous(function: &Properties<'_>) -> AsyncConfig {
    let config = function.object("EventInvokeConfig");
    let attempts = config
        .as_ref()
        .and_then(|it| it.value("MaximumRetryAttempts"));
    let on_failure_queue = config.as_ref().and_then(on_failure);
    config.into_iter().for_each(Properties::finish);
    AsyncConfig {
        // Lambda's default.
        maximum_retry_attempts: attempts.unwrap_or(2),
        on_failure_queue,
    }
}

/// The queue of a `DestinationConfig`.
fn on_failure(properties: &Properties<'_>) -> Option<String> {
    let config = properties.object("DestinationConfig")?;
    let failure = config.object("OnFailure");
    let queue = failure.as_ref().map(|failure| {
        failure.must_be("Type", "SQS");
        name_of(&failure.text("Destination"))
    });
    failure.into_iter().for_each(Properties::finish);
    config.finish();
    queue
}

fn stream(properties: &Properties<'_>) -> StreamSource {
    let arn = properties.text("Stream");
    let position = properties.text("StartingPosition");
    if !matches!(position.as_str(), "TRIM_HORIZON" | "LATEST") {
        properties.refuse(
            properties.line(),
            "StartingPosition must be TRIM_HORIZON or LATEST",
        );
    }
    StreamSource {
        table: arn.split('/').nth(1).unwrap_or_default().to_owned(),
        batch_size: properties.value("BatchSize").unwrap_or(100),
        from_horizon: position == "TRIM_HORIZON",
        maximum_retry_attempts: properties.value("MaximumRetryAttempts"),
        bisect_on_error: properties
            .value("BisectBatchOnFunctionError")
            .unwrap_or(false),
        report_batch_item_failures: reports(properties),
        on_failure_queue: on_failure(properties),
        filters: filters(properties),
    }
}

fn schedule(id: &str, properties: &Properties<'_>) -> Schedule {
    properties.without_effect(&["Name"]);
    let retry = properties.object("RetryPolicy");
    let attempts = retry
        .as_ref()
        .and_then(|it| it.value("MaximumRetryAttempts"));
    if let Some(retry) = retry {
        retry.without_effect(&["MaximumEventAgeInSeconds"]);
        retry.finish();
    }
    let dead_letters = properties.object("DeadLetterConfig").map(|config| {
        let queue = name_of(&config.text("Arn"));
        config.finish();
        queue
    });
    Schedule {
        id: id.to_owned(),
        expression: properties.text("ScheduleExpression"),
        input: properties.optional("Input"),
        // EventBridge Scheduler's default.
        maximum_retry_attempts: attempts.unwrap_or(185),
        dead_letter_queue: dead_letters,
    }
}

fn reports(properties: &Properties<'_>) -> bool {
    let types = properties.texts("FunctionResponseTypes");
    for kind in &types {
        if kind != "ReportBatchItemFailures" {
            properties.refuse(properties.line(), &format!("{kind} is not a response type"));
        }
    }
    !types.is_empty()
}

fn filters(properties: &Properties<'_>) -> Vec<String> {
    let Some(criteria) = properties.object("FilterCriteria") else {
        return Vec::new();
    };
    let patterns = criteria.objects("Filters").into_iter().map(|filter| {
        let pattern = filter.text("Pattern");
        filter.finish();
        pattern
    });
    let patterns = patterns.collect();
    criteria.finish();
    patterns
}

/// The last part of an ARN.
pub(super) fn name_of(arn: &str) -> String {
    arn.rsplit([':', '/']).next().unwrap_or_default().to_owned()
}
