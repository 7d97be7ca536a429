//! Finding the deliveries that are due: those that wait longer than a message can, and those whose
//! try nobody lived to make or to settle.

use bitflow_store::deliveries::{Deliveries, WAITING_SHARDS};
use jiff::Timestamp;

use super::deliver::TryDue;
use super::listing;
use crate::enqueue::Queue;
use crate::error::PortalError;

/// Deliveries read and sent at a time.
const PAGE: u16 = 500;

/// Asks for the tries that are due.
#[derive(Debug)]
pub struct DueTries {
    /// What is to be tried.
    pub deliveries: Deliveries,
    /// Where tries are asked for.
    pub queue: Queue,
}

impl DueTries {
    /// Sends one message for each delivery that was due before `now`; how many. One that another
    /// message has asked for already is tried once all the same.
    ///
    /// # Errors
    /// [`PortalError::Queue`]: those that were not sent stay due, and the next run finds them.
    pub async fn run(&self, now: Timestamp) -> Result<usize, PortalError> {
        let mut sent = 0;
        for shard in 0..WAITING_SHARDS {
            let mut cursor: Option<String> = None;
            loop {
                let page = self.deliveries.due(shard, now, PAGE, cursor.as_deref());
                let page = page.await.map_err(listing("find due deliveries"))?;
                sent += self
                    .queue
                    .send(page.data.into_iter().map(TryDue::from))
                    .await?;
                let Some(next) = page.next_cursor else { break };
                cursor = Some(next);
            }
        }
        Ok(sent)
    }
}
