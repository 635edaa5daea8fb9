//! What is an environment's own: its chance, and the milliseconds at which it acts.

use super::clock::{Clock, Waiting};
use super::random::Random;
use super::schedule::{Phase, Schedule};
use super::world::{InvocationId, Shared};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The invocation that an environment runs, and the environment's own chance and time.
///
/// Reading an event takes another thread, and how long that takes is not for the schedule to say. Environments never act
/// in the same millisecond, and none draws from another's chance: so the order of all that they do to each other comes
/// from the seed alone.
#[derive(Clone)]
pub(crate) struct Current {
    id: Arc<AtomicUsize>,
    random: Arc<Mutex<Random>>,
    began: Instant,
    slot: u64,
    pub(crate) waiting: Waiting,
}

/// Most environments of a schedule.
const SLOTS: u64 = 8;

impl Current {
    /// Of the environment of this number.
    pub(crate) fn new(world: &Shared, clock: &Clock, slot: u64) -> Self {
        assert!(slot < SLOTS);
        let mut world = world.lock();
        let random = Arc::new(Mutex::new(Random::new(world.random.next())));
        let waiting = Waiting::new(clock.clone());
        Self { id: Arc::default(), random, began: world.began, slot, waiting }
    }

    /// The invocation begins.
    pub(crate) fn set(&self, id: InvocationId) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> InvocationId {
        self.id.load(Ordering::Relaxed)
    }

    /// For what goes on beside the rest: `join!` polls in an order that no seed decides.
    pub(crate) fn with_own_chance(&self) -> Self {
        let random = Arc::new(Mutex::new(Random::new(self.random().next())));
        Self { random, ..self.clone() }
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap()
    }

    /// What goes wrong now, if anything does.
    pub(crate) fn draw<F: Copy>(
        &self,
        world: &Shared,
        phases: impl Fn(&Schedule) -> &[Phase<F>],
    ) -> Option<F> {
        let world = world.lock();
        Phase::draw(phases(&world.schedule), world.now(), &mut self.random())
    }

    /// Waits up to so long, to a millisecond that is the environment's own.
    pub(crate) async fn wait(&self, most: Duration) {
        let wanted = self.began.elapsed() + self.random().time(most);
        let millis = u64::try_from(wanted.as_millis()).unwrap() + 1;
        let rounds = millis.saturating_sub(self.slot).div_ceil(SLOTS);
        sleep_until(self.began + Duration::from_millis(rounds * SLOTS + self.slot)).await;
    }
}
