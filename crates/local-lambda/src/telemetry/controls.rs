//! The tests' control over telemetry, and their view of it.

use std::sync::{Arc, Mutex};

use super::Category;
use super::Generated;
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
    generated: Mutex<Recent<String>>,
}

impl Default for Controls {
    fn default() -> Self {
        Self { rules: Mutex::default(), generated: Mutex::new(Recent::of(MAX_GENERATED)) }
    }
}

#[derive(Debug, Default)]
struct Rules {
    injected: Vec<String>,
    subscription_answer: Option<u16>,
}

impl TelemetryControl {
    /// Sends each later subscriber this event as it is. It need be neither of a known type nor valid.
    pub fn inject(&self, event: impl Into<String>) {
        lock(&self.0.rules).injected.push(event.into());
    }

    /// Answers subscriptions with this status and drops them: 202 and 404 are the answers of local emulators, 500 of
    /// a platform in trouble. `None` answers as Lambda does.
    pub fn answer_subscriptions(&self, status: Option<u16>) {
        lock(&self.0.rules).subscription_answer = status;
    }
}

impl Controls {
    pub(super) fn record(&self, event: &Generated) {
        if event.category == Category::Platform {
            lock(&self.generated).push(event.json.clone(), event.json.len());
        }
    }

    pub(crate) fn generated(&self) -> Vec<String> {
        lock(&self.generated).to_vec()
    }

    pub(super) fn injected(&self) -> Vec<String> {
        lock(&self.rules).injected.clone()
    }

    pub(crate) fn subscription_answer(&self) -> Option<u16> {
        lock(&self.rules).subscription_answer
    }
}
