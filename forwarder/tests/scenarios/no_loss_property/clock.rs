//! Advances the paused clock while the reader of an event waits for the forwarder.
//!
//! A separate thread reads events, and tokio's paused clock stands still while such a thread runs. So reading takes no time,
//! whatever the machine does. But if an event has more than two batches, the third waits for the delivery of the first, which
//! takes time. So the clock advances in steps as soon as all invocations wait for the world outside, and none for its reader. A
//! step is a millisecond, the resolution of tokio's timers, so a step and an automatic advance have the same effect.

use super::schedule::{Phase, Random, Schedule};
use super::world::{InvocationId, Shared};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<ClockState>);

#[derive(Default)]
struct ClockState {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Invocations that do not wait for the world outside.
    inside: usize,
    /// Invocations that wait for it, and whose reader may wait for them.
    blocking: usize,
    /// `true` if a reader had to wait.
    stepped: bool,
}

impl Clock {
    /// Returns `true` if the reader of an event had to wait for a delivery.
    pub(crate) fn has_stepped(&self) -> bool {
        self.0.state.lock().unwrap().stepped
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_one();
    }

    fn has_to_step(&self) -> bool {
        let mut state = self.0.state.lock().unwrap();
        let has_to_step = state.inside == 0 && state.blocking > 0;
        state.stepped |= has_to_step;
        has_to_step
    }

    pub(crate) async fn run(self) {
        loop {
            while self.has_to_step() {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            self.0.changed.notified().await;
        }
    }
}

/// An environment's use of the clock.
#[derive(Clone)]
pub(crate) struct Waiting {
    clock: Clock,
    state: Arc<Mutex<Invocation>>,
}

#[derive(Default)]
struct Invocation {
    /// `true` if its event has so many batches that their reader has to wait.
    blocks: bool,
    requests: usize,
}

impl Waiting {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Marks an invocation until the returned value is dropped.
    pub(crate) fn invocation(&self, blocks: bool) -> impl Drop + use<> {
        *self.state.lock().unwrap() = Invocation { blocks, requests: 0 };
        self.clock.change(|clock| clock.inside += 1);
        let clock = self.clock.clone();
        OnDrop(move || clock.change(|clock| clock.inside -= 1))
    }

    /// Marks a request to the world outside until the returned value is dropped.
    pub(crate) fn request(&self) -> impl Drop + Send + use<> {
        self.count(|requests| *requests += 1);
        let own = self.clone();
        OnDrop(move || own.count(|requests| *requests -= 1))
    }

    fn count(&self, change: impl FnOnce(&mut usize)) {
        let mut invocation = self.state.lock().unwrap();
        let was_inside = invocation.requests == 0;
        change(&mut invocation.requests);
        let is_inside = invocation.requests == 0;
        let blocks = usize::from(invocation.blocks);
        self.clock.change(|clock| match (was_inside, is_inside) {
            (true, false) => {
                clock.inside -= 1;
                clock.blocking += blocks;
            }
            (false, true) => {
                clock.inside += 1;
                clock.blocking -= blocks;
            }
            _ => {}
        });
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

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
