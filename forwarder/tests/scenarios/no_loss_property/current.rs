//! The present invocation of an environment, with the environment's own random numbers.

use super::cloud::{Cloud, InvocationId, Shared};
use super::schedule::{Fault, Random};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::sleep;

#[derive(Clone)]
pub(crate) struct Current {
    cloud: Shared,
    id: Arc<AtomicUsize>,
    random: Arc<Mutex<Random>>,
}

impl Current {
    pub(crate) fn new(cloud: &Shared) -> Self {
        let random = Arc::new(Mutex::new(Random::new(cloud.lock().random.next())));
        Self { cloud: cloud.clone(), id: Arc::default(), random }
    }

    pub(crate) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock()
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
    pub(crate) fn draw<F>(&self, of: impl Fn(&Fault) -> Option<F>) -> Option<F> {
        let cloud = self.cloud();
        cloud.schedule.draw(cloud.now(), &mut self.random(), of)
    }

    /// Waits up to this time.
    pub(crate) async fn wait(&self, most: Duration) {
        let time = self.random().time(most);
        sleep(time).await;
    }
}
