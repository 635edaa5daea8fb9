//! Decides when an invocation's telemetry is written after its response, and when Lambda may end the invocation.
//!
//! Two sides report each invocation, in any order: Lambda with the event INVOKE, and the handler at its start and end. Lambda
//! keeps the environment awake until the extension asks for the next event. So telemetry left to the extension is written while
//! the environment is awake. An invocation without one of our handlers is kept only briefly.

use crate::invocations::InvocationNumber;
use std::time::Duration;

/// Time to wait for a handler, which never starts if it cannot parse the event or is not wrapped. Telemetry of a handler that
/// starts later is written before its response.
const PATIENCE: Duration = Duration::from_millis(100);

/// An invocation whose handler has ended, with unwritten telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) request_id: String,
    /// Its number among the running ones.
    pub(crate) number: InvocationNumber,
}

/// The wait for a report about the kept invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// A handler runs.
    Unlimited,
    /// No handler has started yet.
    AtMost(Duration),
    /// The invocation needs no further wait.
    Over,
}

#[derive(Debug, Default)]
pub(super) struct KeptInvocations {
    /// `true` if the API does not answer.
    pub(super) is_silent: bool,
    /// The request ids of the running handlers.
    begun: Vec<String>,
    completed: Vec<Completed>,
    /// `true` if the kept invocation waits for no handler that has not started.
    is_released: bool,
    /// The invocation that is no longer kept. Handlers of it that end later write themselves.
    given_up: Option<String>,
}

impl KeptInvocations {
    /// Notes that a handler has started.
    pub(super) fn begin(&mut self, request_id: &str) {
        self.begun.push(request_id.to_owned());
    }

    /// Notes that a handler has ended. Returns `true` if its telemetry is left to the extension, and `false` if the environment may
    /// freeze before the extension writes it.
    pub(super) fn complete(&mut self, completed: Completed) -> bool {
        let id = completed.request_id.as_str();
        if let Some(at) = self.begun.iter().position(|begun| begun == id) {
            self.begun.swap_remove(at);
        }
        let is_left = !self.is_silent && self.given_up.as_deref() != Some(id);
        if is_left {
            self.completed.push(completed);
        }
        is_left
    }

    /// Notes that the telemetry of an invocation without one of our handlers is written.
    pub(super) fn release(&mut self) {
        self.is_released = true;
    }

    /// Notes that Lambda keeps another invocation awake.
    pub(super) fn begin_keeping(&mut self) {
        self.is_released = false;
        self.given_up = None;
    }

    /// Returns the wait for the next report about the invocation that Lambda keeps awake, after a wait of this duration.
    pub(super) fn wait_for(&self, request_id: &str, waited: Duration) -> Wait {
        if self.begun.iter().any(|begun| begun == request_id) {
            return Wait::Unlimited;
        }
        let has_ended = self.completed.iter().any(|completed| completed.request_id == request_id);
        let left = PATIENCE.saturating_sub(waited);
        if has_ended || self.is_released || left.is_zero() {
            Wait::Over
        } else {
            Wait::AtMost(left)
        }
    }

    /// Notes that the invocation is no longer kept.
    pub(super) fn give_up(&mut self, request_id: &str) {
        self.given_up = Some(request_id.to_owned());
    }

    pub(super) fn take_completed(&mut self) -> Vec<Completed> {
        std::mem::take(&mut self.completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(request_id: &str) -> Completed {
        Completed { request_id: request_id.to_owned(), number: InvocationNumber::FIRST }
    }

    #[test]
    fn a_handler_may_end_before_its_event_arrives() {
        let mut invocations = KeptInvocations::default();
        invocations.begin("r-1");
        assert!(invocations.complete(completed("r-1")));
        invocations.begin_keeping();
        assert_eq!(invocations.wait_for("r-1", Duration::ZERO), Wait::Over);
        invocations.give_up("r-1");
        assert_eq!(invocations.take_completed(), [completed("r-1")]);
        // A second handler of the invocation writes itself.
        invocations.begin("r-1");
        assert!(!invocations.complete(completed("r-1")));
        // A repeated attempt of the request waits for its own handler.
        invocations.begin_keeping();
        invocations.begin("r-1");
        assert_eq!(invocations.wait_for("r-1", PATIENCE), Wait::Unlimited);
    }

    #[test]
    fn an_invocation_is_kept_until_the_outer_handler_ends() {
        let mut invocations = KeptInvocations::default();
        invocations.begin_keeping();
        invocations.begin("r-1");
        invocations.begin("r-1");
        assert!(invocations.complete(completed("r-1")));
        assert_eq!(invocations.wait_for("r-1", PATIENCE), Wait::Unlimited);
        assert!(invocations.complete(completed("r-1")));
        assert_eq!(invocations.wait_for("r-1", PATIENCE), Wait::Over);
        assert_eq!(invocations.take_completed().len(), 2);
    }

    #[test]
    fn an_invocation_without_a_handler_is_released_after_a_timeout() {
        let mut invocations = KeptInvocations::default();
        invocations.begin_keeping();
        assert_eq!(invocations.wait_for("r-1", Duration::ZERO), Wait::AtMost(PATIENCE));
        assert_eq!(invocations.wait_for("r-1", PATIENCE), Wait::Over);
        invocations.give_up("r-1");
        // Its handler started late: its telemetry is written before the response, because nothing waits any more.
        invocations.begin("r-1");
        assert!(!invocations.complete(completed("r-1")));
        invocations.begin_keeping();
        invocations.begin("r-2");
        assert!(invocations.complete(completed("r-2")));
        invocations.is_silent = true;
        assert!(!invocations.complete(completed("r-3")), "the API does not answer");
    }

    #[test]
    fn an_unwrapped_handler_releases_its_invocation_immediately() {
        let mut invocations = KeptInvocations::default();
        invocations.begin_keeping();
        invocations.release();
        assert_eq!(invocations.wait_for("r-1", Duration::ZERO), Wait::Over);
        invocations.begin_keeping();
        assert_eq!(invocations.wait_for("r-2", Duration::ZERO), Wait::AtMost(PATIENCE));
        invocations.begin("r-2");
        invocations.release();
        assert_eq!(invocations.wait_for("r-2", Duration::ZERO), Wait::Unlimited, "it is another's");
    }
}
