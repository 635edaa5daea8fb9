//! Counts the fate of every log event and every item, so that nothing disappears silently.

use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use wire::SignalKind;

/// Defines a struct whose fields are added one by one.
macro_rules! sums {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

sums! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Items {
        /// Spans of OTLP lines.
        pub spans: usize,
        /// Data points of OTLP lines and of Lambda's reports.
        pub data_points: usize,
        /// Log records of OTLP lines and of other log lines.
        pub log_records: usize,
        /// Undecodable OTLP lines. Each also becomes a log record, which is counted as a log record.
        pub undecodable: usize,
        /// Ended executions that wait for their history. Their spans are unknown until it is read.
        pub executions: usize,
    }
}

impl Items {
    pub fn add(&mut self, kind: SignalKind, items: usize) {
        match kind {
            SignalKind::Traces => self.spans += items,
            SignalKind::Metrics => self.data_points += items,
            SignalKind::Logs => self.log_records += items,
        }
    }

    /// Takes out items that [`Self::add`] added.
    pub(crate) fn remove(&mut self, kind: SignalKind, items: usize) {
        let count = match kind {
            SignalKind::Traces => &mut self.spans,
            SignalKind::Metrics => &mut self.data_points,
            SignalKind::Logs => &mut self.log_records,
        };
        *count = count.saturating_sub(items);
    }

    pub fn total(&self) -> usize {
        let of_signals = self.spans + self.data_points + self.log_records;
        of_signals + self.undecodable + self.executions
    }
}

sums! {
    /// Log events without an item, by the cause. Rules of a rules file consume none: they drop items.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Consumed {
        /// `START`, `END`, `INIT_START` and `RESTORE_START`. The REPORT line repeats their content.
        pub platform_lines: usize,
        /// Lines that name the root span of an invocation as it begins.
        pub root_lines: usize,
        pub empty_lines: usize,
        /// Lines of Rust's runtime about errors of which our library wrote a record.
        pub repeated_errors: usize,
        pub lines_without_items: usize,
        /// Later pieces of a line that Lambda split. The first piece stands for the whole line.
        pub line_pieces: usize,
        /// Later lines of a stack trace. The record of the first line contains their text.
        pub trace_lines: usize,
        /// Unfinished spans in the log group `aws/spans`. X-Ray writes each span again when it ends.
        pub spans_in_progress: usize,
        /// Log events of the delivery path's own log groups.
        pub own_log_group: usize,
        /// CloudWatch's control messages to a subscription.
        pub control_messages: usize,
    }
}

impl Consumed {
    /// The name of each cause, and the number of its log events.
    pub fn by_cause(&self) -> [(&'static str, usize); 10] {
        [
            ("platform_lines", self.platform_lines),
            ("root_lines", self.root_lines),
            ("empty_lines", self.empty_lines),
            ("repeated_errors", self.repeated_errors),
            ("lines_without_items", self.lines_without_items),
            ("line_pieces", self.line_pieces),
            ("trace_lines", self.trace_lines),
            ("spans_in_progress", self.spans_in_progress),
            ("own_log_group", self.own_log_group),
            ("control_messages", self.control_messages),
        ]
    }

    pub fn total(&self) -> usize {
        self.by_cause().iter().map(|(_, events)| events).sum()
    }
}

sums! {
    /// The accounting of one or more deliveries. `events`, `consumed`, `undivided` and `cut` count log events; all
    /// other fields count items.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Ledger {
        pub events: usize,
        pub consumed: Consumed,
        /// Log events whose JSON lines stayed one log record, because of a limit on one log event or on all of an event.
        pub undivided: usize,
        /// Log events whose message was longer than the limit and was cut.
        pub cut: usize,
        /// Items made from the other log events.
        pub items: Items,
        pub accepted: usize,
        /// In the retry queue.
        pub parked: usize,
        pub dead_lettered: usize,
        /// Dropped by a rule or a variable, taken by no destination, not storable by the backend, or undecodable without a dead-letter queue.
        pub dropped: usize,
        /// Coming again: returned to Lambda, which delivers the event again, or left in their message of the retry queue.
        pub returned: usize,
        /// Accepted or returned items that the backend may store twice.
        pub ambiguous: usize,
    }
}

