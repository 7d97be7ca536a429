//! What a function may do: statements as written, and nothing that the stack could not enforce.

use super::model::Statement;
use super::properties::Properties;

/// The services that the stack has, and can guard.
const SERVICES: [&str; 5] = ["dynamodb", "events", "lambda", "s3", "sqs"];

/// Reads `Policies`: inline documents. SAM's policy templates are not used, hence not known.
pub(super) fn read(function: &Properties<'_>) -> Vec<Statement> {
    let mut statements = Vec::new();
    for policy in function.objects("Policies") {
        policy.must_be("Version", "2012-10-17");
        for statement in policy.objects("Statement") {
            statement.text("Effect");
            statement.must_be("Effect", "Allow");
            let read = Statement {
                actions: statement.texts("Action"),
                resources: statement.texts("Resource"),
                prefixes: prefixes(&statement),
                line: statement.line(),
            };
            check(&statement, &read);
            statements.push(read);
            statement.finish();
        }
        policy.finish();
    }
    statements
}

fn check(statement: &Properties<'_>, read: &Statement) {
    let service = |action: &str| action.split_once(':').map(|(it, _)| it.to_owned());
    let known = |service: Option<String>| SERVICES.iter().any(|it| service.as_deref() == Some(it));
    let refuse = |problem: &str| statement.refuse(statement.line(), problem);
    for (name, values) in [("Action", &read.actions), ("Resource", &read.resources)] {
        if values.is_empty() {
            refuse(&format!("{name} is required"));
        }
    }
    for action in read.actions.iter().filter(|it| !known(service(it))) {
        refuse(&format!("the stack cannot guard the action {action}"));
    }
    for resource in &read.resources {
        let of_arn = resource.strip_prefix("arn:aws:").and_then(service);
        // `${aws:username}` and the like.
        if resource != "*" && !known(of_arn) || resource.contains("${") {
            refuse(&format!("the stack cannot guard the resource {resource}"));
        }
    }
}

/// `Condition`: of all there are, what a bucket is listed below.
fn prefixes(statement: &Properties<'_>) -> Vec<String> {
    let Some(condition) = statement.object("Condition") else {
        return Vec::new();
    };
    let prefixes = condition.object("StringLike").map(|like| {
        let prefixes = like.texts("s3:prefix");
        if prefixes.is_empty() {
            like.refuse(like.line(), "s3:prefix is required");
        }
        like.finish();
        prefixes
    });
    condition.finish();
    prefixes.unwrap_or_default()
}
