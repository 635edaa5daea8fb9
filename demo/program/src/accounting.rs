//! Compares the items that were made with the items that the backend received.
//!
//! The two sides count independently. The functions append the number of each item to a file when the item ends. The
//! local CloudWatch Logs knows the id of each line, and the local Lambda its own reports. The backend's side is read
//! from the stored OTLP. No counter of the exporter, extension, forwarder or backend client is used.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The kind of an item, and its name among the items of that kind.
pub(crate) type Item = (ItemKind, String);

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
    /// A link from an invocation to the span that sent one of its messages, by request id and span id.
    #[serde(skip)]
    Link,
    /// The SERVER span of an invocation, by request id.
    #[serde(skip)]
    ServerSpan,
    /// The extension's span of an invocation, by request id.
    #[serde(skip)]
    PlatformSpan,
    /// A metric that the extension makes from the Telemetry API, with its totals.
    #[serde(skip)]
    ExtensionMetric,
}

impl ItemKind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Span,
        Self::PartialSpan,
        Self::Link,
        Self::LogRecord,
        Self::DataPoint,
        Self::LogLine,
        Self::ReportMetric,
        Self::ServerSpan,
        Self::PlatformSpan,
        Self::ExtensionMetric,
    ];

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Span => "spans",
            Self::PartialSpan => "partial spans",
            Self::Link => "links to senders",
            Self::LogRecord => "log records",
            Self::DataPoint => "data points",
            Self::LogLine => "other log lines",
            Self::ReportMetric => "metrics of reports",
            Self::ServerSpan => "invocations served",
            Self::PlatformSpan => "spans of the extension",
            Self::ExtensionMetric => "metrics of the extension",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LedgerLine {
    pub(crate) number: u64,
    pub(crate) what: ItemKind,
    pub(crate) event: Event,
    /// Name or body, and all attributes, as the SDK had them when the item ended.
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

#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Items that ended. The backend must have each of them once.
    pub(crate) made: usize,
    pub(crate) found: usize,
    pub(crate) missing: Vec<String>,
    pub(crate) repeated: Vec<String>,
    /// Items in the backend that no function made, or that are marked as ended although they never ended.
    pub(crate) unexpected: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) by_kind: BTreeMap<ItemKind, Account>,
}

impl Accounts {
    /// Returns `true` if every item was found exactly once, and there is at least one of each kind.
    pub(crate) fn balance(&self) -> bool {
        ItemKind::ALL.iter().all(|what| {
            self.by_kind.get(what).is_some_and(|account| {
                account.made > 0
                    && account.missing.is_empty()
                    && account.repeated.is_empty()
                    && account.unexpected.is_empty()
            })
        })
    }
}

/// The name of an item with a number: its content is compared too.
pub(crate) fn numbered(number: impl Display, content: Option<&str>) -> String {
    content.map_or_else(|| number.to_string(), |content| format!("{number} {content}"))
}

/// Compares the functions' file and `others` with the items in the backend.
pub(crate) fn compare(ledger: &[LedgerLine], others: &[Item], stored: &[Item]) -> Accounts {
    let mut of_ledger: BTreeMap<(ItemKind, u64), LedgerLine> = BTreeMap::new();
    for line in ledger {
        let item = of_ledger.entry((line.what, line.number)).or_insert_with(|| line.clone());
        if line.event == Event::Ended {
            item.event = Event::Ended;
        }
        item.content = line.content.clone().or(item.content.take());
    }
    let mut made: BTreeMap<Item, Event> = BTreeMap::new();
    made.extend(of_ledger.into_iter().map(|((what, number), line)| {
        ((what, numbered(number, line.content.as_deref())), line.event)
    }));
    made.extend(others.iter().map(|item| (item.clone(), Event::Ended)));
    let mut times: BTreeMap<Item, usize> = BTreeMap::new();
    for item in stored {
        *times.entry(item.clone()).or_default() += 1;
    }
    let mut accounts = Accounts::default();
    for (item, event) in made {
        let mut item = item;
        if event == Event::Started {
            item.0 = ItemKind::PartialSpan;
        }
        let found = times.remove(&item).unwrap_or(0);
        let (what, number) = item;
        let account = accounts.by_kind.entry(what).or_default();
        account.made += 1;
        match found {
            0 => account.missing.push(number),
            1 => account.found += 1,
            _ => account.repeated.push(number),
        }
    }
    for (what, number) in times.into_keys() {
        accounts.by_kind.entry(what).or_default().unexpected.push(number);
    }
    accounts
}
