//! The random numbers and the times of an environment.

use super::clock::{Clock, Waiting};
use super::random::Random;
use super::schedule::{Phase, Schedule};
use super::world::{InvocationId, Shared};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The invocation of an environment, with the environment's own random numbers and times.
///
/// Another thread reads the event, in a time that the schedule does not control. Environments never act in the same millisecond
/// and do not share random numbers, so the seed alone determines the order of their effects on each other.
#[derive(Clone)]
pub(crate) struct Current {
    id: Arc<AtomicUsize>,
    random: Arc<Mutex<Random>>,
    began: Instant,
    slot: u64,
    pub(crate) waiting: Waiting,
}

const SLOTS: u64 = 8;

impl Current {
    pub(crate) fn new(world: &Shared, clock: &Clock, slot: u64) -> Self {
        assert!(slot < SLOTS);
        let mut world = world.lock();
        let random = Arc::new(Mutex::new(Random::new(world.random.next())));
        let waiting = Waiting::new(clock.clone());
        Self { id: Arc::default(), random, began: world.began, slot, waiting }
    }

    pub(crate) fn set(&self, id: InvocationId) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> InvocationId {
        self.id.load(Ordering::Relaxed)
    }

    /// For concurrent parts, because `join!` polls in an arbitrary order.
    pub(crate) fn with_own_chance(&self) -> Self {
        let random = Arc::new(Mutex::new(Random::new(self.random().next())));
        Self { random, ..self.clone() }
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap()
    }

    /// Draws a current fault, if there is one.
    pub(crate) fn draw<F: Copy>(
        &self,
        world: &Shared,
        phases: impl Fn(&Schedule) -> &[Phase<F>],
    ) -> Option<F> {
        let world = world.lock();
        Phase::draw(phases(&world.schedule), world.now(), &mut self.random())
    }

    /// Waits up to this time, until a millisecond that belongs to the environment.
    pub(crate) async fn wait(&self, most: Duration) {
        let wanted = self.began.elapsed() + self.random().time(most);
        let millis = u64::try_from(wanted.as_millis()).unwrap() + 1;
        let rounds = millis.saturating_sub(self.slot).div_ceil(SLOTS);
        sleep_until(self.began + Duration::from_millis(rounds * SLOTS + self.slot)).await;
    }
}
