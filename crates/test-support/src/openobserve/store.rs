//! The fake's memory: received requests and stored records.

use super::Signal;
use super::ingest::column;
use super::types::Types;
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The path, with the query if there was one.
    pub path: String,
    /// All headers; the value of `authorization` is marked sensitive, so that `Debug` does not print it.
    pub headers: HeaderMap,
    /// The inflated body. Empty if it did not inflate or was not read.
    pub body: Bytes,
    pub signal: Option<Signal>,
    /// The status that was answered; `None` while there is none, and where the connection was closed instead.
    pub status: Option<u16>,
    /// Spans, log records or data points.
    pub stored: u64,
    /// `true` if the client got a whole answer. Otherwise it cannot know if the items were stored, so duplicates may
    /// follow only such a request.
    pub answered_whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored<T> {
    pub organization: String,
    /// The stream: the name of a metric, otherwise the header `stream-name`. Normalized.
    pub stream: String,
    /// The service that OpenObserve would show; for spans it may differ from the resource's.
    pub service_name: String,
    /// The resource as sent; empty if there was none.
    pub resource: Arc<Resource>,
    /// The scope as sent; empty if there was none.
    pub scope: Arc<InstrumentationScope>,
    /// The span, log record or metric as sent.
    pub item: T,
    /// Index of its request in [`FakeOpenObserve::requests`](super::FakeOpenObserve::requests).
    pub request: usize,
}

pub type StoredSpan = Stored<Span>;
pub type StoredLogRecord = Stored<LogRecord>;
pub type StoredMetric = Stored<Metric>;

impl<T> Stored<T> {
    pub fn resource_attribute(&self, key: &str) -> Option<&AnyValue> {
        attribute(&self.resource.attributes, key)
    }
}

/// The value of this key, if it has one.
pub(super) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
}

/// A record that came through `/api/{org}/{stream}/_json`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredJson {
    pub organization: String,
    pub stream: String,
    pub record: serde_json::Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    pub spans: u64,
    /// Log records stored, except by `_json`.
    pub log_records: u64,
    pub data_points: u64,
    /// Records of `_json` stored.
    pub json_records: u64,
    /// Items dropped on purpose while 200 was answered, see [`FakeOpenObserve::lose`](super::FakeOpenObserve::lose).
    pub lost: u64,
}

impl Counts {
    pub fn stored(&self) -> u64 {
        self.spans + self.log_records + self.data_points + self.json_records
    }
}

#[derive(Debug)]
pub(super) enum Records {
    Spans(Vec<StoredSpan>),
    Logs(Vec<StoredLogRecord>),
    Metrics(Vec<StoredMetric>),
    Json(Vec<StoredJson>),
}

impl Records {
    pub(super) fn items(&self) -> u64 {
        match self {
            Self::Spans(spans) => spans.len() as u64,
            Self::Logs(records) => records.len() as u64,
            Self::Json(records) => records.len() as u64,
            Self::Metrics(metrics) => metrics.iter().map(|metric| data_points(&metric.item)).sum(),
        }
    }

    /// Removes the values that a stale schema has no columns for. Returns `false` if OpenObserve answers with an error: it wrote
    /// the metrics of the other streams.
    pub(super) fn lose_columns(&mut self, stale: &ColumnsByStream) -> bool {
        match self {
            Self::Spans(spans) => {
                for span in spans {
                    if let Some(missing) = stale.get(&span.stream) {
                        lose_attributes(span, missing);
                    }
                }
                true
            }
            Self::Metrics(metrics) => {
                metrics.retain(|metric| !stale.contains_key(&metric.stream));
                stale.is_empty()
            }
            Self::Logs(_) | Self::Json(_) => true,
        }
    }

    pub(super) fn remove(&mut self, removal: &mut Removal) -> u64 {
        if removal.count == 0 {
            return 0;
        }
        let before = self.items();
        match self {
            Self::Spans(spans) => spans.retain(|span| removal.keeps(&span.scope.name)),
            Self::Logs(records) => records.retain(|record| removal.keeps(&record.scope.name)),
            Self::Json(records) => records.retain(|_| removal.keeps("")),
            // A metric goes with its last data point. A metric that arrived without points stays.
            Self::Metrics(metrics) => metrics.retain_mut(|metric| {
                let had = data_points(&metric.item);
                let is_never_lost = removal.never_of.contains(&metric.item.name.as_str());
                retain_data_points(&mut metric.item, || {
                    is_never_lost || removal.keeps(&metric.scope.name)
                });
                had == 0 || data_points(&metric.item) > 0
            }),
        }
        before - self.items()
    }
}

fn lose_attributes(span: &mut StoredSpan, missing: &BTreeSet<String>) {
    span.item.attributes.retain(|attribute| !missing.contains(&column(&attribute.key)));
    let is_lost = |attribute: &KeyValue| {
        attribute.key != "service.name"
            && missing.contains(&format!("service_{}", column(&attribute.key)))
    };
    if span.resource.attributes.iter().any(is_lost) {
        Arc::make_mut(&mut span.resource).attributes.retain(|attribute| !is_lost(attribute));
    }
}

/// The items to remove: `count` items after the first `kept`.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) kept: u64,
    pub(super) count: u64,
    /// Items of these scopes, and metrics of these names, stay and do not count in `kept`.
    pub(super) never_of: &'static [&'static str],
}

