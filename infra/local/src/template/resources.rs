//! The template as a whole, and each resource type.

use std::collections::BTreeMap;

use super::intrinsics::{Attributes, Parameter, Resolver};
use super::model::{
    Bucket, Bus, Cors, CorsRule, Elsewhere, Function, HttpApi, Model, Queue, Redrive, Rule,
    RuleTarget, Table,
};
use super::node::{Kind, Node};
use super::properties::{Errors, Properties};
use super::triggers::name_of;
use super::{Settings, TemplateError, policies, triggers};

/// Resource types that have no counterpart on a laptop: keys, logs, who may do what, and who is told
/// when something is wrong.
const WITHOUT_EFFECT: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SQS::QueuePolicy",
];

/// Reads the whole template.
pub(super) fn read(root: &Node, settings: &Settings) -> Result<Model, Vec<TemplateError>> {
    let errors = Errors::default();
    let top = Properties::new(root, "template", &errors);
    top.must_be("Transform", "AWS::Serverless-2016-10-31");
    // Rules are looked at when it is deployed, like the patterns of parameters.
    top.without_effect(&["AWSTemplateFormatVersion", "Description", "Rules"]);
    let parameters = parameters(top.get("Parameters"), settings, &errors);
    let conditions = top.get("Conditions").map(Node::entries).unwrap_or_default();
    let conditions = conditions
        .iter()
        .map(|(name, node)| (name.clone(), node))
        .collect();
    let mut resolver = Resolver::new(settings, parameters, conditions);
    let (globals, outputs) = (top.get("Globals"), top.get("Outputs"));
    if let Some(globals) = top.object("Globals") {
        globals.get("Function");
        globals.finish();
    }
    let resources = top.get("Resources").map(Node::entries).unwrap_or_default();
    top.finish();

    for (id, node) in resources {
        let attributes = attributes(id, node, &resolver, settings);
        match attributes {
            Ok(attributes) => drop(resolver.resources.insert(id.clone(), attributes)),
            Err(error) => errors.borrow_mut().push(error),
        }
    }
    let mut model = Model {
        parameters: resolver
            .parameters
            .iter()
            .map(|(k, v)| (k.clone(), v.value.clone()))
            .collect(),
        ..Model::default()
    };
    let globals = globals.and_then(|node| resolve(&resolver, node, "Globals", &errors));
    // Nobody reads them here, but what they name must be there.
    outputs.and_then(|node| resolve(&resolver, node, "Outputs", &errors));
    let default_authorizer = resources.iter().any(|(_, node)| {
        let auth = node.get("Properties").and_then(|it| it.get("Auth"));
        auth.is_some_and(|auth| auth.get("DefaultAuthorizer").is_some())
    });
    for (id, node) in resources {
        let path = format!("Resources.{id}");
        let Some(resolved) = resolve(&resolver, node, &path, &errors) else {
            continue;
        };
        let resource = Properties::new(&resolved, path.clone(), &errors);
        kept(&resource);
        let kind = resource.text("Type");
        let empty = Node {
            line: resolved.line,
            tag: None,
            kind: Kind::Map(Vec::new()),
        };
        let body = resolved.get("Properties").unwrap_or(&empty);
        let properties = Properties::new(body, format!("{path}.Properties"), &errors);
        resource.without_effect(&["Properties"]);
        match kind.as_str() {
            "AWS::Serverless::Function" => {
                let scope = Scope {
                    globals: globals.as_ref(),
                    default_authorizer,
                    errors: &errors,
                };
                model
                    .functions
                    .push(function(id, &resource, &properties, &scope));
            }
            "AWS::Serverless::HttpApi" => model.http_api = http_api(&properties),
            "AWS::DynamoDB::Table" => model.tables.push(table(id, body, &properties)),
            "AWS::SQS::Queue" => model.queues.push(queue(id, &properties)),
            "AWS::S3::Bucket" => model.buckets.push(bucket(id, &properties)),
            "AWS::Events::EventBus" => {
                model.buses.push(Bus {
                    logical_id: id.clone(),
                    name: properties.text("Name"),
                });
            }
            "AWS::Events::Rule" => model.rules.push(rule(id, &properties)),
            known if WITHOUT_EFFECT.contains(&known) => {
                resource.without_effect(&["Condition"]);
                model.elsewhere.push(elsewhere(id, known, body));
                resource.finish();
                continue;
            }
            other => {
                resource.refuse(
                    node.line,
                    &format!("resources of type {other} are not known"),
                );
                continue;
            }
        }
        properties.finish();
        resource.finish();
    }
    let errors = in_order(errors);
    if errors.is_empty() {
        Ok(model)
    } else {
        Err(errors)
    }
}

