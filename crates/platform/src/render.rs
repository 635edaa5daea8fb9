//! Prints events and OTLP for tests: one line for each event, log record, data point or span.

use std::fmt::Write as _;

use expect_test::ExpectFile;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::attributes::{attribute, scope};
use crate::event::{PlatformEvent, platform_attributes};
use crate::invocations::Invocations;
use crate::logs::records::{self, RecordWriter, Records};
use crate::names;

/// Compares a table with what `read` makes of its inputs. A case is one or more lines of input, and below them each line of the
/// result after `=>`; lines that begin with `#` explain. `UPDATE_EXPECT=1` writes the results of all cases that have one.
pub(crate) fn check_table(table: &ExpectFile, read: impl Fn(&str) -> String) {
    let mut now = String::new();
    let mut input = Vec::new();
    let text = table.data();
    for line in text.lines() {
        if !line.starts_with("=>") {
            writeln!(now, "{line}").unwrap();
            input.extend(Some(line).filter(|line| !line.is_empty() && !line.starts_with('#')));
        } else if !input.is_empty() {
            for line in read(&std::mem::take(&mut input).join("\n")).split('\n') {
                writeln!(now, "{}", format!("=> {line}").trim_end()).unwrap();
            }
        }
    }
    assert!(input.is_empty(), "no result for {input:?}");
    table.assert_eq(&now);
}

/// A line of a table with its escapes replaced.
pub(crate) fn unescaped(line: &str) -> String {
    line.replace(r"\t", "\t").replace(r"\r", "\r").replace(r"\n", "\n")
}

pub(crate) fn value(value: &AnyValue) -> String {
    match value.value.as_ref() {
        None => String::from("none"),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => format!("{value:?}"),
        Some(Value::ArrayValue(array)) => {
            let values: Vec<_> = array.values.iter().map(self::value).collect();
            format!("[{}]", values.join(","))
        }
        Some(Value::KvlistValue(list)) => format!("{{{}}}", attributes(&list.values)),
        Some(other) => format!("{other:?}"),
    }
}

pub(crate) fn attributes(attributes: &[KeyValue]) -> String {
    let pair = |pair: &KeyValue| format!("{}={}", pair.key, value(pair.value.as_ref().unwrap()));
    attributes.iter().map(pair).collect::<Vec<_>>().join(" ")
}

pub(crate) fn log_records(request: &wire::Request) -> Vec<(String, LogRecord)> {
    let request = request.decode::<wire::Logs>().unwrap().unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
    let of_scope = |scope: ScopeLogs| {
        let name = scope.scope.unwrap().name;
        scope.log_records.into_iter().map(move |record| (name.clone(), record))
    };
    scopes.flat_map(of_scope).collect()
}

/// Decodes the record written by `write`.
pub(crate) fn written(write: impl FnOnce(&mut RecordWriter<'_, '_>)) -> LogRecord {
    let mut records = Records::default();
    records.push(write);
    let scopes = [(scope("one"), records), (scope("none"), Records::default())];
    let request = records::request(|| &[], scopes, &Invocations::default()).unwrap();
    log_records(&request).pop().unwrap().1
}

/// Severity, the beginning of the body, and the attributes except `log.record.uid`.
pub(crate) fn record(record: &LogRecord) -> String {
    let text = value(record.body.as_ref().unwrap());
    let body: String = text.lines().next().unwrap_or("").chars().take(40).collect();
    let others: Vec<_> = record
        .attributes
        .iter()
        .filter(|pair| pair.key != names::LOG_RECORD_UID)
        .cloned()
        .collect();
    let line = format!("{} | {body} | {}", record.severity_text, attributes(&others));
    line.trim_end().to_owned()
}

