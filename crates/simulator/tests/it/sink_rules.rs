//! The rules of records: streams, ingest window, column limit, JSON.

use lambda_otlp_simulator::sink::{OddityKind, ScriptedResponse};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::requests::{
    HOUR, JSON, MINUTE, NOW, PROTOBUF, any, attribute, gauge, kinds, logs, metrics, partial, point,
    post, record, sink, span, traces,
};

#[tokio::test]
async fn the_stream_header_names_streams_of_spans_and_logs() {
    let sink = sink().start().await.unwrap();
    let check = async |name: Option<&str>, stream: &str| {
        let mut headers = vec![PROTOBUF];
        headers.extend(name.map(|value| ("stream-name", value)));
        for (path, body) in [
            ("/v1/traces", traces(vec![span("a")]).encode_to_vec()),
            ("/v1/logs", logs(vec![record()]).encode_to_vec()),
            ("/v1/metrics", metrics(vec![gauge(vec![point(1.0)])]).encode_to_vec()),
        ] {
            assert_eq!(post(&sink, path, &headers, body).await.status, 200);
        }
        assert_eq!(sink.spans().last().unwrap().stream, stream);
        assert_eq!(sink.log_records().last().unwrap().stream, stream);
        // One stream for each metric name, independent of the header.
        assert_eq!(sink.metrics().last().unwrap().stream, "faas_invoke_duration");
    };
    check(None, "default").await;
    check(Some(""), "default").await;
    check(Some("Shop:eu"), "shop:eu").await;
    check(Some("/aws/lambda/My-Fn.Name"), "_aws_lambda_my_fn_name").await;
    check(Some("a--b  c"), "a_b_c").await;
}

#[tokio::test]
async fn logs_outside_the_ingest_window_are_rejected() {
    let sink = sink().start().await.unwrap();
    let check = async |times: &[(u64, u64)], rejected: i64, message: &str| {
        let records = times.iter().map(|(time, observed)| LogRecord {
            time_unix_nano: *time,
            observed_time_unix_nano: *observed,
            ..record()
        });
        let answered =
            post(&sink, "/v1/logs", &[PROTOBUF], logs(records.collect()).encode_to_vec()).await;
        let (count, text) = partial(&answered);
        assert_eq!((count, text.starts_with(message)), (rejected, true), "{times:?}: {text}");
    };
    let (old, far) =
        ("Too old data, only last 5 hours data", "Too far data, only future 24 hours data");
    check(&[(NOW, 0), (NOW - 5 * HOUR + MINUTE, 0), (NOW + 24 * HOUR, 0)], 0, "").await;
    check(&[(NOW, 0), (NOW - 5 * HOUR - 1000, 0), (NOW - 6 * HOUR, 0)], 2, old).await;
    check(&[(NOW + 24 * HOUR + 1000, 0)], 1, far).await;
    // The text describes the last rejected record.
    check(&[(NOW + 48 * HOUR, 0), (NOW - 6 * HOUR, 0), (NOW, 0)], 2, old).await;
    check(&[(NOW - 6 * HOUR, 0), (NOW + 48 * HOUR, 0)], 2, far).await;
    // Without time the observed time counts, without both the record is too old.
    check(&[(0, NOW)], 0, "").await;
    check(&[(0, 0)], 1, old).await;
    assert_eq!((sink.counts().log_records, sink.counts().rejected), (6, 8));
    assert_eq!(
        (sink.requests()[1].items, sink.requests()[1].stored, sink.requests()[1].rejected),
        (3, 1, 2)
    );
}

#[tokio::test]
async fn old_spans_and_spans_with_invalid_ids_are_rejected() {
    let sink = sink().start().await.unwrap();
    let check = async |change: fn(&mut Span), rejected: i64| {
        let mut odd = span("odd");
        change(&mut odd);
        let answered =
            post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![span("a"), odd]).encode_to_vec())
                .await;
        let text = "Some spans were rejected due to exceeding the allowed retention period";
        assert_eq!(
            partial(&answered),
            (rejected, if rejected > 0 { text.to_owned() } else { String::new() })
        );
    };
    check(|span| span.start_time_unix_nano = NOW - 5 * HOUR - 1000, 1).await;
    check(|span| span.start_time_unix_nano = NOW + 25 * HOUR, 1).await;
    check(|span| span.start_time_unix_nano = NOW - 5 * HOUR + MINUTE, 0).await;
    // Not for its age, though the text says so.
    check(|span| span.trace_id = vec![1; 8], 1).await;
    check(|span| span.span_id = Vec::new(), 1).await;
    assert_eq!(sink.oddities(), []);
    assert_eq!((sink.counts().spans, sink.counts().rejected), (6, 4));
}

