//! The rows that OpenObserve would store: columns, stream, and values.
//!
//! As measured on v0.92.2; `cargo xtask openobserve` compares them with a real server's.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, HistogramDataPoint, NumberDataPoint, exemplar, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Value, json};

use super::Signal;
use super::gen_ai;
use super::ingest::{FLATTEN_LEVEL, column};
use super::store::{ColumnsByStream, Records, Store, StoredLogRecord, StoredMetric, StoredSpan};

pub(super) struct Row {
    /// The stream. A histogram has several, `…_bucket` among them.
    stream: String,
    /// The values by column; a column that is null in this row is not there.
    pub(super) columns: BTreeMap<String, Value>,
}

/// The rows of one stream.
pub(super) fn stream(
    store: &Store,
    organization: &str,
    signal: Signal,
    stream: &str,
) -> impl Iterator<Item = Row> {
    let mut rows = Vec::new();
    match signal {
        Signal::Traces => {
            let spans = store.spans.iter().filter(|span| span.organization == organization);
            rows.extend(spans.map(of_span));
        }
        Signal::Logs => {
            let is_of_organization =
                |record: &&StoredLogRecord| record.organization == organization;
            let records = store.log_records.iter().filter(is_of_organization);
            rows.extend(records.filter_map(of_log_record));
        }
        Signal::Metrics => {
            for metric in store.metrics.iter().filter(|it| it.organization == organization) {
                of_metric(metric, &mut rows);
            }
        }
    }
    rows.into_iter().filter(move |row| row.stream == stream)
}

/// The columns of the rows of these records, by the stream that a request may race for.
pub(super) fn columns(records: &Records) -> ColumnsByStream {
    let rows: Vec<(&String, Row)> = match records {
        Records::Spans(spans) => spans.iter().map(|own| (&own.stream, of_span(own))).collect(),
        Records::Logs(records) => {
            records.iter().filter_map(|own| Some((&own.stream, of_log_record(own)?))).collect()
        }
        Records::Metrics(metrics) => metrics
            .iter()
            .flat_map(|own| {
                let mut rows = Vec::new();
                of_metric(own, &mut rows);
                rows.into_iter().map(|row| (&own.stream, row))
            })
            .collect(),
        Records::Json(_) => Vec::new(),
    };
    let mut columns = ColumnsByStream::new();
    for (stream, row) in rows {
        columns.entry(stream.clone()).or_default().extend(row.columns.into_keys());
    }
    columns
}

/// The rows of log records, which a request has in one stream.
pub(super) fn of_log_records(log_records: &[StoredLogRecord]) -> Vec<Row> {
    log_records.iter().filter_map(of_log_record).collect()
}

/// The streams with telemetry. The name of a histogram is a stream too, without rows.
pub(super) fn streams(store: &Store, organization: &str) -> BTreeSet<(Signal, String)> {
    let spans = store.spans.iter().filter(|span| span.organization == organization);
    let records = store.log_records.iter().filter(|record| record.organization == organization);
    let metrics = store.metrics.iter().filter(|metric| metric.organization == organization);
    let mut streams: BTreeSet<_> =
        spans.map(|span| (Signal::Traces, span.stream.clone())).collect();
    streams.extend(records.map(|record| (Signal::Logs, record.stream.clone())));
    for metric in metrics {
        let suffixes: &[&str] = match &metric.item.data {
            Some(Data::Histogram(_)) => &["", "_count", "_sum", "_min", "_max", "_bucket"],
            _ => &[""],
        };
        let names = suffixes.iter().map(|suffix| format!("{}{suffix}", metric.stream));
        streams.extend(names.map(|name| (Signal::Metrics, name)));
    }
    streams
}

type Columns = BTreeMap<String, Value>;

/// Only log records have a limit.
const LOG_LEVELS: usize = FLATTEN_LEVEL - 1;

