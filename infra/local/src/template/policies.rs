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
            });
            statement.finish();
        }
        policy.finish();
    }
    statements
}
