//! What a statement grants.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>

use super::needs::Need;
use crate::template::model::Statement;

/// The action and the resource of a statement that grant what is needed.
pub fn grant<'a>(statement: &'a Statement, need: &Need) -> Option<(&'a str, &'a str)> {
    let mut actions = statement.actions.iter();
    let action = actions.find(|action| is_action(action, &need.action))?;
    let mut resources = statement.resources.iter();
    let resource = resources.find(|resource| is_resource(resource, &need.resource))?;
    holds(statement, need).then_some((action, resource))
}

/// A condition about what the call does not have does not hold.
fn holds(statement: &Statement, need: &Need) -> bool {
    let mut prefixes = statement.prefixes.iter();
    let is_like = |prefix: &str| prefixes.any(|it| is_like(it, prefix, false));
    statement.prefixes.is_empty() || need.prefix.as_deref().is_some_and(is_like)
}

/// Actions are the same in any case.
fn is_action(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    is_like(&pattern, &action, false)
}

/// `*`, or an ARN: a wildcard stays within the part between two colons, but a `*` at the end of a
/// part may go on.
fn is_resource(pattern: &str, resource: &str) -> bool {
    is_like(pattern, resource, true)
}

/// Whether a text is like a pattern, in which `*` stands for any text and `?` for any character.
fn is_like(pattern: &str, text: &str, in_parts: bool) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let spans = |star: usize| !in_parts || matches!(pattern.get(star + 1), None | Some(':'));
    // Where the last star is, and up to where it reaches: one more each time the rest fails.
    let mut last_star: Option<(usize, usize)> = None;
    let (mut at, mut seen) = (0, 0);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                last_star = Some((at, seen));
                at += 1;
                continue;
            }
            Some('?') if !(in_parts && text[seen] == ':') => {
                at += 1;
                seen += 1;
                continue;
            }
            Some(letter) if *letter != '?' && *letter == text[seen] => {
                at += 1;
                seen += 1;
                continue;
            }
            _ => {}
        }
        match last_star {
            Some((star, reached)) if spans(star) || text[reached] != ':' => {
                last_star = Some((star, reached + 1));
                at = star + 1;
                seen = reached + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(actions: &[&str], resources: &[&str], prefixes: &[&str]) -> Statement {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        Statement {
            actions: owned(actions),
            resources: owned(resources),
            prefixes: owned(prefixes),
            line: 1,
        }
    }

    #[test]
    fn actions_have_wildcards_and_no_case() {
        for (pattern, action, expect) in [
            ("s3:GetObject", "s3:GetObject", true),
            ("S3:getobject", "s3:GetObject", true),
            ("s3:Get*", "s3:GetObject", true),
            ("s3:Get*", "s3:PutObject", false),
            ("s3:?etObject", "s3:GetObject", true),
            ("s3:?etObject", "s3:etObject", false),
            ("s3:*Object", "s3:GetObject", true),
            ("s3:*Object", "s3:GetObjectAcl", false),
            ("s3:*t*t", "s3:GetObject", true),
            ("s3:*", "sqs:SendMessage", false),
            ("*", "sqs:SendMessage", true),
            ("s3:GetObject", "s3:GetObjectAcl", false),
            ("s3:GetObjectAcl", "s3:GetObject", false),
        ] {
            assert_eq!(is_action(pattern, action), expect, "{pattern} {action}");
        }
    }

    #[test]
    fn resources_have_wildcards_in_their_parts() {
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/it-outbox";
        let index = "arn:aws:dynamodb:us-east-1:000000000000:table/it-outbox/index/by_pending";
        let logo = "arn:aws:s3:::files/universities/u/logos/l.png";
        for (pattern, resource, expect) in [
            ("*", table, true),
            (table, table, true),
            (table, index, false),
            (index, table, false),
            ("arn:aws:dynamodb:*:*:table/it-outbox", table, true),
            ("arn:aws:dynamodb:*:*:table/it-outbox", index, false),
            ("arn:aws:dynamodb:*:*:table/it-outbox/index/*", index, true),
            ("arn:aws:dynamodb:*:*:table/it-out??x", table, true),
            ("arn:aws:dynamodb:*:*:table/it-out?x", table, false),
            ("arn:aws:dynamodb:*:*:table/IT-OUTBOX", table, false),
            ("arn:aws:dynamodb:us-*-1:*:table/*", table, true),
            ("arn:aws:s3:::files/universities/*/logos/*", logo, true),
            ("arn:aws:s3:::files/universities/*/reports/*", logo, false),
            ("arn:aws:s3:::files", logo, false),
            ("arn:aws:s3:::files/*", logo, true),
            ("arn:aws:s3:::file?/universities/*", logo, true),
            // A wildcard does not swallow a colon, but at the end of a part.
            ("arn:aws:s*l.png", logo, false),
            ("arn:aws:s3?::files/*", logo, false),
            ("arn:aws:s3:*", logo, true),
        ] {
            assert_eq!(
                is_resource(pattern, resource),
                expect,
                "{pattern} {resource}"
            );
        }
    }

    #[test]
    fn a_statement_grants_each_of_its_actions_on_each_of_its_resources() {
        let both = statement(&["a:Get", "a:Put"], &["arn:one", "arn:two"], &[]);
        for (action, resource, expect) in [
            ("a:Put", "arn:two", Some(("a:Put", "arn:two"))),
            ("a:Get", "arn:one", Some(("a:Get", "arn:one"))),
            ("a:Delete", "arn:one", None),
            ("a:Get", "arn:three", None),
        ] {
            let need = Need::new(action, resource.to_owned());
            assert_eq!(grant(&both, &need), expect, "{action} {resource}");
        }
    }

    #[test]
    fn a_condition_holds_of_what_is_listed() {
        let files = "arn:aws:s3:::files";
        let listing = |prefix: Option<&str>| Need {
            prefix: prefix.map(str::to_owned),
            ..Need::new("s3:ListBucket", files.to_owned())
        };
        let some = statement(&["s3:ListBucket"], &[files], &["universities/*", "a?"]);
        let any = statement(&["s3:ListBucket"], &[files], &[]);
        for (prefix, expect) in [
            (Some("universities/u/"), true),
            (Some("universities/"), true),
            (Some("universities"), false),
            (Some("Universities/u/"), false),
            (Some("ab"), true),
            (Some(""), false),
            (None, false),
        ] {
            let need = listing(prefix);
            assert_eq!(grant(&some, &need).is_some(), expect, "{prefix:?}");
            assert!(grant(&any, &need).is_some(), "{prefix:?}");
        }
    }
}