/// 1000 distinct columns of one stream in one request are accepted, 1001 are not, and logs are lost without a word.
#[tokio::test]
async fn more_than_1000_columns_are_rejected_or_lost() {
    let many = |count: usize| {
        (0..count).map(|number| attribute(&format!("key.{number}"), "x")).collect::<Vec<_>>()
    };
    let logs_with = |attributes: Vec<KeyValue>| {
        // Half of the keys in each record: the union counts.
        let (first, second) = attributes.split_at(attributes.len() / 2);
        let with =
            |attributes: &[KeyValue]| LogRecord { attributes: attributes.to_vec(), ..record() };
        logs(vec![with(first), with(second)]).encode_to_vec()
    };
    let sink = sink().start().await.unwrap();
    let check = async |path: &str, body: Vec<u8>, status: u16, expect: &[u8]| {
        let answered = post(&sink, path, &[PROTOBUF], body).await;
        let text = String::from_utf8_lossy(&answered.body);
        assert_eq!((answered.status, &text), (status, &String::from_utf8_lossy(expect)), "{path}");
    };
    // _timestamp, severity, dropped_attributes_count, body, service_name
    check("/v1/logs", logs_with(many(995)), 200, b"").await;
    check("/v1/logs", logs_with(many(996)), 200, &[0x0a, 0x00]).await;
    assert_eq!(sink.counts().log_records, 2);
    assert_eq!(
        sink.oddities().iter().map(|oddity| oddity.kind).collect::<Vec<_>>(),
        [OddityKind::TooManyColumns]
    );

    let text = |count: usize, stream: &str| {
        let message =
            format!("Got {count} columns for stream [{stream}], but only 1000 columns accept");
        format!(r#"{{"code":400,"message":"{message}"}}"#).into_bytes()
    };
    // The 11 columns that every span has and the 4 of its times.
    let traces_with =
        |count| traces(vec![Span { attributes: many(count), ..span("a") }]).encode_to_vec();
    check("/v1/traces", traces_with(985), 200, b"").await;
    check("/v1/traces", traces_with(986), 400, &text(1001, "default")).await;
    // The 7 columns that every gauge has, and service_name; another metric has a stream and columns of its own.
    let metrics_with = |count| {
        let other = Metric { name: "other".to_owned(), ..gauge(vec![point(1.0)]) };
        metrics(vec![gauge(vec![NumberDataPoint { attributes: many(count), ..point(1.0) }]), other])
            .encode_to_vec()
    };
    check("/v1/metrics", metrics_with(992), 200, b"").await;
    check("/v1/metrics", metrics_with(993), 400, &text(1001, "faas_invoke_duration")).await;
    assert_eq!((sink.counts().spans, sink.counts().data_points), (1, 2));
}

/// A record with an attribute `_timestamp` is accepted, and stored at that time or not at all.
#[tokio::test]
async fn a_timestamp_attribute_replaces_the_time_of_a_log_record() {
    let sink = sink().start().await.unwrap();
    let record = |attribute| LogRecord { attributes: vec![attribute], ..record() };
    let records =
        vec![record(attribute("_timestamp", "x")), record(any("_timestamp", Value::IntValue(7)))];
    let answered = post(&sink, "/v1/logs", &[PROTOBUF], logs(records).encode_to_vec()).await;
    assert_eq!((answered.status, sink.counts().log_records), (200, 2));
    let rows = sink.rows();
    let times: Vec<_> = rows.iter().map(|row| row.columns["_timestamp"].to_string()).collect();
    assert_eq!(times, ["7"]);
}

#[tokio::test]
async fn json_requests_are_decoded_and_answered() {
    let sink = sink().start().await.unwrap();
    let (now, old) = (NOW, NOW - 6 * HOUR);
    let spans = |time: u64| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"a","kind":2,"startTimeUnixNano":"{time}","endTimeUnixNano":"{time}"}}]}}]}}]}}"#
        )
    };
    let logs = |time: u64| {
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{time}","severityText":"INFO","body":{{"stringValue":"x"}}}}]}}]}}]}}"#
        )
    };
    let answered = post(&sink, "/v1/traces", &[JSON], spans(now)).await;
    assert_eq!((answered.status, answered.text()), (200, r#"{"partialSuccess":null}"#));
    let answered = post(&sink, "/v1/traces", &[JSON], spans(old)).await;
    assert_eq!((answered.status, answered.header("content-type")), (206, Some(JSON.1)));
    assert!(answered.text().contains("rejectedSpans"), "{}", answered.text());
    let answered = post(&sink, "/v1/logs", &[JSON], logs(now)).await;
    assert_eq!((answered.status, answered.text()), (200, ""));
    // The header says JSON, the body is protobuf.
    let answered = post(&sink, "/v1/logs", &[JSON], logs(old)).await;
    assert_eq!((answered.status, answered.header("content-type")), (200, Some(JSON.1)));
    let response = ExportLogsServiceResponse::decode(answered.body).unwrap();
    assert_eq!(response.partial_success.unwrap().rejected_log_records, 1);
    assert_eq!((sink.counts().spans, sink.counts().log_records, sink.counts().rejected), (1, 1, 2));
    assert_eq!(sink.spans()[0].item.trace_id[..2], [1, 2]);
    assert_eq!(sink.oddities(), []);
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":1.5,"timeUnixNano":"1"}]}}]}]}]}"#;
    assert_eq!(post(&sink, "/v1/metrics", &[JSON], body).await.status, 200);
    assert_eq!(kinds(&sink), [OddityKind::JsonMetrics]);
}

#[tokio::test]
async fn json_streams_count_rejected_and_unwritten_records() {
    let sink = sink().start().await.unwrap();
    let check = async |body: &'static str, expected: &str| {
        let answered = post(&sink, "/api/acme/My-Logs/_json", &[JSON], body).await;
        assert!(answered.text().contains(expected), "{body}: {}", answered.text());
    };
    check(r#"[{"a":1},{"_timestamp":1767225600000000}]"#, r#""successful":2"#).await;
    check(r#"[{"_timestamp":"soon"},{"a":1}]"#, r#""error":"Can't parse timestamp","failed":1"#)
        .await;
    check(r#"{"_timestamp":1767200000000000}"#, "Too old data").await;
    check(r#"[{"a":1},2]"#, "Invalid json").await;
    sink.script([ScriptedResponse::WriteFailed]);
    check(r#"{"a":1}"#, r#"{"failed":0,"name":"my_logs","successful":0}"#).await;
    assert_eq!((sink.counts().json_records, sink.counts().rejected), (3, 2));
    let records = sink.json_records();
    assert_eq!((records[0].organization.as_str(), records[0].stream.as_str()), ("acme", "my_logs"));
}
