//! The tests' control over telemetry, and their view of it.

use std::sync::{Arc, Mutex, Weak};

use super::Category;
use super::Generated;
use super::Telemetry;
use crate::lock;
use crate::service::Recent;

/// How many of Lambda's own events are remembered for each function.
const MAX_GENERATED: usize = 20_000;

/// Interferes with the telemetry of one function: all its environments, those to come included.
#[derive(Debug, Clone)]
pub struct TelemetryControl(pub(crate) Arc<Controls>);

#[derive(Debug)]
pub(crate) struct Controls {
    rules: Mutex<Rules>,
    environments: Mutex<Vec<Weak<Telemetry>>>,
    generated: Mutex<Recent<String>>,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            environments: Mutex::default(),
            generated: Mutex::new(Recent::of(MAX_GENERATED)),
        }
    }
}

#[derive(Debug, Default)]
struct Rules {
    injected: Vec<Generated>,
    subscription_answer: Option<u16>,
}

impl TelemetryControl {
    /// Sends every subscriber of every environment, present or to come, this event as it is. It need be neither of a known
    /// type nor valid.
    pub fn inject(&self, event: impl Into<String>) {
        lock(&self.0.rules).injected.push(Generated::injected(event.into()));
        for telemetry in self.0.environments() {
            telemetry.take_injected();
        }
    }

    /// Answers subscriptions with this status and drops them: 202 and 404 are the answers of local emulators, 500 of
    /// a platform in trouble. `None` answers as Lambda does.
    pub fn answer_subscriptions(&self, status: Option<u16>) {
        lock(&self.0.rules).subscription_answer = status;
    }
}

impl Controls {
    pub(super) fn join(&self, telemetry: &Arc<Telemetry>) {
        let mut environments = lock(&self.environments);
        environments.retain(|known| known.strong_count() > 0);
        environments.push(Arc::downgrade(telemetry));
    }

    /// The environments, taken out of the lock, so that theirs can be taken.
    fn environments(&self) -> Vec<Arc<Telemetry>> {
        lock(&self.environments).iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn record(&self, event: &Generated) {
        if event.category == Category::Platform {
            lock(&self.generated).push(event.text().to_owned(), event.bytes());
        }
    }

    pub(crate) fn generated(&self) -> Vec<String> {
        lock(&self.generated).to_vec()
    }

    pub(super) fn injected_since(&self, known: usize) -> (Vec<Generated>, usize) {
        let rules = lock(&self.rules);
        let events = rules.injected.get(known..).unwrap_or_default().to_vec();
        (events, rules.injected.len())
    }

    pub(super) fn injected_before(&self, known: usize) -> Vec<Generated> {
        lock(&self.rules).injected.get(..known).unwrap_or_default().to_vec()
    }

    pub(crate) fn subscription_answer(&self) -> Option<u16> {
        lock(&self.rules).subscription_answer
    }
}
