//! Decides when an invocation's telemetry is written after its response, and when Lambda may end the invocation.
//!
//! Two sides report each invocation, in any order: Lambda with the event INVOKE, and the handler at its start and end. Lambda
//! keeps the environment awake until the extension asks for the next event. So telemetry left to the extension is written while
//! the environment is awake. An invocation without one of our handlers is kept only briefly.

use std::time::{Duration, Instant};

/// Time to wait for a handler, which never starts if it cannot parse the event or is not wrapped. Telemetry of a handler that
/// starts later is written before its response.
const PATIENCE: Duration = Duration::from_millis(100);
/// Handlers may end before their event is read here, but never more of them than run concurrently.
const MOST_AHEAD: usize = 64;

/// An invocation whose handler has ended, with unwritten telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) request_id: String,
    /// Its number among the running ones.
    pub(crate) number: u64,
}

/// The next step of the extension's thread.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Vec<Completed>),
    /// Ask for the next event, which ends the invocation.
    Ask,
    /// Wait for a report, or for this long.
    Wait(Option<Duration>),
}

/// The reports of both sides.
#[derive(Debug, Default)]
pub(super) struct Invocations {
    /// `true` if Lambda reports invocations and waits for the extension.
    has_events: bool,
    /// `true` if the thread runs and the API answers.
    pub(super) is_listening: bool,
    /// The invocation that Lambda keeps awake.
    kept: Option<Kept>,
    begun: Vec<String>,
    completed: Vec<Completed>,
    /// Ended handlers whose event has not arrived.
    ahead: Vec<String>,
    /// The invocation released because no handler had started.
    given_up: Option<String>,
}

#[derive(Debug)]
struct Kept {
    request_id: String,
    since: Instant,
    /// `true` if it needs no further wait.
    is_over: bool,
}

impl Invocations {
    pub(super) fn new(has_events: bool) -> Self {
        Self { has_events, ..Self::default() }
    }

    pub(super) fn begin(&mut self, request_id: &str) {
        self.begun.push(request_id.to_owned());
    }

    /// A handler has ended. Its telemetry is left to the extension; `false` if the environment may freeze before the extension
    /// writes it.
    pub(super) fn complete(&mut self, completed: Completed) -> bool {
        let id = completed.request_id.as_str();
        if let Some(at) = self.begun.iter().position(|begun| begun == id) {
            self.begun.swap_remove(at);
        }
        if !self.is_listening || self.given_up.as_deref() == Some(id) {
            return false;
        }
        match &mut self.kept {
            Some(kept) if kept.request_id == id => kept.is_over = true,
            _ if self.has_events => {
                if self.ahead.len() == MOST_AHEAD {
                    self.ahead.remove(0);
                }
                self.ahead.push(id.to_owned());
            }
            _ => {}
        }
        self.completed.push(completed);
        true
    }

    /// Everything is written of an invocation without one of our handlers.
    pub(super) fn release(&mut self) {
        if let Some(kept) = &mut self.kept
            && !self.begun.contains(&kept.request_id)
        {
            kept.is_over = true;
        }
    }

    /// Lambda reports an invocation, and waits.
    pub(super) fn invoked(&mut self, request_id: String, now: Instant) {
        let ahead = self.ahead.iter().position(|ahead| *ahead == request_id);
        if let Some(at) = ahead {
            self.ahead.swap_remove(at);
        }
        self.given_up = None;
        self.kept = Some(Kept { request_id, since: now, is_over: ahead.is_some() });
    }

    /// The API stopped answering.
    pub(super) fn lose_events(&mut self) {
        self.is_listening = false;
        self.kept = None;
        self.ahead.clear();
    }

    pub(super) fn step(&mut self, now: Instant) -> Step {
        if !self.completed.is_empty() {
            return Step::Write(std::mem::take(&mut self.completed));
        }
        let Some(kept) = &self.kept else { return Step::Wait(None) };
        if !kept.is_over {
            if self.begun.contains(&kept.request_id) {
                return Step::Wait(None);
            }
            let left = PATIENCE.saturating_sub(now.saturating_duration_since(kept.since));
            if !left.is_zero() {
                return Step::Wait(Some(left));
            }
            self.given_up = Some(kept.request_id.clone());
        }
        self.kept = None;
        Step::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(request_id: &str) -> Completed {
        Completed { request_id: request_id.to_owned(), number: 1 }
    }

    fn listening(has_events: bool) -> Invocations {
        Invocations { is_listening: true, ..Invocations::new(has_events) }
    }

    #[test]
    fn a_handler_may_end_before_its_event_arrives() {
        let (mut invocations, now) = (listening(true), Instant::now());
        invocations.begin("r-1");
        assert!(invocations.complete(completed("r-1")));
        assert_eq!(invocations.step(now), Step::Write(vec![completed("r-1")]));
        assert_eq!(invocations.step(now), Step::Wait(None));
        invocations.invoked("r-1".to_owned(), now);
        assert_eq!(invocations.step(now), Step::Ask);
        // A repeated attempt of the request waits for its own handler.
        invocations.invoked("r-1".to_owned(), now);
        invocations.begin("r-1");
        assert_eq!(invocations.step(now), Step::Wait(None));
    }

    #[test]
    fn an_invocation_without_a_handler_is_released_after_a_timeout() {
        let (mut invocations, now) = (listening(true), Instant::now());
        invocations.invoked("r-1".to_owned(), now);
        assert_eq!(invocations.step(now), Step::Wait(Some(PATIENCE)));
        assert_eq!(invocations.step(now + PATIENCE), Step::Ask);
        // Its handler started late: its telemetry is written before the response, because nothing waits any more.
        invocations.begin("r-1");
        assert!(!invocations.complete(completed("r-1")));
        invocations.invoked("r-2".to_owned(), now);
        invocations.begin("r-2");
        assert!(invocations.complete(completed("r-2")));
    }

    #[test]
    fn an_unwrapped_handler_releases_its_invocation_immediately() {
        let (mut invocations, now) = (listening(true), Instant::now());
        invocations.invoked("r-1".to_owned(), now);
        invocations.release();
        assert_eq!(invocations.step(now), Step::Ask);
        invocations.invoked("r-2".to_owned(), now);
        invocations.begin("r-2");
        invocations.release();
        assert_eq!(invocations.step(now), Step::Wait(None), "it is another's");
    }
}