fn of_span(stored: &StoredSpan) -> Row {
    let span = &stored.item;
    let status = span.status.clone().unwrap_or_default();
    let span_status = match status.code {
        1 => "OK",
        2 => "ERROR",
        _ => "UNSET",
    };
    let by_key = |attributes: &[KeyValue]| -> BTreeMap<String, Value> {
        attributes.iter().map(|it| (it.key.clone(), text(it.value.as_ref()))).collect()
    };
    let mut attributes = by_key(&span.attributes);
    let of_resource = by_key(&stored.resource.attributes);
    gen_ai::process(&mut attributes, &of_resource, &stored.scope.name, &span.events);
    let mut columns = Columns::new();
    for (key, value) in attributes {
        let own_name = column(&key);
        let is_reserved =
            ["_timestamp", "duration", "start_time", "end_time"].contains(&&*own_name);
        let name = if is_reserved { format!("attr_{own_name}") } else { own_name };
        put(&mut columns, name, value, usize::MAX);
    }
    gen_ai::make_numbers(&mut columns);
    for attribute in stored.resource.attributes.iter().filter(|it| it.key != "service.name") {
        let name = format!("service_{}", column(&attribute.key));
        put(&mut columns, name, text(attribute.value.as_ref()), usize::MAX);
    }
    let start = span.start_time_unix_nano;
    let end = span.end_time_unix_nano;
    let own = [
        ("_timestamp", json!(start / 1000)),
        ("trace_id", json!(hex(&span.trace_id))),
        ("span_id", json!(hex(&span.span_id))),
        ("flags", json!(1)),
        ("span_status", json!(span_status)),
        ("span_kind", json!(span.kind.to_string())),
        ("operation_name", json!(span.name)),
        ("start_time", json!(start)),
        ("end_time", json!(end)),
        ("duration", json!(end.wrapping_sub(start) / 1000)),
        ("service_name", json!(stored.service_name)),
        ("status_code", json!(status.code)),
        ("status_message", json!(status.message)),
        ("events", json!(span.events.iter().map(event).collect::<Value>().to_string())),
        ("links", json!(span.links.iter().map(link).collect::<Value>().to_string())),
    ];
    columns.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if !span.parent_span_id.is_empty() {
        let parent = [
            ("reference_parent_span_id", hex(&span.parent_span_id)),
            ("reference_parent_trace_id", hex(&span.trace_id)),
            ("reference_ref_type", "ChildOf".to_owned()),
        ];
        columns.extend(parent.map(|(name, value)| (name.to_owned(), Value::String(value))));
    }
    Row { stream: stored.stream.clone(), columns }
}

/// The attributes of an event or link, under their own keys, and these fields.
fn with_attributes(attributes: &[KeyValue], fields: Value) -> Value {
    let mut object: serde_json::Map<String, Value> =
        attributes.iter().map(|it| (it.key.clone(), text(it.value.as_ref()))).collect();
    if let Value::Object(own) = fields {
        object.extend(own);
    }
    Value::Object(object)
}

fn event(event: &Event) -> Value {
    let own = json!({ "name": event.name, "_timestamp": event.time_unix_nano });
    with_attributes(&event.attributes, own)
}

fn link(link: &Link) -> Value {
    let own = json!({
        "context": {
            "traceId": hex(&link.trace_id),
            "spanId": hex(&link.span_id),
            "traceFlags": link.flags,
            "traceState": link.trace_state,
        },
        "droppedAttributesCount": link.dropped_attributes_count,
    });
    with_attributes(&link.attributes, own)
}

/// A record with an attribute `_timestamp` gets that time, or is in no row if it is not an integer.
fn of_log_record(stored: &StoredLogRecord) -> Option<Row> {
    let record = &stored.item;
    let mut columns = Columns::new();
    let time = if record.time_unix_nano == 0 {
        record.observed_time_unix_nano
    } else {
        record.time_unix_nano
    };
    let severity = if record.severity_text.is_empty() {
        record.severity_number.to_string()
    } else {
        record.severity_text.clone()
    };
    columns.insert("_timestamp".to_owned(), json!(time / 1000));
    columns.insert("severity".to_owned(), json!(severity));
    columns.insert("dropped_attributes_count".to_owned(), json!(record.dropped_attributes_count));
    put(&mut columns, "body".to_owned(), text(record.body.as_ref()), LOG_LEVELS);
    for (name, id, length) in [("trace_id", &record.trace_id, 16), ("span_id", &record.span_id, 8)]
    {
        if id.len() == length && id.iter().any(|byte| *byte != 0) {
            columns.insert(name.to_owned(), json!(hex(id)));
        }
    }
    add_scope(&mut columns, &stored.scope.name, &stored.scope.version);
    // Attributes replace the columns of the same name that are there already.
    for attribute in stored.resource.attributes.iter().chain(&record.attributes) {
        put(&mut columns, column(&attribute.key), typed(attribute.value.as_ref()), LOG_LEVELS);
    }
    let has_time = columns.get("_timestamp").is_some_and(Value::is_i64);
    has_time.then(|| Row { stream: stored.stream.clone(), columns })
}

