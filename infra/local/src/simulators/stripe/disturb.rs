//! Disturbed deliveries: events that come twice, or after later ones. Both happen with Stripe
//! (<https://docs.stripe.com/webhooks#event-ordering>); here a seed says to which events.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use tokio::sync::Notify;

/// How much is disturbed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Disturbance {
    pub(super) seed: u64,
    pub(super) duplicate_percent: u8,
    pub(super) reorder_percent: u8,
}

/// Decides, event by event.
#[derive(Debug)]
pub(super) struct Disturber {
    rng: StdRng,
    how: Disturbance,
    kept: Vec<Kept>,
}

/// An event that is kept back.
#[derive(Debug)]
struct Kept {
    /// How many more events go first.
    left: u8,
    overtakers: Arc<Mutex<BTreeSet<String>>>,
    go: Arc<Notify>,
}

/// What happens to an event.
#[derive(Debug)]
pub(super) struct Fate {
    /// It is delivered again after the first success.
    pub(super) twice: bool,
    /// It waits for others.
    pub(super) behind: Option<Behind>,
}

/// Waits until an event may go: signalled by `go`, and then until none of the overtakers is on its
/// way any more.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) overtakers: Arc<Mutex<BTreeSet<String>>>,
    pub(super) go: Arc<Notify>,
}

impl Disturber {
    pub(super) fn new(how: Disturbance) -> Self {
        Self {
            rng: StdRng::seed_from_u64(how.seed),
            how,
            kept: Vec::new(),
        }
    }

    /// Decides about the next event, `id`, and lets go those that were to wait for it.
    pub(super) fn next(&mut self, id: &str) -> Fate {
        // The same draws for every event, so that one percentage does not change the other's choice.
        let mut percent = || self.rng.random_range(0..100_u8);
        let twice = percent() < self.how.duplicate_percent;
        let late = percent() < self.how.reorder_percent;
        let places = self.rng.random_range(1..=3_u8);
        for kept in &mut self.kept {
            kept.left -= 1;
            // One that is kept back itself is not waited for: it may come much later.
            if !late {
                let mut overtakers = kept.overtakers.lock().expect("no holder panics");
                overtakers.insert(id.to_owned());
            }
        }
        self.kept.retain(|kept| {
            if kept.left == 0 {
                kept.go.notify_one();
            }
            kept.left > 0
        });
        let behind = late.then(|| {
            let behind = Behind {
                overtakers: Arc::default(),
                go: Arc::default(),
            };
            self.kept.push(Kept {
                left: places,
                overtakers: behind.overtakers.clone(),
                go: behind.go.clone(),
            });
            behind
        });
        Fate { twice, behind }
    }

    /// Lets all go that are kept back.
    pub(super) fn flush(&mut self) {
        for kept in self.kept.drain(..) {
            kept.go.notify_one();
        }
    }
}

impl Drop for Disturber {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64) -> Vec<(bool, bool)> {
        let mut disturber = Disturber::new(Disturbance {
            seed,
            duplicate_percent: 30,
            reorder_percent: 30,
        });
        let fate = |at: i32| disturber.next(&format!("evt_{at}"));
        (0..200)
            .map(fate)
            .map(|fate| (fate.twice, fate.behind.is_some()))
            .collect()
    }

    #[test]
    fn a_seed_decides() {
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let (twice, late): (Vec<_>, Vec<_>) = fates(1).into_iter().unzip();
        for chosen in [twice, late] {
            let chosen = chosen.into_iter().filter(|it| *it).count();
            assert!((30..90).contains(&chosen), "{chosen} of 200");
        }
    }
}
