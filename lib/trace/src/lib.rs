//! The X-Ray trace that a piece of work belongs to.
//!
//! Whoever begins a piece of work (the runtime: of a request, of a message) says once to which trace
//! it belongs; whatever is written on its behalf (a row of the outbox, a message to a queue) finds it
//! here. It is not an argument, since it decides nothing: without it all happens as with it.

use std::fmt;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace, and the step of it that what comes next follows from: the value of the header
/// `X-Amzn-Trace-Id`.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    root: String,
    parent: Option<String>,
    sampled: Option<bool>,
}

impl Trace {
    /// Reads a header. Clients may write what they like there: only what is a trace's is taken, and
    /// nothing where there is none.
    pub fn parse(header: &str) -> Option<Self> {
        let (mut root, mut parent, mut sampled) = (None, None, None);
        for part in header.split(';') {
            match part.trim().split_once('=') {
                Some(("Root", id)) if is_root(id) => root = Some(id.to_owned()),
                Some(("Parent", id)) if is_hex(id, 16) => parent = Some(id.to_owned()),
                Some(("Sampled", "1")) => sampled = Some(true),
                Some(("Sampled", "0")) => sampled = Some(false),
                _ => {}
            }
        }
        Some(Self {
            root: root?,
            parent,
            sampled,
        })
    }

    /// Its id, the same in every step.
    pub fn root(&self) -> &str {
        &self.root
    }
}

impl fmt::Display for Trace {
    /// The header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root={}", self.root)?;
        if let Some(parent) = &self.parent {
            write!(f, ";Parent={parent}")?;
        }
        match self.sampled {
            Some(sampled) => write!(f, ";Sampled={}", u8::from(sampled)),
            None => Ok(()),
        }
    }
}

/// Does `work` as part of `trace`; of none, as part of what it is in already.
pub async fn within<F: Future>(trace: Option<Trace>, work: F) -> F::Output {
    match trace {
        Some(trace) => CURRENT.scope(trace, work).await,
        None => work.await,
    }
}

/// The trace that this is part of.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Trace::clone).ok()
}

/// `1-`, the second it began as 8 hexadecimal digits, `-`, and 24 more.
fn is_root(id: &str) -> bool {
    let mut parts = id.split('-');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    matches!(parts, [Some("1"), Some(time), Some(rest), None] if is_hex(time, 8) && is_hex(rest, 24))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

    fn check(header: &str, expect: Option<&str>) {
        let read = Trace::parse(header).map(|trace| trace.to_string());
        assert_eq!(read.as_deref(), expect, "{header}");
    }

    #[test]
    fn only_what_is_a_traces_is_taken() {
        let root = format!("Root={ROOT}");
        let whole = format!("{root};Parent=53995c3f42cd8ad8;Sampled=1");
        check(&root, Some(&root));
        check(&whole, Some(&whole));
        check(
            &format!("Self=1-1-1;{whole};Lineage=1:a87bd80c:0;Who=somebody"),
            Some(&whole),
        );
        check(
            &format!("Sampled=0; {root}"),
            Some(&format!("{root};Sampled=0")),
        );
        check(&format!("{root};Parent=me;Sampled=?"), Some(&root));
        for none in [
            "",
            "Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793-1",
            "Root=1-5759e98x-bd862e3fe1be46a994272793",
        ] {
            check(none, None);
        }
    }

    #[tokio::test]
    async fn work_is_part_of_the_nearest_trace() {
        let trace = |header: &str| Trace::parse(header);
        let outer = trace(&format!("Root={ROOT}"));
        let inner = trace(&format!("Root={ROOT};Sampled=1"));
        assert_eq!(current(), None);
        within(outer.clone(), async {
            within(inner.clone(), async { assert_eq!(current(), inner) }).await;
            within(None, async { assert_eq!(current(), outer) }).await;
            assert_eq!(current(), outer);
        })
        .await;
        assert_eq!(current(), None);
    }
}