/// What becomes of a resource that goes, which is nothing on a laptop. `Retain` alone would keep what a
/// first deployment that fails has made, and the next one could not make it again.
fn kept(resource: &Properties<'_>) {
    resource.without_effect(&["DependsOn"]);
    for (name, words) in [
        ("DeletionPolicy", ["Delete", "RetainExceptOnCreate"]),
        ("UpdateReplacePolicy", ["Delete", "Retain"]),
    ] {
        if let Some(word) = resource.optional(name)
            && !words.contains(&word.as_str())
        {
            let problem = format!("{name} must be {} or {}, not {word}", words[0], words[1]);
            resource.refuse(resource.line(), &problem);
        }
    }
}

fn in_order(errors: Errors) -> Vec<TemplateError> {
    let mut errors = errors.into_inner();
    errors.sort_by_key(|error| error.line);
    // A name is resolved before its resource is: the same mistake may be found twice.
    errors.dedup();
    errors
}

fn elsewhere(id: &str, kind: &str, body: &Node) -> Elsewhere {
    Elsewhere {
        logical_id: id.to_owned(),
        kind: kind.to_owned(),
        properties: body.to_json(),
    }
}

fn resolve(resolver: &Resolver<'_>, node: &Node, path: &str, errors: &Errors) -> Option<Node> {
    resolver
        .resolve(node, path)
        .map_err(|error| errors.borrow_mut().push(error))
        .ok()
}

/// Values of parameters: given, or the default; checked as CloudFormation does.
fn parameters(
    node: Option<&Node>,
    settings: &Settings,
    errors: &Errors,
) -> BTreeMap<String, Parameter> {
    let mut values = BTreeMap::new();
    let declared = node.map(Node::entries).unwrap_or_default();
    for (name, node) in declared {
        let parameter = Properties::new(node, format!("Parameters.{name}"), errors);
        // AllowedPattern is checked when it is deployed; local values are loopback URLs.
        parameter.without_effect(&["Description", "AllowedPattern", "NoEcho"]);
        let kind = parameter.text("Type");
        if !matches!(kind.as_str(), "String" | "Number" | "CommaDelimitedList") {
            parameter.refuse(
                node.line,
                &format!("parameters of type {kind} are not known"),
            );
        }
        let default = parameter.optional("Default");
        let value = settings.parameters.get(name).cloned().or(default);
        let allowed = parameter.texts("AllowedValues");
        let bounds = [parameter.value("MinValue"), parameter.value("MaxValue")];
        let shortest: usize = parameter.value("MinLength").unwrap_or(0);
        match value {
            None => parameter.refuse(node.line, "has no default, and no value was given"),
            Some(value) => {
                if !allowed.is_empty() && !allowed.contains(&value) {
                    parameter.refuse(node.line, &format!("cannot be {value}"));
                }
                let number = value.parse().unwrap_or(0);
                let [least, most]: [Option<i64>; 2] = bounds;
                if least.is_some_and(|it| number < it) || most.is_some_and(|it| number > it) {
                    parameter.refuse(node.line, &format!("cannot be {value}: out of bounds"));
                }
                if value.len() < shortest {
                    parameter.refuse(node.line, "is too short");
                }
                let list = kind == "CommaDelimitedList";
                values.insert(name.clone(), Parameter { value, list });
            }
        }
        parameter.finish();
    }
    for name in settings.parameters.keys() {
        if !declared.iter().any(|(declared, _)| declared == name) {
            errors.borrow_mut().push(TemplateError {
                line: node.map_or(1, |node| node.line),
                path: "Parameters".to_owned(),
                problem: format!("the template has no parameter {name}"),
            });
        }
    }
    values
}

