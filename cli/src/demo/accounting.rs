//! Compares what the function says it made with what the backend received.
//!
//! Both sides count by themselves: the function appends the number of each item to a file of its
//! own when the item ends, and the backend reads numbers out of the stored OTLP. No counter of
//! exporter, forwarder or backend client takes part.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A kind of item, and its number.
pub(crate) type Numbered = (What, u64);

/// What an item is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Span,
    #[serde(rename = "log")]
    LogRecord,
    DataPoint,
}

impl What {
    pub(crate) const ALL: [Self; 3] = [Self::Span, Self::LogRecord, Self::DataPoint];

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Span => "spans",
            Self::LogRecord => "log records",
            Self::DataPoint => "data points",
        }
    }
}

/// One line of the function's file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LedgerLine {
    pub(crate) number: u64,
    pub(crate) what: What,
    pub(crate) event: Event,
}

/// A span is started and ended; the others only end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Started,
    Ended,
}

/// The account of one kind of item.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Items that ended: each is owed once.
    pub(crate) made: usize,
    /// Of those, found in the backend exactly once.
    pub(crate) found: usize,
    /// Owed and not found.
    pub(crate) missing: Vec<u64>,
    /// Found more than once.
    pub(crate) repeated: Vec<u64>,
    /// Found and never made, or found although they never ended.
    pub(crate) unexpected: Vec<u64>,
    /// Started and still open when their process was killed: not owed.
    pub(crate) never_ended: Vec<u64>,
}

/// The accounts of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) by_kind: BTreeMap<What, Account>,
}

impl Accounts {
    /// True if every item that ended was found exactly once, and there are some of each kind.
    pub(crate) fn balance(&self) -> bool {
        What::ALL.iter().all(|what| {
            self.by_kind.get(what).is_some_and(|account| {
                account.made > 0
                    && account.missing.is_empty()
                    && account.repeated.is_empty()
                    && account.unexpected.is_empty()
            })
        })
    }
}

/// Compares the function's file with the numbers that the backend has.
pub(crate) fn compare(ledger: &[LedgerLine], stored: &[Numbered]) -> Accounts {
    let mut made: BTreeMap<Numbered, Event> = BTreeMap::new();
    for line in ledger {
        let event = made.entry((line.what, line.number)).or_insert(line.event);
        if line.event == Event::Ended {
            *event = Event::Ended;
        }
    }
    let mut times: BTreeMap<Numbered, usize> = BTreeMap::new();
    for item in stored {
        *times.entry(*item).or_default() += 1;
    }
    let mut accounts = Accounts::default();
    for (&(what, number), event) in &made {
        let account = accounts.by_kind.entry(what).or_default();
        let found = times.remove(&(what, number)).unwrap_or(0);
        match (event, found) {
            (Event::Started, 0) => account.never_ended.push(number),
            (Event::Started, _) => account.unexpected.push(number),
            (Event::Ended, found) => {
                account.made += 1;
                match found {
                    0 => account.missing.push(number),
                    1 => account.found += 1,
                    _ => account.repeated.push(number),
                }
            }
        }
    }
    for (what, number) in times.into_keys() {
        accounts.by_kind.entry(what).or_default().unexpected.push(number);
    }
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, what: What, event: Event) -> LedgerLine {
        LedgerLine { number, what, event }
    }

    fn ledger() -> Vec<LedgerLine> {
        vec![
            line(1, What::Span, Event::Started),
            line(1, What::Span, Event::Ended),
            line(2, What::Span, Event::Started),
            line(3, What::LogRecord, Event::Ended),
            line(4, What::DataPoint, Event::Ended),
        ]
    }

    #[test]
    fn only_exactly_once_balances() {
        let all = [(What::Span, 1), (What::LogRecord, 3), (What::DataPoint, 4)];
        let check = |stored: &[Numbered], balances: bool| {
            assert_eq!(compare(&ledger(), stored).balance(), balances, "{stored:?}");
        };
        check(&all, true);
        check(&all[1..], false);
        check(&all[..2], false);
        check(&[all[0], all[0], all[1], all[2]], false);
        check(&[all[0], all[1], all[2], (What::Span, 2)], false);
        check(&[all[0], all[1], all[2], (What::LogRecord, 1)], false);
        check(&[], false);
    }

    #[test]
    fn a_span_that_never_ended_is_listed_and_not_owed() {
        let accounts = compare(&ledger(), &[(What::Span, 1)]);
        let spans = &accounts.by_kind[&What::Span];
        assert_eq!((spans.made, spans.found, &*spans.never_ended), (1, 1, &[2][..]));
    }
}
