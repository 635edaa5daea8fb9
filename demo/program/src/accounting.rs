//! Compares the items that were made with the items that the backend received.
//!
//! The two sides count independently. The functions append the number of each item to a file when the item ends. The
//! local CloudWatch Logs knows the id of each line, and the local Lambda its own reports. The backend's side is read
//! from the stored OTLP. No counter of the exporter, extension, forwarder or backend client is used.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use test_support::Comparison;

/// An item that is counted on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CountedItem {
    pub(crate) kind: ItemKind,
    /// Its name among the items of that kind.
    pub(crate) name: String,
}

impl CountedItem {
    pub(crate) fn new(kind: ItemKind, name: String) -> Self {
        Self { kind, name }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ItemKind {
    Span,
    /// A partial span: the function wrote it shortly before a timeout, and it never ended.
    #[serde(skip)]
    PartialSpan,
    #[serde(rename = "log")]
    LogRecord,
    DataPoint,
    /// A line of the log group other than an OTLP line, by the id of its log event.
    #[serde(skip)]
    LogLine,
    /// A metric that the forwarder makes from Lambda's reports, with its total.
    #[serde(skip)]
    ReportMetric,
    /// The SERVER span of an invocation, by request id.
    #[serde(skip)]
    ServerSpan,
    /// The extension's span of an invocation, by request id.
    #[serde(skip)]
    PlatformSpan,
}

/// The kinds, and what their items are called.
const KINDS: [(ItemKind, &str); 8] = [
    (ItemKind::Span, "spans"),
    (ItemKind::PartialSpan, "partial spans"),
    (ItemKind::LogRecord, "log records"),
    (ItemKind::DataPoint, "data points"),
    (ItemKind::LogLine, "other log lines"),
    (ItemKind::ReportMetric, "metrics of reports"),
    (ItemKind::ServerSpan, "invocations served"),
    (ItemKind::PlatformSpan, "spans of the extension"),
];

impl ItemKind {
    pub(crate) fn plural(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("items", |(_, plural)| plural)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LedgerLine {
    pub(crate) number: u64,
    pub(crate) what: ItemKind,
    pub(crate) event: Event,
    /// Name and all attributes of a span, as the SDK had them when it ended.
    #[serde(default)]
    pub(crate) content: Option<String>,
}

/// Only spans have a line when they start.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Started,
    Ended,
}

/// The items that ended and those in the backend, which must have each of them once.
pub(crate) type Account = Comparison<String>;

#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) by_kind: BTreeMap<ItemKind, Account>,
}

impl Accounts {
    /// Returns `true` if every item was found exactly once, and there is at least one of each kind.
    pub(crate) fn balance(&self) -> bool {
        self.by_kind.values().all(|account| account.made > 0 && account.is_equal())
    }
}

/// The name of an item with a number: its content is compared too.
pub(crate) fn numbered(number: impl Display, content: Option<&str>) -> String {
    content.map_or_else(|| number.to_string(), |content| format!("{number} {content}"))
}

/// Compares the functions' file and `others` with the items in the backend.
pub(crate) fn compare(
    ledger: &[LedgerLine],
    others: &[CountedItem],
    stored: &[CountedItem],
) -> Accounts {
    let mut of_ledger: BTreeMap<(ItemKind, u64), LedgerLine> = BTreeMap::new();
    for line in ledger {
        let item = of_ledger.entry((line.what, line.number)).or_insert_with(|| line.clone());
        if line.event == Event::Ended {
            item.event = Event::Ended;
        }
        item.content = line.content.clone().or(item.content.take());
    }
    let mut made: BTreeSet<CountedItem> = others.iter().cloned().collect();
    made.extend(of_ledger.into_iter().map(|((what, number), line)| {
        let what = if line.event == Event::Ended { what } else { ItemKind::PartialSpan };
        CountedItem::new(what, numbered(number, line.content.as_deref()))
    }));
    let accounts = KINDS.into_iter().map(|(kind, _)| {
        let made_of_kind = made.iter().filter(|it| it.kind == kind).map(|it| it.name.clone());
        let stored_of_kind = stored.iter().filter(|it| it.kind == kind).map(|it| it.name.clone());
        (kind, Comparison::of(made_of_kind, stored_of_kind))
    });
    Accounts { by_kind: accounts.collect() }
}
