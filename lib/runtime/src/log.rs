//! One JSON object a line, as Lambda's advanced logging controls read it.

use std::error::Error;
use std::fmt::Write;

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

/// An error and everything it follows from, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}