/// What `!Ref` and `!GetAtt` of a resource give. Its name may depend on parameters only.
fn attributes(
    id: &str,
    node: &Node,
    resolver: &Resolver<'_>,
    settings: &Settings,
) -> Result<Attributes, TemplateError> {
    let kind = node.get("Type").and_then(Node::as_text).unwrap_or_default();
    let Settings {
        region,
        account,
        aws_url,
        api_url,
        ..
    } = settings;
    let name = |property: &str| match node.get("Properties").and_then(|it| it.get(property)) {
        Some(name) => {
            let path = format!("Resources.{id}.Properties.{property}");
            Ok(resolver
                .resolve(name, &path)?
                .as_text()
                .unwrap_or_default()
                .to_owned())
        }
        None => Ok(format!("{}-{id}", settings.stack_name)),
    };
    let arn = |service: &str, rest: String| format!("arn:aws:{service}:{region}:{account}:{rest}");
    let (reference, attributes) = match kind {
        "AWS::Serverless::Function" => {
            let name = name("FunctionName")?;
            let arn = arn("lambda", format!("function:{name}"));
            (name, vec![("Arn", arn)])
        }
        "AWS::DynamoDB::Table" => {
            let name = name("TableName")?;
            let arn = arn("dynamodb", format!("table/{name}"));
            (
                name,
                vec![("StreamArn", format!("{arn}/stream/local")), ("Arn", arn)],
            )
        }
        "AWS::SQS::Queue" => {
            let name = name("QueueName")?;
            let attributes = vec![
                ("Arn", arn("sqs", name.clone())),
                ("QueueName", name.clone()),
            ];
            (format!("{aws_url}/{account}/{name}"), attributes)
        }
        "AWS::S3::Bucket" => {
            let name = name("BucketName")?;
            (name.clone(), vec![("Arn", format!("arn:aws:s3:::{name}"))])
        }
        "AWS::Events::EventBus" => {
            let name = name("Name")?;
            let arn = arn("events", format!("event-bus/{name}"));
            (name.clone(), vec![("Arn", arn), ("Name", name)])
        }
        "AWS::Serverless::HttpApi" => ("local".to_owned(), vec![("ApiEndpoint", api_url.clone())]),
        "AWS::KMS::Key" => (
            id.to_owned(),
            vec![("Arn", arn("kms", format!("key/{id}")))],
        ),
        "AWS::Logs::LogGroup" => {
            let name = name("LogGroupName")?;
            let arn = arn("logs", format!("log-group:{name}"));
            (name, vec![("Arn", arn)])
        }
        "AWS::CloudWatch::Alarm" => (
            id.to_owned(),
            vec![("Arn", arn("cloudwatch", format!("alarm:{id}")))],
        ),
        _ => (id.to_owned(), Vec::new()),
    };
    Ok(Attributes {
        reference,
        attributes: attributes.into_iter().collect(),
    })
}

/// What a function inherits.
struct Scope<'a> {
    globals: Option<&'a Node>,
    default_authorizer: bool,
    errors: &'a Errors,
}

/// Properties of a function, its own or the globals', that have no effect on a laptop.
const FUNCTION_WITHOUT_EFFECT: &[&str] = &[
    "Architectures",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "DeploymentPreference",
    "Description",
    "KmsKeyArn",
    "LoggingConfig",
    "ReservedConcurrentExecutions",
    "Tracing",
];

