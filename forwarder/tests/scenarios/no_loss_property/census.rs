//! Counts faults, features and outcomes in the schedules. A property that never meets a fault proves nothing.

use expect_test::expect_file;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, Default)]
pub(crate) struct Census(BTreeMap<String, usize>);

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
        // At least one in fifty schedules has each of these outcomes.
        let is_rare =
            |what: &str, times: usize| what.starts_with("total: ") && times * 50 <= schedules;
        let rare: Vec<_> = self.0.iter().filter(|(what, times)| is_rare(what, **times)).collect();
        assert!(rare.is_empty(), "too rare: {rare:?}\n{self}");
        // If one is missing, a fault, a feature or an outcome is no longer tested. `UPDATE_EXPECT=1` adds new ones.
        let names: String = self.0.keys().map(|name| format!("{name}\n")).collect();
        expect_file!["census.txt"].assert_eq(&names);
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))
    }
}
