//! Counts faults, features and outcomes in the schedules. A property that never meets a fault proves nothing.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, Default)]
pub(crate) struct Census(BTreeMap<String, usize>);

/// Number of names that some thousand schedules always meet. With fewer, a fault, a feature or an outcome is no longer tested. A new
/// one raises it.
const NAMES: usize = 77;

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
        assert_eq!(self.0.len(), NAMES, "{self}");
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))
    }
}
