//! One run of the demo: what was invoked, what the functions wrote down, and what the backend has.

use super::accounting::{self, Accounts, Item, LedgerLine};
use super::stored::Arrived;
use simulator::Invocation;
use std::collections::{BTreeMap, BTreeSet};

/// What was run, and what arrived.
pub(crate) struct Run {
    pub(super) invocations: Vec<Labelled>,
    pub(super) forwarder_invocations: Vec<Invocation>,
    /// The processes of the extension, by the function that they were beside.
    pub(super) extensions: BTreeMap<&'static str, BTreeSet<u32>>,
    /// Log events of the functions, Lambda's own included.
    pub(super) log_events: usize,
    /// Their text by id.
    pub(super) lines: BTreeMap<String, String>,
    pub(super) ledger: Vec<LedgerLine>,
    /// What else was made: the other lines of the log groups, and what follows from what Lambda said.
    pub(super) others: Vec<Item>,
    pub(super) arrived: Arrived,
    /// What OpenObserve would have stored wrong.
    pub(super) oddities: Vec<String>,
    /// Why the user's own backend did not take everything.
    pub(super) refused_elsewhere: BTreeSet<String>,
    /// Whether the user's own backend was asked.
    pub(super) elsewhere: Option<String>,
    /// Records that the backend was told to lose, and those that it lost.
    pub(super) told_to_lose: u64,
    pub(super) lost_on_purpose: u64,
}

/// One invocation of a function, and what it was for.
pub(crate) struct Labelled {
    pub(super) function: &'static str,
    pub(super) label: &'static str,
    pub(super) invocation: Invocation,
}

impl Run {
    pub(super) fn accounts(&self) -> Accounts {
        accounting::compare(&self.ledger, &self.others, &self.arrived.items())
    }

    /// Whether every item was found, and the user's own backend took all as well.
    pub(super) fn is_fine(&self, accounts: &Accounts) -> bool {
        accounts.balance() && self.refused_elsewhere.is_empty()
    }
}

/// The processes that took part, without repetition.
pub(super) fn pids<'a>(invocations: impl IntoIterator<Item = &'a Invocation>) -> BTreeSet<u32> {
    invocations.into_iter().filter_map(|invocation| invocation.pid).collect()
}

/// The text in `{"errorMessage": …}`, which is what a function's caller sees.
pub(super) fn error_message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|error| error.get("errorMessage")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
