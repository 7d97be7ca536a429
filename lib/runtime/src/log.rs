//! One JSON object a line, as Lambda's advanced logging controls read it.

use std::error::Error;
use std::fmt::Write;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up logging for this process; once.
pub(crate) fn init() {
    #[expect(
        clippy::disallowed_methods,
        reason = "needed before any configuration is read"
    )]
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    // The SDK and the HTTP stack may log what they send, hence never below `warn`.
    let filter = EnvFilter::new(format!("warn,bitflow={level}"));
    let built = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_env_filter(filter)
        .finish()
        .try_init();
    debug_assert!(built.is_ok(), "logging is set up once");
}

/// An error and everything it follows from, in one line. A log holds no bodies, hence without the
/// values that parsers quote.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = told(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {}", told(error));
        cause = error.source();
    }
    line
}

/// What an invocation carries. Lambda's own runtime would log the values that it could not read.
pub(crate) fn read<T: DeserializeOwned>(payload: Value) -> Result<T, lambda_runtime::Error> {
    serde_json::from_value(payload).map_err(|error| {
        let error = chain(&error);
        tracing::error!(target: "bitflow", error, "the invocation cannot be read");
        "the invocation cannot be read".into()
    })
}

/// An error's own text.
fn told(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    match error.downcast_ref::<serde_json::Error>() {
        Some(json) if json.is_data() && !has_known_words(&text) => format!(
            "a value does not fit at line {} column {}",
            json.line(),
            json.column()
        ),
        _ => without_value(&text),
    }
}

/// How serde begins to say what it found; after it says what it expected.
const FOUND: [&str; 4] = [
    "invalid type: ",
    "invalid value: ",
    "unknown variant `",
    "unknown field `",
];

/// Whether all of a text but a value that it quotes is serde's, and not of a type that parses itself.
fn has_known_words(text: &str) -> bool {
    let known = FOUND.iter().chain(&["missing field `"]);
    known.into_iter().any(|words| text.starts_with(words))
}

/// A text of serde's without the value that was found.
fn without_value(text: &str) -> String {
    let found = FOUND
        .iter()
        .filter_map(|words| Some((text.find(words)?, words)));
    let Some((at, words)) = found.min() else {
        return text.to_owned();
    };
    let before = &text[..at];
    let words = words.trim_end_matches([' ', ':', '`']);
    match text[at..].rsplit_once(", expected ") {
        Some((_, expected)) => format!("{before}{words}, expected {expected}"),
        None => format!("{before}{words}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Row {
        count: u8,
        kind: Option<Kind>,
        time: Option<jiff::Timestamp>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Known,
    }

    #[test]
    fn what_was_found_is_not_told() {
        for (json, expect) in [
            (
                r#"{"count":"secret, expected secret"}"#,
                "invalid type, expected u8 at line 1 column 34",
            ),
            (
                r#"{"count":4711}"#,
                "invalid value, expected u8 at line 1 column 13",
            ),
            (
                r#"{"count":1,"kind":"secret"}"#,
                "unknown variant, expected `known` at line 1 column 26",
            ),
            (
                r#"{"secret":1}"#,
                "unknown field, expected one of `count`, `kind`, `time` at line 1 column 9",
            ),
            (
                r#"{"count":1,"time":"secret"}"#,
                "a value does not fit at line 1 column 26",
            ),
            ("{}", "missing field `count` at line 1 column 2"),
            ("{\"secret", "EOF while parsing a string at line 1 column 8"),
        ] {
            let error = serde_json::from_str::<Row>(json).unwrap_err();
            assert_eq!(chain(&error), expect, "{json}");
        }
        let other = std::io::Error::other("it broke: invalid type: string \"secret\", expected u8");
        assert_eq!(chain(&other), "it broke: invalid type, expected u8");
    }
}