fn function(
    id: &str,
    resource: &Properties<'_>,
    properties: &Properties<'_>,
    scope: &Scope<'_>,
) -> Function {
    let empty = Node {
        line: 1,
        tag: None,
        kind: Kind::Map(Vec::new()),
    };
    let globals = scope
        .globals
        .and_then(|node| node.get("Function"))
        .unwrap_or(&empty);
    let globals = Properties::new(globals, "Globals.Function", scope.errors);
    let mut environment = BTreeMap::new();
    inherited(&globals, &mut environment);
    inherited(properties, &mut environment);
    let binary = resource.object("Metadata").and_then(|metadata| {
        metadata.must_be("BuildMethod", "rust-cargolambda");
        let build = metadata.object("BuildProperties")?;
        let binary = build.optional("Binary");
        build.finish();
        metadata.finish();
        binary
    });
    if binary.is_none() {
        resource.refuse(
            resource.line(),
            "Metadata.BuildProperties.Binary is required",
        );
    }
    let mut found = Vec::new();
    let path = format!("Resources.{id}.Properties.Events");
    for (event_id, node) in properties
        .get("Events")
        .map(Node::entries)
        .unwrap_or_default()
    {
        let event = Properties::new(node, format!("{path}.{event_id}"), scope.errors);
        found.extend(triggers::read(event_id, &event, scope.default_authorizer));
        event.finish();
    }
    let timeout = properties
        .value("Timeout")
        .or(globals.value("Timeout"))
        .unwrap_or(3);
    let memory_mb = properties
        .value("MemorySize")
        .or(globals.value("MemorySize"))
        .unwrap_or(128);
    let binary = binary.unwrap_or_default();
    // Built alone: of the workspace as a whole it would have what others ask of its dependencies.
    properties.must_be("CodeUri", &format!("functions/{binary}"));
    let function = Function {
        logical_id: id.to_owned(),
        name: properties.text("FunctionName"),
        binary,
        timeout: std::time::Duration::from_secs(timeout),
        memory_mb,
        environment,
        triggers: found,
        asynchronous: triggers::asynchronous(properties),
        policies: policies::read(properties),
        line: resource.line(),
    };
    globals.finish();
    function
}

/// What a function may also have from the globals; the environment is merged.
fn inherited(properties: &Properties<'_>, environment: &mut BTreeMap<String, String>) {
    properties.without_effect(FUNCTION_WITHOUT_EFFECT);
    properties.must_be("Runtime", "provided.al2023");
    properties.must_be("Handler", "bootstrap");
    if let Some(declared) = properties.object("Environment") {
        let variables = declared
            .get("Variables")
            .map(Node::entries)
            .unwrap_or_default();
        for (name, value) in variables {
            environment.insert(name.clone(), value.as_text().unwrap_or_default().to_owned());
        }
        declared.finish();
    }
}

fn http_api(properties: &Properties<'_>) -> HttpApi {
    properties.without_effect(&["AccessLogSettings", "DefaultRouteSettings", "Description"]);
    let mut api = HttpApi::default();
    if let Some(auth) = properties.object("Auth") {
        auth.without_effect(&["DefaultAuthorizer"]);
        let authorizers = auth
            .get("Authorizers")
            .map(Node::entries)
            .unwrap_or_default();
        if authorizers.len() > 1 {
            auth.refuse(auth.line(), "one authorizer is known");
        }
        if let Some(authorizers) = auth.object("Authorizers") {
            if let Some((name, _)) = auth.get("Authorizers").and_then(|it| it.entries().first())
                && let Some(authorizer) = authorizers.object(name)
            {
                authorizer.must_be("IdentitySource", "$request.header.Authorization");
                if let Some(jwt) = authorizer.object("JwtConfiguration") {
                    api.issuer = jwt.text("issuer");
                    api.audience = jwt.texts("audience");
                    jwt.finish();
                }
                authorizer.finish();
            }
            authorizers.finish();
        }
        auth.finish();
    }
    api.cors = properties.object("CorsConfiguration").map(|cors| {
        let read = Cors {
            allow_origins: cors.texts("AllowOrigins"),
            allow_methods: cors.texts("AllowMethods"),
            allow_headers: cors.texts("AllowHeaders"),
            expose_headers: cors.texts("ExposeHeaders"),
            max_age: cors.value("MaxAge").map(std::time::Duration::from_secs),
        };
        cors.finish();
        read
    });
    api
}