/// One line for each data point: name, unit, value, attributes.
pub(crate) fn points(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let mut line = |point: String, pairs: &[KeyValue]| {
            let line = format!("{} [{}] {point} {}", metric.name, metric.unit, attributes(pairs));
            writeln!(text, "{}", line.trim_end()).unwrap();
        };
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => {
                assert_eq!(sum.aggregation_temporality, 1, "delta");
                let falls = if sum.is_monotonic { "" } else { " not monotonic" };
                for point in &sum.data_points {
                    line(number(point.value.as_ref()) + falls, &point.attributes);
                }
            }
            Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    line(number(point.value.as_ref()), &point.attributes);
                }
            }
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, 1, "delta");
                for point in &histogram.data_points {
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    assert!(point.explicit_bounds.is_sorted_by(|one, next| one < next));
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    let (sum, min, max) =
                        (point.sum.unwrap(), point.min.unwrap(), point.max.unwrap());
                    let point_text =
                        format!("n={} sum={sum:.5} min={min:.5} max={max:.5}", point.count);
                    line(point_text, &point.attributes);
                }
            }
            _ => panic!("another kind of metric"),
        }
    }
    text
}

pub(crate) fn number(value: Option<&number_data_point::Value>) -> String {
    match value.unwrap() {
        number_data_point::Value::AsInt(value) => value.to_string(),
        number_data_point::Value::AsDouble(value) => value.to_string(),
    }
}

/// A short form of the event: its kind without `platform.`, failure, id, message and parts, then its attributes.
pub(crate) fn event(event: &PlatformEvent) -> String {
    let mut text = vec![event.kind.as_str().trim_start_matches("platform.").to_owned()];
    let words = [
        ("failed", event.is_failure().then(String::new)),
        ("id=", event.request_id.as_ref().map(|id| id.chars().take(8).collect())),
        ("message=", event.message.clone()),
        ("level=", event.level.clone()),
    ];
    text.extend(words.into_iter().filter_map(|(key, word)| Some(format!("{key}{}", word?))));
    text.extend(event.spans.iter().map(|span| {
        let time = |nanos| wire::timestamp::rfc3339_millis(nanos).split_off(11);
        let start = span.start.map_or(String::from("?"), time);
        let duration = span.duration_ms.map_or(String::from("?"), |ms| ms.to_string());
        format!("{}@{start}/{duration}", span.name)
    }));
    platform_attributes(event, &mut |key, value| {
        if key != names::lambda::EVENT_TYPE {
            text.push(attributes(&[attribute(key, value.to_any())]));
        }
    });
    text.join(" ")
}

/// One line for each span: kind and name, the first digits of `trace/parent>id`, times in milliseconds since `zero`, status,
/// attributes; its events below it.
pub(crate) fn spans(spans: &[Span], zero: u64, digits: usize) -> String {
    let mut text = String::new();
    let ms = |time: u64| {
        let nanos = i128::from(time) - i128::from(zero);
        let ms = format!("{}.{:06}", nanos / 1_000_000, (nanos % 1_000_000).abs());
        ms.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let short = |id: &[u8]| wire::ids::to_hex(id).chars().take(digits).collect::<String>();
    for span in spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_");
        let own = span.status.clone().unwrap_or_default();
        let status = ["unset", "ok", "error"][usize::try_from(own.code).unwrap()].to_owned()
            + &Some(own.message)
                .filter(|text| !text.is_empty())
                .map_or_else(String::new, |text| format!("({text})"));
        let line = format!(
            "{kind} {} {}/{}>{} {}..{} {status} {}",
            span.name,
            short(&span.trace_id),
            short(&span.parent_span_id),
            short(&span.span_id),
            ms(span.start_time_unix_nano),
            ms(span.end_time_unix_nano),
            attributes(&span.attributes),
        );
        writeln!(text, "{}", line.trim_end()).unwrap();
        for event in &span.events {
            let line = format!(
                "  @{} {} {}",
                ms(event.time_unix_nano),
                event.name,
                attributes(&event.attributes)
            );
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
    }
    text
}
