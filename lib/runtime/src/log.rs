//! One JSON object a line, as Lambda's advanced logging controls read it.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::{clock, outcome};

/// Sets up logging for this process; once.
pub(crate) fn init() {
    #[expect(
        clippy::disallowed_methods,
        reason = "needed before any configuration is read"
    )]
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    // The SDK and the HTTP stack may log what they send, hence never below `warn`. Not `EnvFilter`:
    // its regular expressions are a tenth of a package.
    let filter = Targets::new()
        .with_default(Level::WARN)
        .with_target("bitflow", level);
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(Lines);
    let built = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    debug_assert!(built.is_ok(), "logging is set up once");
}

/// A line as it is written: what it says, whose it is (the fields of the spans around it, and the
/// trace), all on one level, so that a query names each field by its name.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    message: Value,
    #[serde(flatten)]
    fields: Map<String, Value>,
    target: &'a str,
}

/// Writes lines.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut said = Fields::default();
        event.record(&mut said);
        let said = if metadata.target() == outcome::PART {
            // Nothing is written of what is kept for the line.
            let Some(said) = outcome::keep(*metadata.level(), said.0) else {
                return Ok(());
            };
            said
        } else {
            said.0
        };
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<N>>();
            let formatted = formatted.and_then(|it| serde_json::from_str(it).ok());
            let formatted: Map<String, Value> = formatted.unwrap_or_default();
            for (name, value) in formatted {
                fields.entry(name).or_insert(value);
            }
        }
        let mut own = None;
        if metadata.target() == outcome::LINE {
            let mut parts = outcome::parts();
            own = parts.remove("message");
            fields.extend(parts);
        }
        // What failed reads as a failure, whatever was said before.
        let failed = said.contains_key("error");
        fields.extend(said);
        let message = fields.remove("message").unwrap_or_default();
        if let Some(trace) = bitflow_trace::current() {
            let root = trace.root().into();
            fields.entry("xray_trace_id").or_insert(root);
        }
        let line = Line {
            timestamp: clock::now().to_string(),
            level: metadata.level().as_str(),
            message: own.filter(|_| !failed).unwrap_or(message),
            fields,
            target: metadata.target().split("::").next().unwrap_or_default(),
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
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
