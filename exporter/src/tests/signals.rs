//! Child spans, log records and measurements of an invocation.

use super::driver::{COMPACT, Function, Written, attribute, shown, status};
use crate::export::losses::Loss;
use crate::invocations::InvocationNumber;
use expect_test::expect;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::metrics::Meter;
use opentelemetry::trace::{Span as _, SpanContext, TraceContextExt as _, Tracer as _};
use opentelemetry::{Array, KeyValue, StringValue};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as Number};
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::Span;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

#[test]
fn tracing_spans_and_sdk_spans_form_one_tree() {
    let function = Function::new();
    let tracer = function.completion.tracer().clone();
    let written = function.run(move || {
        tracing::info_span!("outer", items = 3).in_scope(|| {
            opentelemetry::trace::Tracer::in_span(&tracer, "middle", |_| {
                drop(tracing::info_span!("inner").entered());
            });
        });
    });
    let parent_of = |name: &str| {
        let parent = &written.span_named(name).parent_span_id;
        written.spans.iter().find(|span| span.span_id == *parent).map(|span| span.name.as_str())
    };
    assert_eq!(
        ["inner", "middle", "outer", "orders"].map(parent_of),
        [Some("middle"), Some("outer"), Some("orders"), None],
    );
    assert_eq!(written.lines.len(), 1);
    assert_eq!(shown(&written.span_named("outer").attributes), "items=3\n", "no noise");
}

#[test]
fn the_invocations_span_is_current_in_the_handler() {
    let function = Function::new();
    let written = function.run(|| {
        tracing::Span::current().set_attribute("order.id", 7);
        let current = opentelemetry::Context::current();
        current.span().set_attribute(KeyValue::new("order.size", 1.5));
        current.span().set_status(opentelemetry::trace::Status::error("set by the handler"));
    });
    let root = written.span_named("orders");
    let attributes = shown(&root.attributes);
    assert!(attributes.contains("order.id=7\norder.size=1.5\n"), "{attributes}");
    assert_eq!(status(root), "error: set by the handler");
}

