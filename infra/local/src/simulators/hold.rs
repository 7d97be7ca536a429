//! A request that is held, so that a test can act while its sender waits.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// The test's end.
#[derive(Debug, Clone)]
pub struct Held {
    arrived: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            released: Arc::new(Semaphore::new(0)),
        }
    }

    /// Returns once the request is there.
    pub async fn arrived(&self) {
        if let Ok(permit) = self.arrived.acquire().await {
            permit.forget();
        }
    }

    /// The same, for a request that has taken effect and only its answer is held.
    pub async fn taken_effect(&self) {
        self.arrived().await;
    }

    /// Lets the request go on.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// Lets every request go on, those that are still to come as well.
    pub fn release_all(&self) {
        self.released.close();
    }

    /// The simulator's end: says that the request is there, and waits.
    pub(super) async fn wait(&self) {
        self.arrived.add_permits(1);
        if let Ok(permit) = self.released.acquire().await {
            permit.forget();
        }
    }
}
