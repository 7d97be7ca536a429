//! The X-Ray trace of an invocation.
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>

/// What the Runtime API says of it: that of whoever invokes, where it has one, else a new one. The
/// parent is the invocation's own step.
pub(super) fn of_invocation(upstream: Option<&str>, request_id: &str) -> String {
    let hex = request_id.replace('-', "");
    let field = |name: &str| {
        let fields = upstream.unwrap_or_default().split(';');
        let mut values = fields.filter_map(|field| field.trim().strip_prefix(name));
        values.find_map(|value| value.strip_prefix('='))
    };
    let root =
        field("Root").map_or_else(|| format!("1-{}-{}", &hex[..8], &hex[8..]), str::to_owned);
    let sampled = field("Sampled").unwrap_or("0");
    let parent = parent_of(request_id);
    format!("Root={root};Parent={parent};Sampled={sampled}")
}

/// The step that an invocation is: the parent of what it does.
pub(crate) fn parent_of(request_id: &str) -> String {
    let digits = request_id.chars().filter(|it| *it != '-');
    digits.take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

    #[test]
    fn an_invocation_goes_on_with_the_trace_of_who_invokes() {
        assert_eq!(
            of_invocation(None, ID),
            "Root=1-8476a536-e9f411e897392dfe598c3fcd;Parent=8476a536e9f411e8;Sampled=0"
        );
        let upstream = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(
            of_invocation(Some(upstream), ID),
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=8476a536e9f411e8;Sampled=1"
        );
    }
}
