//! The present invocation of an environment, with the environment's own random numbers.

use super::schedule::{Fault, Random};
use super::world::{InvocationId, Shared};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::sleep;

#[derive(Clone)]
pub(crate) struct Current {
    id: Arc<AtomicUsize>,
    random: Arc<Mutex<Random>>,
}

impl Current {
    pub(crate) fn new(world: &Shared) -> Self {
        let random = Arc::new(Mutex::new(Random::new(world.lock().random.next())));
        Self { id: Arc::default(), random }
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
    pub(crate) fn draw<F>(&self, world: &Shared, of: impl Fn(&Fault) -> Option<F>) -> Option<F> {
        let world = world.lock();
        world.schedule.draw(world.now(), &mut self.random(), of)
    }

    /// Waits up to this time.
    pub(crate) async fn wait(&self, most: Duration) {
        let time = self.random().time(most);
        sleep(time).await;
    }
}