fn add_scope(columns: &mut Columns, name: &str, version: &str) {
    for (column, value) in
        [("instrumentation_library_name", name), ("instrumentation_library_version", version)]
    {
        if !value.is_empty() {
            columns.insert(column.to_owned(), json!(value));
        }
    }
}

/// Objects become columns down to this many levels, below them a JSON string; null and empty lists and objects make no column.
fn put(columns: &mut Columns, name: String, value: Value, levels: usize) {
    match value {
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Object(object) if object.is_empty() => {}
        Value::Object(object) if levels > 0 => {
            for (key, value) in object {
                // Its parser of numbers uses this key: the value becomes the number of the map, and any other text is lost.
                if key == "$serde_json::private::Number" {
                    let number = value.as_str().and_then(|text| text.parse::<f64>().ok());
                    put(columns, name.clone(), json!(number), 0);
                    continue;
                }
                put(columns, format!("{name}_{}", column(&key)), value, levels - 1);
            }
        }
        Value::Object(_) | Value::Array(_) => {
            columns.insert(name, Value::String(value.to_string()));
        }
        value => _ = columns.insert(name, value),
    }
}

fn of_metric(stored: &StoredMetric, rows: &mut Vec<Row>) {
    match &stored.item.data {
        Some(Data::Gauge(gauge)) => {
            rows.extend(gauge.data_points.iter().map(|point| of_number(stored, point, &[])));
        }
        Some(Data::Sum(sum)) => {
            let own = [
                ("aggregation_temporality", temporality(sum.aggregation_temporality)),
                ("is_monotonic", sum.is_monotonic.to_string()),
            ];
            rows.extend(sum.data_points.iter().map(|point| of_number(stored, point, &own)));
        }
        Some(Data::Histogram(histogram)) => {
            let temporality = temporality(histogram.aggregation_temporality);
            for point in &histogram.data_points {
                of_histogram(stored, point, &temporality, rows);
            }
        }
        // OpenObserve converts exponential histograms wrongly, and our programs send no summaries, so no query may
        // need their rows.
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => {}
    }
}

fn temporality(temporality: i32) -> String {
    let names = ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA"];
    let name = usize::try_from(temporality).ok().and_then(|at| names.get(at).copied());
    name.unwrap_or("AGGREGATION_TEMPORALITY_CUMULATIVE").to_owned()
}

/// What data points of all kinds have.
struct Point<'a> {
    attributes: &'a [KeyValue],
    exemplars: &'a [Exemplar],
    start_nano: u64,
    time_nano: u64,
}

/// A row with the labels of a point; all of them are text.
fn row(
    stored: &StoredMetric,
    suffix: &str,
    point: &Point<'_>,
    own_labels: &[(&str, String)],
    value: Option<f64>,
) -> Row {
    let stream = format!("{}{suffix}", stored.stream);
    let mut columns = Columns::new();
    // Only log records leave out an empty version.
    if !stored.scope.name.is_empty() {
        columns.insert("instrumentation_library_version".to_owned(), json!(""));
    }
    add_scope(&mut columns, &stored.scope.name, &stored.scope.version);
    for attribute in stored.resource.attributes.iter().chain(point.attributes) {
        put(&mut columns, column(&attribute.key), text(attribute.value.as_ref()), usize::MAX);
    }
    let own = own_labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    columns.extend(own);
    let labels = [
        ("__name__", json!(stream)),
        ("_timestamp", json!(point.time_nano / 1000)),
        ("start_time", json!(point.start_nano.to_string())),
        ("flag", json!("DATA_POINT_FLAGS_DO_NOT_USE")),
    ];
    columns.extend(labels.map(|(name, value)| (name.to_owned(), value)));
    // The first rows of a stream without exemplars have null, later rows may have an empty list.
    if !point.exemplars.is_empty() {
        let exemplars: Value = point.exemplars.iter().map(exemplar).collect();
        columns.insert("exemplars".to_owned(), json!(exemplars.to_string()));
    }
    if let Some(value) = value.filter(|value| value.is_finite()) {
        columns.insert("value".to_owned(), json!(value));
    }
    Row { stream, columns }
}

