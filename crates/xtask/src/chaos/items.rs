//! Items by their content: OTLP in log lines, and OTLP in the backend.

use anyhow::ensure;
use local_lambda::LogEvent;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::HashSet;
use std::fmt;
use test_support::Logged;
use wire::Limits;
use wire::compact::Context;

/// The attribute with which the demo's functions number their items.
const NUMBER: &str = "demo.number";

/// A span, log record or data point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SentItem {
    /// The name of its function.
    pub(super) function: String,
    /// All of its bytes, after the name of its metric if it is a data point.
    content: Vec<u8>,
    pub(super) number: Option<i64>,
    /// The id of the log event, if it is the record of a printed line.
    pub(super) event: Option<String>,
    /// `true` for a span that had not ended.
    pub(super) is_partial: bool,
}

impl fmt::Debug for SentItem {
    /// Shows names and texts, as far as bytes are ASCII.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text: Vec<u8> = self.content.iter().copied().filter(is_text).collect();
        write!(formatter, "{} {:?} {}", self.function, self.number, String::from_utf8_lossy(&text))
    }
}

impl SentItem {
    fn new(content: Vec<u8>, attributes: &[KeyValue]) -> Self {
        let value =
            |key: &str| attributes.iter().find(|attribute| attribute.key == key)?.value.clone();
        let number = value(NUMBER).and_then(|value| match value.value? {
            Value::IntValue(number) => Some(number),
            // A number of a log record in OpenObserve's column.
            Value::StringValue(number) => number.parse().ok(),
            _ => None,
        });
        let is_partial = value("lambda_otlp.partial").is_some();
        let event = match value("log.record.uid") {
            Some(AnyValue { value: Some(Value::StringValue(event)) }) => Some(event),
            _ => None,
        };
        Self { function: String::new(), content, number, event, is_partial }
    }

    pub(super) fn made_by(self, function: &str) -> Self {
        Self { function: function.to_owned(), ..self }
    }

    /// A span; that of an invocation without its failure, which the forwarder takes from the runtime's line too.
    pub(super) fn of_span(span: &Span) -> Self {
        let is_of_invocation = span.attributes.iter().any(|it| it.key == "faas.invocation_id");
        if !is_of_invocation {
            return Self::new(span.encode_to_vec(), &span.attributes);
        }
        let mut span = span.clone();
        span.status = None;
        span.attributes.retain(|attribute| attribute.key != "error.type");
        Self::new(span.encode_to_vec(), &span.attributes)
    }

    /// A log record with its numbers as texts, without the columns in which the forwarder repeats them for OpenObserve.
    pub(super) fn of_log_record(record: &LogRecord) -> Self {
        let mut record = record.clone();
        let keys: HashSet<String> = record.attributes.iter().map(|it| it.key.clone()).collect();
        let repeats =
            |it: &KeyValue| it.key.strip_suffix("_number").is_some_and(|it| keys.contains(it));
        record.attributes.retain(|attribute| !repeats(attribute));
        for attribute in &mut record.attributes {
            let value = attribute.value.as_mut().and_then(|value| value.value.as_mut());
            if let Some(value) = value {
                match value {
                    Value::IntValue(number) => *value = Value::StringValue(number.to_string()),
                    Value::DoubleValue(number) => *value = Value::StringValue(number.to_string()),
                    Value::BoolValue(is_true) => *value = Value::StringValue(is_true.to_string()),
                    _ => {}
                }
            }
        }
        Self::new(record.encode_to_vec(), &record.attributes)
    }

    /// One item for each data point, without its start, which the forwarder leaves out for OpenObserve.
    pub(super) fn of_metric(metric: &Metric) -> Vec<Self> {
        macro_rules! items {
            ($data:expr) => {
                $data.data_points.iter().map(|point| {
                    let mut point = point.clone();
                    point.start_time_unix_nano = 0;
                    let content = [metric.name.as_bytes(), &point.encode_to_vec()].concat();
                    SentItem::new(content, &point.attributes)
                })
            };
        }
        match &metric.data {
            Some(Data::Gauge(data)) => items!(data).collect(),
            Some(Data::Sum(data)) => items!(data).collect(),
            Some(Data::Histogram(data)) => items!(data).collect(),
            Some(Data::ExponentialHistogram(data)) => items!(data).collect(),
            Some(Data::Summary(data)) => items!(data).collect(),
            None => Vec::new(),
        }
    }

    /// The items in the OTLP lines of a log event; `None` if it has none.
    pub(super) fn of_event(
        event: &LogEvent,
        account: &str,
        region: &str,
    ) -> anyhow::Result<Option<Vec<Self>>> {
        let function = event.function();
        let log_stream = &*event.log_stream;
        let context = Context { function, account, log_stream, region };
        let Some(reading) = wire::read_line_of(&event.message, &context, &Limits::default()) else {
            return Ok(None);
        };
        ensure!(reading.undecodable.is_empty(), "undecodable: {}", event.message);
        let mut logged = Logged::default();
        logged.add(&reading.decoded);
        let items = (logged.spans.iter().map(|(_, span)| Self::of_span(span)))
            .chain(logged.records.iter().map(Self::of_log_record))
            .chain(logged.metrics.iter().flat_map(Self::of_metric));
        Ok(Some(items.map(|item| item.made_by(function)).collect()))
    }

    /// The body of a log record, if it is a text.
    pub(super) fn text(record: &LogRecord) -> &str {
        match record.body.as_ref().and_then(|body| body.value.as_ref()) {
            Some(Value::StringValue(text)) => text,
            _ => "",
        }
    }
}
