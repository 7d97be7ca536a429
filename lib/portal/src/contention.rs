//! Losing to somebody who is at the same rows at the same moment.

use std::time::Duration;

use bitflow_store::transaction::{CommitError, Transaction};

use crate::error::{self, PortalError};

/// How long to stay away from rows that another transaction is at, milliseconds: it takes about as
/// long, and those who lost together shall not come back together.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// What to do about a commit that failed: nothing, where it lost to another and what was decided is
/// to be loaded and decided again. Whoever was in the way is given the time to finish.
pub(crate) async fn lost(operation: &'static str, error: CommitError) -> Result<(), PortalError> {
    match error {
        // It is over: what is stored is another already.
        CommitError::Conflict { .. } => Ok(()),
        CommitError::Contended => {
            pause().await;
            Ok(())
        }
        error => Err(error::commit(operation)(error)),
    }
}

/// How often a transaction is sent whose rows others are at.
const SENDS: usize = 50;

/// What came of a commit that nobody else's changes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is stored.
    Done,
    /// It is not: what is stored of this entity is another already.
    Lost(&'static str),
}

/// Commits what would be decided the same however often it is decided: for some seconds it is sent
/// again while others are at its rows.
pub(crate) async fn commit(
    operation: &'static str,
    transaction: impl Fn() -> Transaction,
) -> Result<Committed, PortalError> {
    for _ in 1..SENDS {
        match transaction().commit().await {
            Ok(()) => return Ok(Committed::Done),
            Err(CommitError::Conflict { entity }) => return Ok(Committed::Lost(entity)),
            Err(error) => lost(operation, error).await?,
        }
    }
    Err(PortalError::Contended { operation })
}

async fn pause() {
    let pause = Duration::from_millis(rand::random_range(PAUSE_MS));
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// How long it took to be told to try again.
    async fn waited(error: CommitError) -> Result<u64, PortalError> {
        let began = Instant::now();
        lost("test", error).await?;
        Ok(u64::try_from(began.elapsed().as_millis()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_way_is_given_time() {
        let mut pauses = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let pause = waited(CommitError::Contended).await.unwrap();
            // The clock of tests counts whole milliseconds.
            assert!((20..=61).contains(&pause), "{pause} ms");
            pauses.insert(pause);
        }
        assert!(pauses.len() > 1, "all come back together");
        let conflict = CommitError::Conflict { entity: "alert" };
        assert_eq!(waited(conflict).await.unwrap(), 0);
        assert!(waited(CommitError::AlreadyHandled).await.is_err());
    }
}
