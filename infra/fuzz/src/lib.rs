//! What must hold of everything that reads bytes from outside, whatever the bytes.
//!
//! [`TARGETS`] are functions that take any bytes and panic where something does not hold: that they
//! do not panic otherwise, and more, said at each. They are driven in two ways:
//!
//! - `tests/mutations.rs`, an ordinary test: over the [`seeds`] and a fixed number of mutations
//! - `libfuzzer/`, a workspace of its own: by cargo-fuzz, on nightly, for as long as one likes

mod functions;
pub mod http;
pub mod seeds;
pub mod signed;
pub mod stored;

/// Takes any bytes, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// The secret of everything that has one here.
const SECRET: &str = "secret_of_the_fuzzer";

/// Every target by its name; a file of that name in `libfuzzer/fuzz_targets` runs it.
pub const TARGETS: [(&str, Target); 13] = [
    ("stripe_webhook", signed::stripe_webhook),
    ("portal_signature", signed::portal_signature),
    ("gateway_event", http::gateway_event),
    ("headers", http::headers),
    ("query", http::query),
    ("cursor", http::cursor),
    ("broadcasting", http::broadcasting),
    ("picture", stored::picture),
    ("queue_event", stored::queue_event),
    ("queue_message", stored::queue_message),
    ("stream_event", stored::stream_event),
    ("envelope", stored::envelope),
    ("dead_letter", stored::dead_letter),
];

/// The first line, without its end, and what comes after.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    (line, parts.next().unwrap_or_default())
}