impl Ledger {
    /// A ledger of items without a fate.
    pub(crate) fn count_items(kind: SignalKind, count: usize) -> Self {
        let mut items = Items::default();
        items.add(kind, count);
        Self { items, ..Self::default() }
    }

    /// A ledger of undecodable lines, log events or records without a fate.
    pub(crate) fn count_undecodable(undecodable: usize) -> Self {
        Self { items: Items { undecodable, ..Items::default() }, ..Self::default() }
    }

    /// A ledger of executions without a fate, whose history isn't read.
    pub(crate) fn count_executions(executions: usize) -> Self {
        Self { items: Items { executions, ..Items::default() }, ..Self::default() }
    }

    /// Items without a recorded fate. Anything but 0 is a bug; negative if items have two fates.
    pub fn lost(&self) -> i64 {
        let sent = self.accepted + self.parked + self.dead_lettered;
        let fates = sent + self.dropped + self.returned;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        signed(self.items.total()) - signed(fates)
    }

    /// The ledger as a JSON object, with the computed `lost`.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "events": self.events,
            "consumed": self.consumed.total(),
            "consumed_by": self.consumed,
            "undivided": self.undivided,
            "cut": self.cut,
            "items": self.items,
            "accepted": self.accepted,
            "parked": self.parked,
            "dead_lettered": self.dead_lettered,
            "dropped": self.dropped,
            "returned": self.returned,
            "lost": self.lost(),
        })
        .to_string()
    }
}

/// The ledgers of all destinations, and their sum. An item for two destinations counts twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledgers {
    pub total: Ledger,
    /// Items and fates by the name of the destination.
    pub destinations: BTreeMap<String, Ledger>,
}

impl Ledgers {
    pub fn add(&mut self, destination: &str, ledger: Ledger) {
        self.total += ledger;
        *self.destinations.entry(destination.to_owned()).or_default() += ledger;
    }

    /// Returns `true` if the items of each destination have exactly one fate. In the sum, a surplus could hide a loss.
    pub fn balances(&self) -> bool {
        self.total.lost() == 0 && self.destinations.values().all(|ledger| ledger.lost() == 0)
    }
}

impl AddAssign for Ledgers {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        for (destination, ledger) in other.destinations {
            *self.destinations.entry(destination).or_default() += ledger;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_a_fate_is_lost() {
        let complete =
            Ledger { accepted: 1, parked: 1, ..Ledger::count_items(SignalKind::Logs, 2) };
        let short = Ledger { accepted: 1, ..Ledger::count_items(SignalKind::Logs, 2) };
        let twice = Ledger { accepted: 2, returned: 1, ..Ledger::count_items(SignalKind::Logs, 2) };
        assert_eq!([complete, short, twice].map(|ledger| ledger.lost()), [0, 1, -1]);
        let balance = |by_destination: &[(&str, Ledger)]| {
            let mut ledgers = Ledgers::default();
            for (destination, ledger) in by_destination {
                ledgers.add(destination, *ledger);
            }
            ledgers.balances()
        };
        assert!(balance(&[("default", complete), ("audit", complete)]));
        assert!(!balance(&[("default", short)]));
        // Their sum is complete.
        assert!(!balance(&[("default", short), ("audit", twice)]));
    }

    #[test]
    fn the_printed_ledger_states_the_lost_items() {
        let ledger = Ledger { accepted: 1, ..Ledger::count_items(SignalKind::Logs, 3) };
        expect_test::expect![[r#"{"accepted":1,"consumed":0,"consumed_by":{"control_messages":0,"empty_lines":0,"line_pieces":0,"lines_without_items":0,"own_log_group":0,"platform_lines":0,"repeated_errors":0,"root_lines":0,"spans_in_progress":0,"trace_lines":0},"cut":0,"dead_lettered":0,"dropped":0,"events":0,"items":{"data_points":0,"executions":0,"log_records":3,"spans":0,"undecodable":0},"lost":2,"parked":0,"returned":0,"undivided":0}"#]].assert_eq(&ledger.to_json());
    }
}