#[expect(clippy::cast_precision_loss, reason = "OpenObserve stores floats too")]
fn exemplar(exemplar: &Exemplar) -> Value {
    let value = exemplar.value.map(|value| match value {
        exemplar::Value::AsInt(value) => value as f64,
        exemplar::Value::AsDouble(value) => value,
    });
    let time = exemplar.time_unix_nano / 1000;
    let id = |id: &[u8]| id.iter().any(|byte| *byte != 0).then(|| hex(id));
    let trace = id(&exemplar.trace_id);
    let span = id(&exemplar.span_id);
    let mut own = json!({ "value": value, "_timestamp": time, "trace_id": trace, "span_id": span });
    if let Value::Object(own) = &mut own {
        own.retain(|_, value| !value.is_null());
    }
    with_attributes(&exemplar.filtered_attributes, own)
}

#[expect(clippy::cast_precision_loss, reason = "OpenObserve stores floats too")]
fn of_number(stored: &StoredMetric, data: &NumberDataPoint, own_labels: &[(&str, String)]) -> Row {
    let value = data.value.map(|value| match value {
        number_data_point::Value::AsInt(value) => value as f64,
        number_data_point::Value::AsDouble(value) => value,
    });
    let point = Point {
        attributes: &data.attributes,
        exemplars: &data.exemplars,
        start_nano: data.start_time_unix_nano,
        time_nano: data.time_unix_nano,
    };
    row(stored, "", &point, own_labels, value)
}

#[expect(clippy::cast_precision_loss, reason = "OpenObserve stores floats too")]
fn of_histogram(
    stored: &StoredMetric,
    data: &HistogramDataPoint,
    temporality: &str,
    rows: &mut Vec<Row>,
) {
    let temporality = ("aggregation_temporality", temporality.to_owned());
    let point = Point {
        attributes: &data.attributes,
        exemplars: &data.exemplars,
        start_nano: data.start_time_unix_nano,
        time_nano: data.time_unix_nano,
    };
    let values = [
        ("_count", Some(data.count as f64)),
        ("_sum", data.sum),
        ("_min", data.min),
        ("_max", data.max),
    ];
    for (suffix, value) in values {
        rows.push(row(stored, suffix, &point, std::slice::from_ref(&temporality), value));
    }
    let mut count = 0;
    for (index, in_bucket) in data.bucket_counts.iter().enumerate() {
        count += in_bucket;
        let bound = data.explicit_bounds.get(index);
        let le = bound.map_or_else(|| "inf".to_owned(), f64::to_string);
        rows.push(row(
            stored,
            "_bucket",
            &point,
            &[temporality.clone(), ("le", le)],
            Some(count as f64),
        ));
    }
}

/// A value of a log record's attribute. Bytes become a list of numbers.
fn typed(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::BoolValue(value)) => json!(value),
        Some(any_value::Value::IntValue(value)) => json!(value),
        Some(any_value::Value::DoubleValue(value)) => json!(value),
        Some(any_value::Value::BytesValue(value)) => json!(value),
        _ => composed(value, typed),
    }
}

/// Any other value: scalars become text. Bytes that are not UTF-8 are lost.
fn text(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::BoolValue(value)) => json!(value.to_string()),
        Some(any_value::Value::IntValue(value)) => json!(value.to_string()),
        Some(any_value::Value::DoubleValue(value)) => json!(value.to_string()),
        Some(any_value::Value::BytesValue(value)) => {
            json!(str::from_utf8(value).unwrap_or_default())
        }
        _ => composed(value, text),
    }
}

/// A text, list or map with these values.
fn composed(value: Option<&AnyValue>, of: impl Fn(Option<&AnyValue>) -> Value) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(value)) => json!(value),
        Some(any_value::Value::ArrayValue(list)) => {
            list.values.iter().map(|value| of(Some(value))).collect()
        }
        Some(any_value::Value::KvlistValue(map)) => {
            let values = map.values.iter();
            Value::Object(values.map(|it| (it.key.clone(), of(it.value.as_ref()))).collect())
        }
        _ => Value::Null,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
