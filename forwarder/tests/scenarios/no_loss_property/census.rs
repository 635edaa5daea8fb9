//! Counts faults, features and outcomes in the schedules. A property that never meets a fault proves nothing.

use super::schedule::{BACKEND_FAULTS, QUEUE_FAULTS};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, Default)]
pub(crate) struct Census(BTreeMap<String, usize>);

/// Features and outcomes that some thousand schedules always meet, besides each fault.
const ALL: &[&str] = &[
    "clock: skewed",
    "destination: all three",
    "destination: audit",
    "destination: default",
    "destination: lake",
    "destination: two",
    "event: broken",
    "event: garbage behind the JSON",
    "event: gzip truncated",
    "fate: log record in a queue or the on-failure store",
    "fate: log record stored",
    "fate: data point in a queue or the on-failure store",
    "fate: data point stored",
    "fate: too old, dropped",
    "fate: span in a queue or the on-failure store",
    "fate: span stored",
    "fate: undecodable data in a queue, the on-failure store or the log group",
    "function: dies while it writes",
    "kill",
    "line: compact",
    "line: compact, several requests",
    "line: cut by Lambda",
    "line: its pieces in two deliveries",
    "old: dead-lettered",
    "old: dropped",
    "old: out of the window while it waited",
    "old: restamped",
    "panic: after a request was answered",
    "panic: before a request was sent",
    "rule: dropped",
    "rule: redacted",
    "stream: of a destination",
    "stream: of a route",
    "stream: several deliveries",
    "throttled",
    "total: accepted",
    "total: dropped by rules",
    "total: invocations",
    "total: marks",
    "total: requests",
    "total: virtual seconds",
];

/// Outcomes that at least one in fifty schedules has.
const OFTEN: &[&str] = &[
    "total: ambiguous",
    "total: dead-lettered",
    "total: dropped",
    "total: duplicates",
    "total: failed",
    "total: kept",
    "total: killed",
    "total: parked",
    "total: returned",
    "total: stored",
];

pub(crate) fn fault_name(fault: &dyn fmt::Debug) -> String {
    format!("fault: {fault:?}")
}

impl Census {
    pub(crate) fn met(&mut self, what: &str) {
        self.met_often(what, 1);
    }

    pub(crate) fn met_often(&mut self, what: &str, times: usize) {
        match self.0.get_mut(what) {
            Some(sum) => *sum += times,
            None if times > 0 => _ = self.0.insert(what.to_owned(), times),
            None => {}
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.met_often(what, *times);
        }
    }

    pub(crate) fn check(&self, schedules: usize) {
        let times = |what: &&str| self.0.get(*what).copied().unwrap_or_default();
        let rare: Vec<_> = OFTEN.iter().filter(|what| times(what) * 50 <= schedules).collect();
        assert!(rare.is_empty(), "too rare: {rare:?}\n{self}");
        let missing: Vec<_> = ALL.iter().filter(|what| !self.0.contains_key(**what)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}\n{self}");
        let unnamed = self.0.keys().filter(|what| {
            let what = what.as_str();
            !ALL.contains(&what) && !OFTEN.contains(&what) && !what.starts_with("fault: ")
        });
        assert_eq!(unnamed.collect::<Vec<_>>(), Vec::<&String>::new(), "in no list");
        let faults = BACKEND_FAULTS.concat().iter().map(|it| fault_name(it)).collect::<Vec<_>>();
        let faults = faults.into_iter().chain(QUEUE_FAULTS.iter().map(|it| fault_name(it)));
        let unmet: Vec<_> = faults.filter(|name| !self.0.contains_key(name)).collect();
        assert!(unmet.is_empty(), "never met: {unmet:?}\n{self}");
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))
    }
}
