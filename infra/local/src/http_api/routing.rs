//! Which function a request is for.

use std::collections::BTreeMap;

use crate::template::model::Route;

/// A route and the function behind it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) function: String,
    pub(super) route: Route,
}

/// All routes.
#[derive(Debug)]
pub(super) struct Routes(Vec<Target>);

impl Routes {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        Self(targets)
    }

    /// The most specific route that matches, with its path parameters as they were sent: literal
    /// segments win over parameters, those over `{proxy+}`, a method over `ANY`.
    pub(super) fn find(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(&Target, BTreeMap<String, String>)> {
        let candidates = self
            .0
            .iter()
            .filter(|it| it.route.method == method || it.route.method == "ANY");
        candidates
            .filter_map(|target| {
                let (rank, parameters) = matches(&target.route.path, path)?;
                Some(((rank, target.route.method == "ANY"), target, parameters))
            })
            .min_by(|(left, ..), (right, ..)| left.cmp(right))
            .map(|(_, target, parameters)| (target, parameters))
    }
}

/// How well a pattern fits: for each segment 0 literal, 1 parameter, 2 the rest.
fn matches(pattern: &str, path: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let mut segments = path.trim_start_matches('/').split('/');
    let (mut rank, mut parameters) = (Vec::new(), BTreeMap::new());
    for expected in pattern.trim_start_matches('/').split('/') {
        let name = expected
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'));
        match name {
            Some(name) if name.ends_with('+') => {
                let rest: Vec<&str> = segments.by_ref().collect();
                if rest.iter().all(|segment| segment.is_empty()) {
                    return None;
                }
                parameters.insert(name.trim_end_matches('+').to_owned(), rest.join("/"));
                rank.push(2);
            }
            Some(name) => {
                let segment = segments.next().filter(|segment| !segment.is_empty())?;
                parameters.insert(name.to_owned(), segment.to_owned());
                rank.push(1);
            }
            None => {
                if segments.next() != Some(expected) {
                    return None;
                }
                rank.push(0);
            }
        }
    }
    segments.next().is_none().then_some((rank, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expect: Option<(&str, &str)>) {
        let target = |method: &str, path: &str| Target {
            function: "f".to_owned(),
            route: Route {
                method: method.to_owned(),
                path: path.to_owned(),
                scopes: None,
            },
        };
        let routes = Routes::new(vec![
            target("ANY", "/{proxy+}"),
            target("GET", "/u"),
            target("GET", "/u/{id}"),
            target("GET", "/u/me"),
            target("GET", "/u/{id}/logo"),
        ]);
        let found = routes.find(method, path);
        let seen = found.as_ref().map(|(target, parameters)| {
            let values: Vec<&str> = parameters.values().map(String::as_str).collect();
            (target.route.path.as_str(), values.join(","))
        });
        assert_eq!(
            seen,
            expect.map(|(path, values)| (path, values.to_owned())),
            "{method} {path}"
        );
    }

    #[test]
    fn the_most_specific_route_wins() {
        check("GET", "/u", Some(("/u", "")));
        check("GET", "/u/7", Some(("/u/{id}", "7")));
        check("GET", "/u/me", Some(("/u/me", "")));
        check("GET", "/u/7/logo", Some(("/u/{id}/logo", "7")));
        check("GET", "/u/7/other", Some(("/{proxy+}", "u/7/other")));
        check("POST", "/u", Some(("/{proxy+}", "u")));
        check("GET", "/", None);
    }
}
