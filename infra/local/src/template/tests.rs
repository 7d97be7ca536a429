//! What is taken, and what is refused with its line.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::{Model, Route, Trigger};
use super::{Settings, parse, read};

fn settings() -> Settings {
    let secret =
        |name: &str, key: &str| ((name.to_owned(), key.to_owned()), format!("{key}-value"));
    Settings {
        stack_name: "it".to_owned(),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        aws_url: "http://aws".to_owned(),
        api_url: "http://api".to_owned(),
        parameters: BTreeMap::from([("JwtIssuer".to_owned(), "http://issuer".to_owned())]),
        secrets: BTreeMap::from([
            secret("bitflow/stripe", "secret"),
            secret("bitflow/stripe", "webhook_secret"),
            secret("bitflow/sendgrid", "api_key"),
            secret("bitflow/pusher", "app_id"),
            secret("bitflow/pusher", "key"),
            secret("bitflow/pusher", "secret"),
        ]),
    }
}

/// A template with these resources; the first line of `resources` is line 5.
fn small(resources: &str) -> Result<Model, Vec<String>> {
    let text = format!(
        "Transform: AWS::Serverless-2016-10-31\nParameters:\n  JwtIssuer: {{Type: String}}\nResources:\n{resources}"
    );
    parse(&text, &settings()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn check_refused(resources: &str, expect: &[&str]) {
    assert_eq!(small(resources).unwrap_err(), expect);
}

#[test]
fn the_template_of_the_product_is_taken_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let model = read(&path, &settings()).unwrap_or_else(|error| panic!("{error}"));
    let create = Route {
        method: "POST".to_owned(),
        path: "/api/admin/universities".to_owned(),
        scopes: Some(vec!["universities:write".to_owned()]),
    };
    let webhook = Route {
        method: "POST".to_owned(),
        path: "/api/webhooks/stripe".to_owned(),
        scopes: None,
    };
    let routes: Vec<_> = model
        .functions
        .iter()
        .flat_map(|function| &function.triggers)
        .filter_map(|trigger| match trigger {
            Trigger::Http(route) => Some(route),
            _ => None,
        })
        .collect();
    assert!(routes.contains(&&create), "{routes:?}");
    assert!(routes.contains(&&webhook), "{routes:?}");
    let webhook = model
        .functions
        .iter()
        .find(|it| it.binary == "stripe-webhook")
        .unwrap();
    assert_eq!(
        webhook.environment["STRIPE_WEBHOOK_SECRET"],
        "webhook_secret-value"
    );
    assert_eq!(webhook.environment["INBOX_TABLE"], "it-inbox");
    let email = model
        .queues
        .iter()
        .find(|queue| queue.name == "it-email")
        .unwrap();
    assert_eq!(
        email.redrive.as_ref().unwrap().dead_letter_queue,
        "it-email-dead-letters"
    );
    let outbox = model
        .tables
        .iter()
        .find(|table| table.name == "it-outbox")
        .unwrap();
    assert_eq!(
        outbox.create["StreamSpecification"]["StreamViewType"],
        "NEW_IMAGE"
    );
    assert_eq!(outbox.ttl_attribute.as_deref(), Some("expires_at"));
}

#[test]
fn what_is_not_known_is_refused_with_its_line() {
    check_refused(
        "  Cache:\n    Type: AWS::ElastiCache::CacheCluster\n",
        &[
            "template.yaml:6: Resources.Cache: resources of type AWS::ElastiCache::CacheCluster are not known",
        ],
    );
    check_refused(
        "  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: q\n      FifoQueue: true\n",
        &["template.yaml:9: Resources.Q.Properties.FifoQueue: the local stack does not know this"],
    );
    check_refused(
        "  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: !Base64 q\n",
        &["template.yaml:8: Resources.Q.Properties.QueueName: the function Base64 is not known"],
    );
    check_refused(
        "  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: !Ref Nobody\n",
        &["template.yaml:8: Resources.Q.Properties.QueueName: nothing is named Nobody"],
    );
    check_refused(
        "  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: q\n      VisibilityTimeout: soon\n",
        &["template.yaml:9: Resources.Q.Properties: VisibilityTimeout cannot be soon"],
    );
}

#[test]
fn what_is_kept_is_not_kept_of_a_stack_that_never_was() {
    small("  Q:\n    Type: AWS::KMS::Key\n    DeletionPolicy: RetainExceptOnCreate\n    UpdateReplacePolicy: Retain\n").unwrap();
    check_refused(
        "  Q:\n    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retains\n",
        &[
            "template.yaml:6: Resources.Q: DeletionPolicy must be Delete or RetainExceptOnCreate, not Retain",
            "template.yaml:6: Resources.Q: UpdateReplacePolicy must be Delete or Retain, not Retains",
        ],
    );
}

#[test]
fn globals_outputs_and_documents_are_not_skipped() {
    check_refused(
        "  Q: {Type: AWS::KMS::Key}\nGlobals:\n  Api: {}\n",
        &["template.yaml:7: template.Globals.Api: the local stack does not know this"],
    );
    check_refused(
        "  Q: {Type: AWS::KMS::Key}\nOutputs:\n  O: {Value: !GetAtt Q.Nothing}\n",
        &["template.yaml:7: Outputs.O.Value: the stack knows no attribute Q.Nothing"],
    );
    check_refused(
        "  Q: {Type: AWS::KMS::Key}\n---\n{}\n",
        &["template.yaml:6: YAML: one document is expected"],
    );
}

#[test]
fn functions_are_evaluated_in_both_forms() {
    let model = small(concat!(
        "  A:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: !Join [\"-\", [a, !Ref AWS::Region]]\n",
        "  B:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: {\"Fn::Sub\": [\"${X}-${AWS::StackName}-${!y}\", {X: {Ref: JwtIssuer}}]}\n",
        "      RedrivePolicy: {deadLetterTargetArn: !GetAtt A.Arn, maxReceiveCount: 3}\n",
    ))
    .unwrap();
    assert_eq!(model.queues[0].name, "a-us-east-1");
    assert_eq!(model.queues[1].name, "http://issuer-it-${y}");
    let redrive = model.queues[1].redrive.as_ref().unwrap();
    assert_eq!(
        (
            redrive.dead_letter_queue.as_str(),
            redrive.max_receive_count
        ),
        ("a-us-east-1", 3)
    );
}

/// A function with this statement; the first line of `statement` is line 21.
fn check_statement(statement: &str, expect: &[&str]) {
    let statement = statement.replace('\n', "\n              ");
    let function = format!(
        "  F:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties:
        Binary: f
    Properties:
      FunctionName: f
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: functions/f
      Environment:
        Variables: {{}}
      Policies:
        - Version: \"2012-10-17\"
          Statement:
            - {statement}
"
    );
    let refused = small(&function).err().unwrap_or_default();
    assert_eq!(refused, expect);
}

#[test]
fn a_policy_that_could_not_be_enforced_is_refused() {
    let of = "Resources.F.Properties.Policies.0.Statement.0";
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t";
    let with = |lines: &str| format!("{lines}\nResource: {arn}");
    let (get, unknown) = (
        "Action: dynamodb:GetItem",
        "the local stack does not know this",
    );
    check_statement(&with(&format!("Effect: Allow\n{get}")), &[]);
    check_statement(
        &with(&format!("Effect: Deny\n{get}")),
        &[&format!(
            "template.yaml:21: {of}: Effect must be Allow, not Deny"
        )],
    );
    check_statement(
        &with(get),
        &[&format!("template.yaml:21: {of}: Effect is required")],
    );
    check_statement(
        &with("Effect: Allow\nNotAction: dynamodb:GetItem"),
        &[
            &format!("template.yaml:21: {of}: Action is required"),
            &format!("template.yaml:22: {of}.NotAction: {unknown}"),
        ],
    );
    check_statement(
        &format!("Effect: Allow\n{get}\nNotResource: {arn}"),
        &[
            &format!("template.yaml:21: {of}: Resource is required"),
            &format!("template.yaml:23: {of}.NotResource: {unknown}"),
        ],
    );
    check_statement(
        &with("Effect: Allow\nAction: kms:Decrypt"),
        &[&format!(
            "template.yaml:21: {of}: the stack cannot guard the action kms:Decrypt"
        )],
    );
    check_statement(
        &format!("Effect: Allow\n{get}\nResource: arn:aws:kms:::key"),
        &[&format!(
            "template.yaml:21: {of}: the stack cannot guard the resource arn:aws:kms:::key"
        )],
    );
    check_statement(
        &with(&format!(
            "Effect: Allow\n{get}\nCondition: {{StringEquals: {{s3:prefix: a}}}}"
        )),
        &[&format!(
            "template.yaml:23: {of}.Condition.StringEquals: {unknown}"
        )],
    );
    check_statement(
        &with(&format!(
            "Effect: Allow\n{get}\nCondition: {{StringLike: {{aws:x: a}}}}"
        )),
        &[
            &format!("template.yaml:23: {of}.Condition.StringLike: s3:prefix is required"),
            &format!("template.yaml:23: {of}.Condition.StringLike.aws:x: {unknown}"),
        ],
    );
    check_statement(
        &with("Effect: Allow\nAction: [dynamodb:GetItem, {a: b}]"),
        &[&format!("template.yaml:22: {of}: Action must hold texts")],
    );
}
