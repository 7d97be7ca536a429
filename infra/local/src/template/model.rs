//! What a template declares, resolved: every intrinsic evaluated, every reference a name.
//!
//! The rest of the stack reads this and never the YAML.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// Everything one `template.yaml` declares.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// `AWS::Serverless::Function`, in template order.
    pub functions: Vec<Function>,
    /// `AWS::DynamoDB::Table`.
    pub tables: Vec<Table>,
    /// `AWS::SQS::Queue`, dead-letter queues included.
    pub queues: Vec<Queue>,
    /// `AWS::S3::Bucket`.
    pub buckets: Vec<Bucket>,
    /// `AWS::Events::EventBus`.
    pub buses: Vec<Bus>,
    /// `AWS::Events::Rule` with an event pattern.
    pub rules: Vec<Rule>,
    /// The `AWS::Serverless::HttpApi`.
    pub http_api: HttpApi,
    /// What has no effect on a laptop, in template order.
    pub elsewhere: Vec<Elsewhere>,
    /// Parameter values after defaults and overrides.
    pub parameters: BTreeMap<String, String>,
}

/// A resource that has no effect on a laptop; tests hold it against what has.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// `Type`.
    pub kind: String,
    /// `Properties`, resolved.
    pub properties: Value,
}

/// One Lambda function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Its physical name.
    pub name: String,
    /// The binary it runs, which is also the folder under `functions/`
    /// (`Metadata.BuildProperties.Binary`).
    pub binary: String,
    /// After this an invocation is ended.
    pub timeout: Duration,
    /// `MemorySize`, MB.
    pub memory_mb: u32,
    /// `Environment.Variables`, resolved, globals merged in.
    pub environment: BTreeMap<String, String>,
    /// What invokes it.
    pub triggers: Vec<Trigger>,
    /// What becomes of an asynchronous invocation that fails.
    pub asynchronous: AsyncConfig,
    /// What it may do: SAM policy templates expanded, references resolved.
    pub policies: Vec<Statement>,
    /// Line of the resource in the template, from 1.
    pub line: usize,
}

/// `EventInvokeConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncConfig {
    /// `MaximumRetryAttempts`: 0 to 2.
    pub maximum_retry_attempts: u32,
    /// `DestinationConfig.OnFailure.Destination`: the name of an SQS queue.
    pub on_failure_queue: Option<String>,
}

/// What invokes a function.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// `Type: HttpApi`.
    Http(Route),
    /// `Type: SQS`.
    Sqs(SqsSource),
    /// `Type: DynamoDB`.
    Stream(StreamSource),
    /// `Type: ScheduleV2`.
    Schedule(Schedule),
}

/// One route of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Upper case, or `ANY`.
    pub method: String,
    /// With `{parameters}`, and `{proxy+}` for the rest.
    pub path: String,
    /// `None`: public. `Some`: the JWT authorizer, and a token must carry one of these scopes
    /// (none listed: any valid token).
    pub scopes: Option<Vec<String>>,
}

/// An SQS event source mapping.
#[derive(Debug, Clone)]
pub struct SqsSource {
    /// Queue name.
    pub queue: String,
    /// Messages in one invocation, at most.
    pub batch_size: usize,
    /// `ScalingConfig.MaximumConcurrency`.
    pub maximum_concurrency: Option<u32>,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `FilterCriteria.Filters[].Pattern`, EventBridge patterns as JSON text.
    pub filters: Vec<String>,
}

/// A DynamoDB stream event source mapping.
#[derive(Debug, Clone)]
pub struct StreamSource {
    /// Table name.
    pub table: String,
    /// Records in one invocation, at most.
    pub batch_size: usize,
    /// `StartingPosition: TRIM_HORIZON` (else LATEST).
    pub from_horizon: bool,
    /// `None`: until the record expires.
    pub maximum_retry_attempts: Option<u32>,
    /// `BisectBatchOnFunctionError`.
    pub bisect_on_error: bool,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `DestinationConfig.OnFailure.Destination`: the name of an SQS queue.
    pub on_failure_queue: Option<String>,
    /// `FilterCriteria.Filters[].Pattern`, JSON text.
    pub filters: Vec<String>,
}

