//! A state of a machine while its history is read.

use super::super::event::FailureText;
use super::super::ids::Counts;
use super::super::operation::{Attributes, Ending, Outcome};

/// A state that was entered, or an iteration of a Map.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span_id: [u8; 8],
    pub(super) parent: Option<usize>,
    pub(super) depth: u32,
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) start_unix_nano: u64,
    /// The redrives of the execution when it began.
    pub(super) redrive: u32,
    pub(super) attempts: Vec<Attempt>,
    pub(super) ending: Option<Ending>,
    /// How it ends if nothing follows the end of the execution, which a redrive continues.
    pub(super) cut: Option<Ending>,
    pub(super) failure: Option<FailureText>,
    pub(super) attributes: Attributes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Task`, `Map`.
    State(Box<str>),
    Iteration(Option<u32>),
}

impl Kind {
    pub(super) fn is_state(&self, kind: &str) -> bool {
        matches!(self, Self::State(own) if own.as_ref() == kind)
    }

    /// Returns `true` if states may be within it.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::Iteration(_)) || self.is_state("Map") || self.is_state("Parallel")
    }
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) begun_by: u64,
    /// The position of the first node that may be within it.
    pub(super) first_node: usize,
    pub(super) counts: Counts,
    pub(super) start_unix_nano: u64,
    pub(super) ending: Option<Ending>,
}

impl Attempt {
    pub(super) fn failure(&self) -> Option<&Ending> {
        let is_failed =
            |ending: &&Ending| matches!(ending.outcome, Outcome::Failed | Outcome::TimedOut);
        self.ending.as_ref().filter(is_failed)
    }
}

impl Node {
    /// Its end, which is that of what is around it if it has none of its own.
    pub(super) fn ending_within(&self, latest_unix_nano: u64) -> Ending {
        let is_before = |cut: &&Ending| cut.unix_nano <= latest_unix_nano;
        let own = self.ending.as_ref().or(self.cut.as_ref().filter(is_before));
        let mut ending = own.cloned().unwrap_or(Ending {
            unix_nano: latest_unix_nano,
            outcome: Outcome::Aborted,
            failure: None,
        });
        if ending.outcome == Outcome::Succeeded {
            return ending;
        }
        let last = self.attempts.last().and_then(Attempt::failure);
        if let Some(Ending { outcome, failure, .. }) = last {
            ending.outcome = *outcome;
            ending.failure = failure.clone().or(ending.failure);
        } else if let Some(failure) = &self.failure {
            ending.outcome = Outcome::Failed;
            ending.failure = Some(failure.clone());
        }
        ending
    }
}