fn table(id: &str, body: &Node, properties: &Properties<'_>) -> Table {
    // Encryption, recovery and protection are AWS's; keys, indexes and the stream are the model.
    properties.without_effect(&["DeletionProtectionEnabled", "SSESpecification"]);
    let is_kept = properties
        .object("PointInTimeRecoverySpecification")
        .and_then(|recovery| {
            let enabled = recovery.value("PointInTimeRecoveryEnabled");
            recovery.finish();
            enabled
        });
    properties.must_be("BillingMode", "PAY_PER_REQUEST");
    let mut create = serde_json::Map::new();
    for name in [
        "TableName",
        "BillingMode",
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
    ] {
        if let Some(node) = properties.get(name) {
            create.insert(name.to_owned(), node.to_json());
        }
    }
    if let Some(stream) = properties.object("StreamSpecification") {
        let view = stream.text("StreamViewType");
        let specification = serde_json::json!({ "StreamEnabled": true, "StreamViewType": view });
        create.insert("StreamSpecification".to_owned(), specification);
        stream.finish();
    }
    let ttl_attribute = properties
        .object("TimeToLiveSpecification")
        .and_then(|ttl| {
            let attribute = ttl.text("AttributeName");
            let enabled = ttl.value("Enabled").unwrap_or(false);
            ttl.finish();
            enabled.then_some(attribute)
        });
    let name = body
        .get("TableName")
        .and_then(Node::as_text)
        .unwrap_or_default()
        .to_owned();
    Table {
        logical_id: id.to_owned(),
        name,
        create: create.into(),
        ttl_attribute,
        is_kept: is_kept.unwrap_or(false),
    }
}

fn queue(id: &str, properties: &Properties<'_>) -> Queue {
    properties.without_effect(&["KmsMasterKeyId"]);
    let redrive = properties.object("RedrivePolicy").map(|policy| {
        let redrive = Redrive {
            dead_letter_queue: name_of(&policy.text("deadLetterTargetArn")),
            max_receive_count: policy.value("maxReceiveCount").unwrap_or(1),
        };
        policy.finish();
        redrive
    });
    Queue {
        logical_id: id.to_owned(),
        name: properties.text("QueueName"),
        visibility_timeout: properties.seconds("VisibilityTimeout", 30),
        delay: properties.seconds("DelaySeconds", 0),
        retention: properties.seconds("MessageRetentionPeriod", 345_600),
        redrive,
    }
}

fn bucket(id: &str, properties: &Properties<'_>) -> Bucket {
    properties.without_effect(&[
        "BucketEncryption",
        "LifecycleConfiguration",
        "OwnershipControls",
        "PublicAccessBlockConfiguration",
        "VersioningConfiguration",
    ]);
    let cors = properties.object("CorsConfiguration").map(|cors| {
        let rules = cors.objects("CorsRules").into_iter().map(|rule| {
            let read = CorsRule {
                origins: rule.texts("AllowedOrigins"),
                methods: rule.texts("AllowedMethods"),
                headers: rule.texts("AllowedHeaders"),
                exposed: rule.texts("ExposedHeaders"),
                max_age: rule.value("MaxAge"),
            };
            rule.finish();
            read
        });
        let rules = rules.collect();
        cors.finish();
        rules
    });
    Bucket {
        logical_id: id.to_owned(),
        name: properties.text("BucketName"),
        cors: cors.unwrap_or_default(),
    }
}

fn rule(id: &str, properties: &Properties<'_>) -> Rule {
    properties.without_effect(&["Description"]);
    let mut targets = Vec::new();
    for target in properties.objects("Targets") {
        // The local bus delivers at once or not at all: it has nothing to retry.
        target.without_effect(&["RetryPolicy"]);
        let dead_letter_queue = target.object("DeadLetterConfig").map(|config| {
            let queue = name_of(&config.text("Arn"));
            config.finish();
            queue
        });
        let arn = target.text("Arn");
        if !arn.contains(":sqs:") {
            target.refuse(target.line(), "a target must be an SQS queue");
        }
        targets.push(RuleTarget {
            id: target.text("Id"),
            queue: name_of(&arn),
            input_path: target.optional("InputPath"),
            dead_letter_queue,
        });
        target.finish();
    }
    let pattern = properties.get("EventPattern").map(Node::to_json);
    if pattern.is_none() {
        properties.refuse(properties.line(), "EventPattern is required");
    }
    Rule {
        logical_id: id.to_owned(),
        bus: properties.text("EventBusName"),
        pattern: pattern.unwrap_or_default(),
        targets,
    }
}
