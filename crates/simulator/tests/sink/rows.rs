//! The rows that OpenObserve would store, as it was seen to.

use lambda_otlp_simulator::sink::{Row, Signal};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use super::support::{
    NOW, PROTOBUF, attribute, gauge, logs, metrics, point, post, record, sink, span, traces,
};

/// The columns with these names, as JSON; a column that is not there is null.
fn columns(row: &Row, names: &[&str]) -> String {
    let values = names.iter().map(|name| row.columns.get(*name).unwrap_or(&Value::Null));
    values.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_span_is_a_row_whose_attributes_are_texts() {
    let sink = sink().start().await.unwrap();
    let span = Span {
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 20_000_000,
        attributes: vec![attribute("faas.coldstart", "true"), attribute("duration", "7")],
        ..span("GET /")
    };
    post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![span]).encode_to_vec()).await;
    let rows = sink.rows();
    assert_eq!(
        (rows.len(), rows[0].signal, rows[0].stream.as_str()),
        (1, Signal::Traces, "default")
    );
    let names = ["operation_name", "duration", "faas_coldstart", "attr_duration", "span_status"];
    assert_eq!(columns(&rows[0], &names), r#""GET /" 20000 "true" "7" "UNSET""#);
}

#[tokio::test]
async fn a_log_record_is_a_row_of_typed_attributes_and_its_resource() {
    let sink = sink().start().await.unwrap();
    let record = LogRecord {
        severity_text: "ERROR".to_owned(),
        attributes: vec![attribute("faas.invocation_id", "a-b")],
        ..record()
    };
    post(&sink, "/v1/logs", &[PROTOBUF], logs(vec![record]).encode_to_vec()).await;
    let rows = sink.rows();
    let names = ["severity", "faas_invocation_id", "trace_id"];
    assert_eq!(columns(&rows[0], &names), r#""ERROR" "a-b" null"#);
}

#[tokio::test]
async fn a_histogram_is_five_streams_and_its_buckets_add_up() {
    let sink = sink().start().await.unwrap();
    let point_of_two = HistogramDataPoint {
        time_unix_nano: NOW,
        count: 3,
        sum: Some(0.5),
        min: Some(0.1),
        max: Some(0.3),
        explicit_bounds: vec![0.1, 0.2],
        bucket_counts: vec![1, 1, 1],
        ..HistogramDataPoint::default()
    };
    let data = Histogram { aggregation_temporality: 1, data_points: vec![point_of_two] };
    let histogram = Metric {
        name: "faas.init_duration".to_owned(),
        data: Some(Data::Histogram(data)),
        ..Metric::default()
    };
    let request = metrics(vec![gauge(vec![point(1.0)]), histogram]);
    post(&sink, "/v1/metrics", &[PROTOBUF], request.encode_to_vec()).await;
    let rows: Vec<String> = sink
        .rows()
        .iter()
        .map(|row| format!("{} {}", row.stream, columns(row, &["le", "value"])))
        .collect();
    assert_eq!(
        rows,
        [
            "faas_invoke_duration null 1.0",
            "faas_init_duration_count null 3.0",
            "faas_init_duration_sum null 0.5",
            "faas_init_duration_min null 0.1",
            "faas_init_duration_max null 0.3",
            r#"faas_init_duration_bucket "0.1" 1.0"#,
            r#"faas_init_duration_bucket "0.2" 2.0"#,
            r#"faas_init_duration_bucket "inf" 3.0"#,
        ]
    );
}
