//! Advances the paused clock while the reader of an event waits for the forwarder.
//!
//! A separate thread reads events, and tokio's paused clock stands still while such a thread runs. So reading takes no time,
//! whatever the machine does. But if an event has more than two batches, the third waits for the delivery of the first, which
//! takes time. So the clock advances in steps as soon as all invocations wait for the world outside, and none for its reader. A
//! step is a millisecond, the resolution of tokio's timers, so a step and an automatic advance have the same effect.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<Shared>);

#[derive(Default)]
struct Shared {
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