impl Removal {
    pub(super) fn behind(kept: u64, count: u64) -> Self {
        Self { kept, count, never_of: &[] }
    }

    /// Returns `true` if the next item of this scope is kept.
    fn keeps(&mut self, scope: &str) -> bool {
        if self.never_of.contains(&scope) {
            return true;
        }
        if self.kept > 0 {
            self.kept -= 1;
            return true;
        }
        let goes = self.count > 0;
        self.count -= u64::from(goes);
        !goes
    }
}

pub(super) fn data_points(metric: &Metric) -> u64 {
    point_attributes(metric.data.as_ref()).len() as u64
}

/// The attributes of each data point.
pub fn point_attributes(data: Option<&Data>) -> Vec<&[KeyValue]> {
    macro_rules! attributes {
        ($data:expr) => {
            $data.data_points.iter().map(|point| point.attributes.as_slice()).collect()
        };
    }
    match data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => attributes!(data),
        Some(Data::Sum(data)) => attributes!(data),
        Some(Data::Histogram(data)) => attributes!(data),
        Some(Data::ExponentialHistogram(data)) => attributes!(data),
        Some(Data::Summary(data)) => attributes!(data),
    }
}

fn retain_data_points(metric: &mut Metric, mut keeps: impl FnMut() -> bool) {
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => gauge.data_points.retain(|_| keeps()),
        Some(Data::Sum(sum)) => sum.data_points.retain(|_| keeps()),
        Some(Data::Histogram(histogram)) => histogram.data_points.retain(|_| keeps()),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.retain(|_| keeps()),
        Some(Data::Summary(summary)) => summary.data_points.retain(|_| keeps()),
    }
}

/// Which request it is, and since which clearing its index counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) index: usize,
    epoch: u64,
    /// The version of the schemas that the request saw.
    pub(super) schemas: u64,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) requests: Vec<ReceivedRequest>,
    pub(super) spans: Vec<StoredSpan>,
    pub(super) log_records: Vec<StoredLogRecord>,
    pub(super) metrics: Vec<StoredMetric>,
    pub(super) json_records: Vec<StoredJson>,
    pub(super) lost_columns: usize,
    /// Items dropped on purpose.
    pub(super) lost: u64,
    pub(super) schemas: Schemas,
    /// The types of log streams' columns, by organization and stream.
    pub(super) types: BTreeMap<(String, String), Types>,
    epoch: u64,
}

impl Store {
    /// Forgets everything. Streams have no columns afterwards.
    pub(super) fn clear(&mut self) {
        *self = Self { epoch: self.epoch + 1, ..Self::default() };
    }

    pub(super) fn receive(&mut self, received: ReceivedRequest) -> Ticket {
        self.requests.push(received);
        let index = self.requests.len() - 1;
        let schemas = self.schemas.version();
        Ticket { index, epoch: self.epoch, schemas }
    }

    pub(super) fn request_mut(&mut self, ticket: Ticket) -> Option<&mut ReceivedRequest> {
        if ticket.epoch == self.epoch { self.requests.get_mut(ticket.index) } else { None }
    }

    pub(super) fn keep(&mut self, records: Records) {
        match records {
            Records::Spans(spans) => self.spans.extend(spans),
            Records::Logs(log_records) => self.log_records.extend(log_records),
            Records::Metrics(metrics) => self.metrics.extend(metrics),
            Records::Json(json_records) => self.json_records.extend(json_records),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            spans: self.spans.len() as u64,
            log_records: self.log_records.len() as u64,
            data_points: self.metrics.iter().map(|metric| data_points(&metric.item)).sum(),
            json_records: self.json_records.len() as u64,
            lost: self.lost,
        }
    }
}

// The columns of streams, and OpenObserve's race between requests that add the same columns.
//
// As read and measured on v0.92.2: a request compares its columns with the stream's schema when it arrives. If another request
// adds all the missing ones before it does, it goes on with the schema that it saw. Its spans then lose the new columns, and its
// metrics cannot be written. Log records were not seen to lose anything.

/// The columns that a request has in each of its streams.
pub(super) type ColumnsByStream = BTreeMap<String, BTreeSet<String>>;

/// The names that distinguish a stream.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamKey {
    pub(super) organization: String,
    pub(super) signal: Signal,
    pub(super) name: String,
}

/// The columns of all streams, each with the version of the schemas that first had it.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    streams: BTreeMap<StreamKey, BTreeMap<String, u64>>,
    version: u64,
}

impl Schemas {
    /// The version that a request sees which arrives now.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Adds the columns of a request that saw the schemas at version `seen`. Returns those that its stale schema lacks, by stream.
    pub(super) fn merge(
        &mut self,
        organization: &str,
        signal: Signal,
        columns: ColumnsByStream,
        seen: u64,
    ) -> ColumnsByStream {
        self.version += 1;
        let mut stale = BTreeMap::new();
        for (stream, columns) in columns {
            let organization = organization.to_owned();
            let key = StreamKey { organization, signal, name: stream.clone() };
            let known = self.streams.entry(key).or_default();
            if columns.iter().any(|column| !known.contains_key(column)) {
                for column in columns {
                    known.entry(column).or_insert(self.version);
                }
                continue;
            }
            let added_since = |column: &String| known.get(column).is_some_and(|at| *at > seen);
            let missing: BTreeSet<String> = columns.into_iter().filter(added_since).collect();
            if !missing.is_empty() {
                stale.insert(stream, missing);
            }
        }
        stale
    }
}