/// A schedule that invokes the function.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its key under `Events`.
    pub id: String,
    /// `rate(5 minutes)` or `cron(0 0 1 * ? *)`, UTC.
    pub expression: String,
    /// `Input`: the JSON text the function is invoked with; EventBridge Scheduler's context
    /// attributes (`<aws.scheduler.scheduled-time>` …) still in it.
    pub input: Option<String>,
    /// `RetryPolicy.MaximumRetryAttempts`.
    pub maximum_retry_attempts: u32,
    /// `DeadLetterConfig`: the name of an SQS queue.
    pub dead_letter_queue: Option<String>,
}

/// One statement of a function's policy: always `Allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// `service:Action`, wildcards allowed.
    pub actions: Vec<String>,
    /// ARNs, wildcards allowed.
    pub resources: Vec<String>,
    /// The `s3:prefix` that it is on condition of, wildcards allowed; empty: no condition.
    pub prefixes: Vec<String>,
    /// Line of the statement in the template, from 1.
    pub line: usize,
}

/// One DynamoDB table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Its physical name.
    pub name: String,
    /// The body of a CreateTable request (`TableName`, `KeySchema`, `AttributeDefinitions`,
    /// `GlobalSecondaryIndexes`, `StreamSpecification`, `BillingMode`).
    pub create: Value,
    /// The TTL attribute, where enabled.
    pub ttl_attribute: Option<String>,
    /// `PointInTimeRecoveryEnabled`: it must be kept, hence it is backed up.
    pub is_kept: bool,
}

/// One SQS standard queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Its physical name.
    pub name: String,
    /// `VisibilityTimeout`.
    pub visibility_timeout: Duration,
    /// `DelaySeconds`.
    pub delay: Duration,
    /// `MessageRetentionPeriod`.
    pub retention: Duration,
    /// `RedrivePolicy`.
    pub redrive: Option<Redrive>,
}

/// Where a message goes after too many receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// `maxReceiveCount`.
    pub max_receive_count: u32,
}

/// One S3 bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Its physical name.
    pub name: String,
    /// `CorsConfiguration`: the first rule that allows a request decides.
    pub cors: Vec<CorsRule>,
}

/// What pages of other origins may do with a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsRule {
    /// `AllowedOrigins`; one `*` in each at most.
    pub origins: Vec<String>,
    /// `AllowedMethods`.
    pub methods: Vec<String>,
    /// `AllowedHeaders`, likewise; case does not matter.
    pub headers: Vec<String>,
    /// `ExposedHeaders`.
    pub exposed: Vec<String>,
    /// `MaxAge`, seconds.
    pub max_age: Option<u32>,
}

/// One EventBridge bus.
#[derive(Debug, Clone)]
pub struct Bus {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Its physical name.
    pub name: String,
}

/// One rule of a bus.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// Physical name of its bus.
    pub bus: String,
    /// The pattern as JSON.
    pub pattern: Value,
    /// Where a match goes.
    pub targets: Vec<RuleTarget>,
}

/// One target of a rule: an SQS queue.
#[derive(Debug, Clone)]
pub struct RuleTarget {
    /// `Id`.
    pub id: String,
    /// Name of the queue.
    pub queue: String,
    /// `InputPath`, where set (`$.detail`).
    pub input_path: Option<String>,
    /// `DeadLetterConfig`: the name of a queue for what could not be delivered.
    pub dead_letter_queue: Option<String>,
}

/// The HTTP API's settings.
#[derive(Debug, Clone, Default)]
pub struct HttpApi {
    /// `JwtConfiguration.issuer` of the authorizer.
    pub issuer: String,
    /// `JwtConfiguration.audience`.
    pub audience: Vec<String>,
    /// `CorsConfiguration`, where set.
    pub cors: Option<Cors>,
}

/// CORS answers of the HTTP API.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// `AllowOrigins`.
    pub allow_origins: Vec<String>,
    /// `AllowMethods`.
    pub allow_methods: Vec<String>,
    /// `AllowHeaders`.
    pub allow_headers: Vec<String>,
    /// `ExposeHeaders`.
    pub expose_headers: Vec<String>,
    /// `MaxAge`.
    pub max_age: Option<Duration>,
}
