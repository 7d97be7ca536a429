//! What a function may do: statements as written.

use super::model::Statement;
use super::properties::Properties;

/// Reads `Policies`: inline documents. SAM's policy templates are not used, hence not known.
pub(super) fn read(function: &Properties<'_>) -> Vec<Statement> {
    let mut statements = Vec::new();
    for policy in function.objects("Policies") {
        policy.must_be("Version", "2012-10-17");
        for statement in policy.objects("Statement") {
            statement.must_be("Effect", "Allow");
            statements.push(Statement {
                actions: statement.texts("Action"),
                resources: statement.texts("Resource"),
                prefixes: prefixes(&statement),
            });
            statement.finish();
        }
        policy.finish();
    }
    statements
}

/// `Condition`: of all there are, what a bucket is listed below.
fn prefixes(statement: &Properties<'_>) -> Vec<String> {
    let Some(condition) = statement.object("Condition") else {
        return Vec::new();
    };
    let prefixes = condition.object("StringLike").map(|like| {
        let prefixes = like.texts("s3:prefix");
        like.finish();
        prefixes
    });
    condition.finish();
    prefixes.unwrap_or_default()
}