#[test]
fn tracing_events_become_log_records_of_their_span() {
    let function = Function::new();
    let written = function.run(|| {
        tracing::info!(order = 7, "received");
        tracing::info_span!("storing")
            .in_scope(|| tracing::error!(name: "order.failed", "cannot store"));
        tracing::event!(name: "order.paid", tracing::Level::INFO, event.body = "paid in full");
        tracing::debug!("not wanted");
        tracing::info!(target: "opentelemetry_sdk", "loop");
        tracing::info!(target: "hyper::client", "loop");
    });
    let shown: Vec<String> = written
        .logs
        .iter()
        .map(|record| {
            let span = written.spans.iter().find(|span| span.span_id == record.span_id).unwrap();
            assert_eq!(span.trace_id, record.trace_id);
            assert_eq!(record.flags, 1);
            assert_ne!(record.observed_time_unix_nano, 0);
            assert_eq!(record.time_unix_nano, record.observed_time_unix_nano);
            // `tracing` names an event after its place in the source, which must not be exported.
            let severity = &record.severity_text;
            let event = &record.event_name;
            let body = format!("{:?}", record.body.as_ref().unwrap().value.as_ref().unwrap());
            format!("{} {severity} {event:?} {body} {}", span.name, shown(&record.attributes))
        })
        .collect();
    expect![[r#"
        orders INFO "" StringValue("received") order=7

        storing ERROR "order.failed" StringValue("cannot store") 
        orders INFO "order.paid" StringValue("paid in full") event.body="paid in full"
    "#]]
    .assert_eq(&shown.join("\n"));
    assert!(written.spans.iter().all(|span| span.events.is_empty()), "not written twice");
}

#[test]
fn an_error_of_an_instrumented_function_is_its_spans_status() {
    #[tracing::instrument(err)]
    fn store() -> Result<(), std::num::ParseIntError> {
        "x".parse::<u8>().map(drop)
    }
    #[tracing::instrument(err(level = tracing::Level::WARN))]
    fn warned() -> Result<(), std::num::ParseIntError> {
        "x".parse::<u8>().map(drop)
    }
    #[tracing::instrument(level = "debug", err)]
    fn cached() -> Result<(), std::num::ParseIntError> {
        "x".parse::<u8>().map(drop)
    }
    let function = Function::new();
    let written = function.run(|| {
        drop(store());
        drop(warned());
        // Neither the error of a span that is not recorded nor an event of the handler fails the handler's span.
        drop(cached());
        let error = "a cache miss";
        tracing::error!(error);
    });
    for name in ["store", "warned"] {
        let span = written.span_named(name);
        assert_eq!(status(span), "error: invalid digit found in string");
    }
    let orders = written.span_named("orders");
    assert_eq!((status(orders), orders.events.len()), ("unset".to_owned(), 0));
    let of_parsing = "invalid digit found in string";
    assert_eq!(bodies(&written), [of_parsing, of_parsing, of_parsing, "a cache miss"]);
}

#[test]
fn fields_form_the_body_of_an_event_without_message() {
    #[tracing::instrument(ret)]
    fn price() -> u64 {
        950
    }
    let function = Function::new();
    let written = function.run(|| {
        price();
        tracing::info!(order = 7, country = "at");
        let error: &dyn std::error::Error = &std::fmt::Error;
        tracing::error!(error, order = 7);
    });
    let expected = ["return=950", "order=7 country=at", &std::fmt::Error.to_string()];
    assert_eq!(bodies(&written), expected);
}

/// The texts of the records; the fields of events stay attributes.
fn bodies(written: &Written) -> Vec<&str> {
    assert!(written.logs.iter().all(|record| !record.attributes.is_empty()));
    let bodies = written.logs.iter().map(|record| record.body.as_ref()?.value.as_ref());
    bodies
        .map(|body| match body {
            Some(any_value::Value::StringValue(text)) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn points(written: &Written) -> Vec<String> {
    let mut points = Vec::new();
    for metric in &written.metrics {
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => points.extend(sum.data_points.iter().map(|point| {
                let Some(Number::AsInt(value)) = point.value else { unreachable!("counts") };
                let delta = sum.aggregation_temporality == 1;
                let attributes = shown(&point.attributes).replace('\n', " ");
                format!("{} {value} delta={delta} {attributes}", metric.name)
            })),
            Data::Histogram(histogram) => {
                points.extend(histogram.data_points.iter().map(|point| {
                    let delta = histogram.aggregation_temporality == 1;
                    format!("{} n={} sum={:?} delta={delta}", metric.name, point.count, point.sum)
                }));
            }
            other => unreachable!("{other:?}"),
        }
    }
    points.sort();
    points
}

fn record(meter: &Meter) {
    meter.u64_counter("orders").build().add(2, &[KeyValue::new("kind", "book")]);
    meter.f64_histogram("price").build().record(9.5, &[]);
}

#[test]
fn measurements_are_deltas_of_each_invocation_unless_a_variable_asks_for_totals() {
    let check = |variables: &[(&str, &str)], expected: [[&str; 2]; 2]| {
        let function = Function::with_variables(variables);
        let meter = function.completion.meter("test");
        for expected in expected {
            let meter = meter.clone();
            assert_eq!(points(&function.run(move || record(&meter))), expected);
        }
        function
    };
    let delta = ["orders 2 delta=true kind=\"book\" ", "price n=1 sum=Some(9.5) delta=true"];
    let function = check(&[], [delta; 2]);
    assert_eq!(points(&function.run(|| ())), [""; 0], "nothing measured, nothing written");
    let cumulative = [("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative")];
    let first = ["orders 2 delta=false kind=\"book\" ", "price n=1 sum=Some(9.5) delta=false"];
    let second = ["orders 4 delta=false kind=\"book\" ", "price n=2 sum=Some(19.0) delta=false"];
    check(&cumulative, [first, second]);
}

#[test]
fn log_format_and_variables_set_level_and_timestamp_of_lines() {
    const JSON: (&str, &str) = ("AWS_LAMBDA_LOG_FORMAT", "JSON");
    const TEXT: (&str, &str) = ("AWS_LAMBDA_LOG_FORMAT", "Text");
    let of_lambda = |level| ("AWS_LAMBDA_LOG_LEVEL", level);
    let own = |level| ("OTLP_STDOUT_SPAN_EXPORTER_LOG_LEVEL", level);
    let check = |variables: &[(&str, &str)], level: Option<&str>, has_timestamp: bool| {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic hunter2");
        let function = Function::with_variables(&[variables, &[headers]].concat());
        let meter = function.completion.meter("test");
        let written = function.run(move || {
            tracing::info!("received");
            record(&meter);
        });
        assert_eq!(written.lines.len(), if variables.starts_with(&COMPACT) { 1 } else { 3 });
        for line in written.lines {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line.get("level").and_then(Value::as_str), level, "{variables:?}");
            let is_utc = line.get("timestamp").map(|own| own.as_str().unwrap().ends_with('Z'));
            assert_eq!(is_utc, has_timestamp.then_some(true), "{variables:?}");
            assert_eq!(line.get("headers"), None);
            assert!(!line.to_string().contains("hunter2"));
        }
    };
    check(&[], None, false);
    check(&[own("warning")], Some("WARN"), false);
    check(&[of_lambda("ERROR")], None, false);
    check(&[TEXT, of_lambda("WARN")], None, false);
    check(&[JSON], Some("INFO"), true);
    check(&[JSON, of_lambda("WARN"), own("debug")], Some("WARN"), true);
    check(&[JSON, of_lambda("FATAL")], Some("FATAL"), true);
    check(&[&COMPACT[..], &[JSON, of_lambda("WARN")]].concat(), Some("WARN"), true);
}

#[test]
fn full_buffers_and_the_line_limit_lose_nothing() {
    let limits =
        [("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", "200"), ("LAMBDA_OTLP_MAX_LINE_BYTES", "4KiB")];
    for variables in [limits.to_vec(), [&COMPACT[..], &limits].concat()] {
        let function = Function::with_variables(&variables);
        let counter = function.completion.meter("test").u64_counter("orders").build();
        let written = function.run(move || {
            counter.add(1, &[]);
            for item in 0..300_u64 {
                let noise = item.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                tracing::info!(noise = format!("{noise:o}"), "received");
                drop(tracing::info_span!("child", item).entered());
            }
        });
        let [lines, items @ ..] = written.counts();
        assert!(lines > 2 && written.lines.iter().all(|line| line.len() <= 4096), "{lines}");
        assert_eq!(items, [301, 300, 1]);
        assert_eq!(function.lost(Loss::TooLarge), [0; 3]);
    }
}

/// The process may end after an error. A flood of them must not cost a line each.
#[test]
fn errors_are_written_at_once_and_at_most_ten_in_a_row() {
    for variables in [&[][..], &COMPACT] {
        let function = Function::with_variables(variables);
        let clock = Arc::clone(&function.clock);
        let output = Arc::clone(&function.output);
        let records = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&records);
        let rest = function.run(move || {
            let take = || seen.lock().unwrap().push(Written::read(output.take_lines()).logs.len());
            tracing::info!("a");
            take();
            tracing::error!("b");
            take();
            for _ in 0..100 {
                tracing::error!("flood");
            }
            take();
            clock.fetch_add(100, Ordering::Relaxed);
            tracing::error!("c");
            take();
            tracing::info!("d");
        });
        assert_eq!(*records.lock().unwrap(), [0, 2, 9, 92]);
        assert_eq!(rest.logs.len(), 1, "never twice");
    }
}

#[test]
fn an_item_exceeding_a_line_is_truncated_and_counted() {
    let function = Function::new();
    // Incompressible text.
    let numbers = (0..40_000_u64).map(|own| own.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let noise = numbers.map(|number| format!("{number:x}"));
    let text: String = noise.clone().collect();
    let written = function.run(move || {
        tracing::info_span!("large", text).in_scope(|| ());
    });
    assert_eq!(written.spans.len(), 2);
    assert_eq!(points(&written), ["lambda_otlp.exporter.truncated_values 1 delta=true "]);
    assert!(written.lines.iter().all(|line| line.len() < 250 * 1024));
    let logger = function.completion.logger_provider().logger("orders");
    let mut record = logger.create_log_record();
    noise.for_each(|key| record.add_attribute(key, true));
    logger.emit(record);
    function.completion.complete();
    assert_eq!(
        function.lost(Loss::TooLarge),
        [0, 0, 0],
        "attributes without long values are left out"
    );
}

/// Eight of them exceed the limit of a buffer, 1 MiB.
const LARGE: usize = 150_000;

#[test]
fn large_items_are_written_before_the_invocation_ends() {
    fn text() -> String {
        "x".repeat(LARGE)
    }
    fn array(values: impl Into<Array>) -> KeyValue {
        KeyValue::new("values", opentelemetry::Value::Array(values.into()))
    }
    let in_span: [fn(&mut Span); 9] = [
        |span| span.update_name(text()),
        |span| span.set_attribute(KeyValue::new(text(), true)),
        |span| span.set_attribute(KeyValue::new("text", text())),
        |span| span.set_attribute(array(vec![StringValue::from(text())])),
        |span| span.set_attribute(array(vec![7_i64; LARGE / 8])),
        |span| span.set_attribute(array(vec![0.5; LARGE / 8])),
        |span| span.set_attribute(array(vec![true; LARGE])),
        |span| span.add_event("event", vec![KeyValue::new("text", text())]),
        |span| {
            span.add_link(SpanContext::empty_context(), vec![KeyValue::new("text", text())]);
        },
    ];
    let in_record: [fn(&mut SdkLogRecord); 6] = [
        |record| record.set_body(AnyValue::from(text())),
        |record| record.set_body(AnyValue::Bytes(Box::new(vec![7; LARGE]))),
        |record| record.set_body(AnyValue::ListAny(Box::new(vec![AnyValue::from(text())]))),
        |record| {
            let map = [("text".into(), AnyValue::from(text()))];
            record.set_body(AnyValue::Map(Box::new(map.into())));
        },
        |record| record.add_attribute(text(), true),
        |record| record.add_attribute("text", text()),
    ];
    for (place, add_large) in in_span.into_iter().enumerate() {
        let function = Function::new();
        for _ in 0..8 {
            add_large(&mut function.completion.tracer().start("step"));
        }
        assert_ne!(function.output.take_lines(), [""; 0], "{place}");
    }
    for (place, add_large) in in_record.into_iter().enumerate() {
        let function = Function::new();
        let logger = function.completion.logger_provider().logger("orders");
        for _ in 0..8 {
            let mut record = logger.create_log_record();
            add_large(&mut record);
            logger.emit(record);
        }
        assert_ne!(function.output.take_lines(), [""; 0], "{place}");
    }
}

/// The argument types of `#[tracing::instrument]`.
#[tracing::instrument]
fn store(id: u64, small: u8, wide: i128, wider: u128, too_wide: u128, beyond: u64, text: &str) {
    tracing::info!(id, "stored");
}

#[test]
fn integer_fields_that_fit_otlp_are_integers_and_appear_once_with_their_last_value() {
    let function = Function::new();
    store(7, 8, -9, 10, u128::MAX, u64::MAX, "7");
    let outer = tracing::info_span!("outer", items = 3_u64, left = tracing::field::Empty);
    outer.in_scope(|| {
        // A text that was given stays one, here and below.
        tracing::info_span!("inner", items = "3").in_scope(|| ());
        outer.record("left", 2_usize);
    });
    let again = tracing::info_span!("again", id = 7_u64, done = 0_u64);
    again.record("id", "0x7");
    for done in 1..=100_u64 {
        again.record("done", done);
    }
    drop((outer, again));
    function.completion.complete();
    let written = function.written();
    let of = |name: &&str| format!("{name}\n{}", shown(&written.span_named(name).attributes));
    let all: String = ["store", "outer", "inner", "again"].iter().map(of).collect();
    expect![[r#"
        store
        beyond="18446744073709551615"
        id=7
        small=8
        text="7"
        too_wide="340282366920938463463374607431768211455"
        wide=-9
        wider=10
        outer
        items=3
        left=2
        inner
        items="3"
        again
        done=100
        id="0x7"
    "#]]
    .assert_eq(&all);
}

#[test]
fn an_unsampled_spans_integer_does_not_change_another_spans_text() {
    let function = Function::with_variables(&[("OTEL_TRACES_SAMPLER", "always_off")]);
    let recorded = Function::without_subscriber(&[], |config| config);
    drop(tracing::info_span!("store", id = 7_u64));
    let mut span = recorded.completion.tracer().start("other");
    span.set_attribute(KeyValue::new("id", "7"));
    span.end();
    recorded.completion.complete();
    assert_eq!(attribute(&recorded.span(), "id").as_deref(), Some("\"7\""));
    drop(function);
}

#[test]
fn a_record_belongs_to_its_explicit_parent_or_else_to_the_current_span() {
    let function = Function::new();
    let current = tracing::info_span!("current");
    let parent = tracing::info_span!("parent");
    current.in_scope(|| {
        tracing::info!(parent: &parent, "explicit");
        tracing::info!("contextual");
        tracing::info!(parent: None, "none");
    });
    drop((current, parent));
    function.completion.complete();
    let written = function.written();
    let spans = written.logs.iter().map(|log| log.span_id.as_slice());
    let id = |name| written.span_named(name).span_id.as_slice();
    assert_eq!(spans.collect::<Vec<_>>(), [id("parent"), id("current"), id("current")]);
}

/// A thread has no context. Concurrent invocations cannot be distinguished.
#[test]
fn a_record_of_a_bare_thread_belongs_to_the_only_running_invocation() {
    let function = Function::new();
    let log = || {
        let logger = function.completion.logger_provider().logger("thread");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut record = logger.create_log_record();
                record.set_body("from a thread".into());
                logger.emit(record);
            });
        });
    };
    let begin = || function.completion.telemetry.begin(std::time::UNIX_EPOCH);
    let start = |number: InvocationNumber, name: &'static str, request_id: &str| {
        let span = function.completion.tracer().start(name);
        let context = opentelemetry::Context::new().with_span(span);
        function.completion.telemetry.invocations.note_root(number, &context, request_id, None);
        context
    };
    log();
    let first = start(begin(), "first", "r-1");
    log();
    let second = start(begin(), "second", "r-2");
    log();
    function.completion.complete();
    let written = function.written();
    let first = first.span().span_context().clone();
    let of_first = (first.trace_id().to_bytes().to_vec(), first.span_id().to_bytes().to_vec());
    let expected = [
        ((vec![], vec![]), ""),
        (of_first, "faas.invocation_id=\"r-1\"\n"),
        ((vec![], vec![]), ""),
    ];
    let records = written.logs.iter();
    let found: Vec<_> = records
        .map(|own| ((own.trace_id.clone(), own.span_id.clone()), shown(&own.attributes)))
        .collect();
    let expected = expected.map(|(ids, attributes)| (ids, attributes.to_owned()));
    assert_eq!(found, expected);
    drop(second);
}
