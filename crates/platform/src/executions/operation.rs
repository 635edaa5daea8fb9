//! What an execution did, in one form for state machines and durable functions: the spans below the execution's own.

use crate::executions::event::FailureText;
use serde::{Deserialize, Serialize};

/// A state, an iteration of a Map, or an operation of a durable function.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) span_id: [u8; 8],
    /// The span around it; `None` below the execution's.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) name: Box<str>,
    pub(crate) start_unix_nano: u64,
    pub(crate) ending: Ending,
    /// The attempts, if there are several or if one failed that the execution survived.
    pub(crate) attempts: Vec<Attempt>,
    /// `true` if it calls another service.
    pub(crate) is_call: bool,
    pub(crate) attributes: Attributes,
}

/// An attempt of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) span_id: [u8; 8],
    /// From 1.
    pub(crate) number: u32,
    pub(crate) start_unix_nano: u64,
    pub(crate) ending: Option<Ending>,
}

pub(crate) type Attributes = Vec<(&'static str, AttributeValue)>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AttributeValue {
    Text(Box<str>),
    Int(u32),
}

/// How and when something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) unix_nano: u64,
    pub(crate) outcome: Outcome,
    pub(crate) failure: Option<FailureText>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed,
    TimedOut,
    /// A user stopped it, or the execution ended before it did.
    Aborted,
}

impl Outcome {
    /// The outcome that the name of an event or a status ends with.
    pub(crate) fn read_end(text: &str) -> Option<Self> {
        let ends = [
            (Self::Succeeded, ["Succeeded", "SUCCEEDED"].as_slice()),
            (Self::Failed, &["Failed", "FAILED"]),
            (Self::TimedOut, &["TimedOut", "TIMED_OUT"]),
            (Self::Aborted, &["Aborted", "ABORTED", "Stopped", "STOPPED", "Cancelled"]),
        ];
        let (outcome, _) =
            ends.iter().find(|(_, ends)| ends.iter().any(|end| text.ends_with(end)))?;
        Some(*outcome)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}
