//! One run of the demo: invocations, items made, items in the backend.

use crate::accounting::{self, Accounts, Item, LedgerLine};
use crate::stored::Arrived;
use simulator::Invocation;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Run {
    pub(crate) invocations: Vec<Labelled>,
    pub(crate) forwarder_invocations: Vec<Invocation>,
    /// The process ids of the extension, by function.
    pub(crate) extensions: BTreeMap<&'static str, BTreeSet<u32>>,
    /// The number of log events of the functions, including Lambda's own.
    pub(crate) log_events: usize,
    /// The text of the log events, by id.
    pub(crate) lines: BTreeMap<String, String>,
    pub(crate) ledger: Vec<LedgerLine>,
    /// Items that are not in `ledger`: other lines of the log groups, and items that follow from Lambda's reports.
    pub(crate) others: Vec<Item>,
    pub(crate) arrived: Arrived,
    /// Values that OpenObserve would store incorrectly.
    pub(crate) oddities: Vec<String>,
    pub(crate) refused_elsewhere: BTreeSet<String>,
    pub(crate) elsewhere: Option<String>,
    /// The number of records that the backend was told to lose, and the number that it lost.
    pub(crate) told_to_lose: u64,
    pub(crate) lost_on_purpose: u64,
}

pub(crate) struct Labelled {
    pub(crate) function: &'static str,
    pub(crate) label: &'static str,
    pub(crate) invocation: Invocation,
}

impl Run {
    pub(crate) fn accounts(&self) -> Accounts {
        accounting::compare(&self.ledger, &self.others, &self.arrived.items())
    }

    /// Returns `true` if every item was found, and the user's backend accepted all of them.
    pub(crate) fn is_fine(&self, accounts: &Accounts) -> bool {
        accounts.balance() && self.refused_elsewhere.is_empty()
    }
}

pub(crate) fn pids<'a>(invocations: impl IntoIterator<Item = &'a Invocation>) -> BTreeSet<u32> {
    invocations.into_iter().filter_map(|invocation| invocation.pid).collect()
}

/// The text of `{"errorMessage": …}`, which the function's caller sees.
pub(crate) fn error_message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|error| error.get("errorMessage")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
