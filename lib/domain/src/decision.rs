//! What a rule decided about news that may be late or repeated.

/// Either the new state, or the reason why the news changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// The news is new: this is what to store.
    Apply(T),
    /// The news is recorded as handled and changes nothing.
    Ignore(Ignored),
    /// Two reports carry the same second: only the source can tell which is newer.
    AskSource,
}

/// Why news changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// What it tells is stored already.
    AlreadyApplied,
    /// Something newer is stored.
    Stale,
    /// The stored state is final.
    Final,
}

impl Ignored {
    /// A word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyApplied => "already_applied",
            Self::Stale => "stale",
            Self::Final => "final",
        }
    }
}
