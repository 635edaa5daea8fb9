//! OTLP/JSON in tables: every accepted spelling, and every refused one.

use lambda_otlp_wire::{Limits, Logs, Malformed, Metrics, Request, Signal, SignalKind, Traces};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value as Json, json};

fn read<S: Signal>(json: &Json) -> Result<S::Request, String> {
    read_text::<S>(&json.to_string())
}

fn read_text<S: Signal>(json: &str) -> Result<S::Request, String> {
    let request = Request::from_json(S::KIND, json.as_bytes(), &Limits::default());
    Ok(request.map_err(|error| error.to_string())?.decode::<S>().unwrap().unwrap())
}

fn span(json: &Json) -> Result<Span, String> {
    let read = read::<Traces>(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [json]}]}]}))?;
    Ok(read.resource_spans[0].scope_spans[0].spans[0].clone())
}

fn log_record(json: &Json) -> Result<LogRecord, String> {
    log_record_of_text(&json.to_string())
}

fn log_record_of_text(json: &str) -> Result<LogRecord, String> {
    let around = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#;
    let read = read_text::<Logs>(&around.replace("{}", json))?;
    Ok(read.resource_logs[0].scope_logs[0].log_records[0].clone())
}

fn body(json: &str) -> Result<Option<Value>, String> {
    let record = log_record_of_text(&format!(r#"{{"body":{json}}}"#))?;
    Ok(record.body.and_then(|body| body.value))
}

fn data(metric: &Json) -> Result<Data, String> {
    let read =
        read::<Metrics>(&json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}))?;
    read.resource_metrics[0].scope_metrics[0].metrics[0].data.clone().ok_or("no data".to_owned())
}

#[test]
fn values_are_parsed_in_every_spelling() {
    let check = |json: &str, expected: Value| {
        assert_eq!(body(json).as_ref(), Ok(&Some(expected)), "{json}");
    };
    check(r#"{"stringValue":"x"}"#, Value::StringValue("x".into()));
    check(r#"{"stringValue":""}"#, Value::StringValue(String::new()));
    check(r#"{"stringValue":"\u00e9\n\"\\"}"#, Value::StringValue("é\n\"\\".into()));
    check(r#"{"stringValue":"\ud83d\ude00"}"#, Value::StringValue("😀".into()));
    check(r#"{"boolValue":false}"#, Value::BoolValue(false));
    check(r#"{"intValue":"-9223372036854775808"}"#, Value::IntValue(i64::MIN));
    check(r#"{"intValue":9223372036854775807}"#, Value::IntValue(i64::MAX));
    check(r#"{"intValue":0}"#, Value::IntValue(0));
    check(r#"{"intValue":-0.0}"#, Value::IntValue(0));
    check(r#"{"intValue":1e3}"#, Value::IntValue(1000));
    check(r#"{"intValue":"2.0"}"#, Value::IntValue(2));
    check(r#"{"intValue":9223372036854775808}"#, Value::DoubleValue(9_223_372_036_854_775_808.0));
    check(r#"{"intValue":-1e+21}"#, Value::DoubleValue(-1e21));
    check(r#"{"doubleValue":0}"#, Value::DoubleValue(0.0));
    check(r#"{"doubleValue":"1.5e-3"}"#, Value::DoubleValue(0.0015));
    check(
        r#"{"doubleValue":2.0888802268600234e-30}"#,
        Value::DoubleValue(2.088_880_226_860_023_4e-30),
    );
    check(r#"{"doubleValue":"Infinity"}"#, Value::DoubleValue(f64::INFINITY));
    check(r#"{"doubleValue":"-Infinity"}"#, Value::DoubleValue(f64::NEG_INFINITY));
    check(r#"{"bytesValue":"AQL/"}"#, Value::BytesValue(vec![1, 2, 255]));
    check(r#"{"bytesValue":"AQL_"}"#, Value::BytesValue(vec![1, 2, 255]));
    check(r#"{"bytesValue":"AQ"}"#, Value::BytesValue(vec![1]));
    check(r#"{"string_value":"x"}"#, Value::StringValue("x".into()));
    check(r#"{"stringValue":null,"intValue":1}"#, Value::IntValue(1));
    check(r#"{"x":{"y":[1,{}]},"intValue":1,"z":null}"#, Value::IntValue(1));
    let Ok(Some(Value::DoubleValue(nan))) = body(r#"{"doubleValue":"NaN"}"#) else { panic!() };
    assert!(nan.is_nan());
    for empty in ["{}", "null", r#"{"newValue":1}"#, r#"{"intValue":null}"#] {
        assert_eq!(body(empty), Ok(None), "{empty}");
    }
}

#[test]
fn a_lone_surrogate_becomes_replacement_characters() {
    let Ok(Some(Value::StringValue(text))) = body(r#"{"stringValue":"a\ud83d b"}"#) else {
        panic!()
    };
    assert_eq!(text, "a\u{fffd}\u{fffd}\u{fffd} b");
}

#[test]
fn null_is_an_empty_array_value_and_otherwise_absent() {
    let Ok(Some(Value::ArrayValue(array))) =
        body(r#"{"arrayValue":{"values":[{"intValue":1},null,{"intValue":3}]}}"#)
    else {
        panic!()
    };
    let values: Vec<_> = array.values.into_iter().map(|value| value.value).collect();
    assert_eq!(values, [Some(Value::IntValue(1)), None, Some(Value::IntValue(3))]);
    let record =
        log_record(&json!({"attributes": [null, {"key": "k", "value": null}], "traceId": null}));
    let record = record.unwrap();
    assert_eq!(record.attributes.len(), 1);
    assert_eq!(record.attributes[0].value, None);
    assert!(record.trace_id.is_empty());
    assert_eq!(read::<Logs>(&json!({"resourceLogs": null})).unwrap().resource_logs, []);
}

#[test]
fn ids_are_parsed_from_hexadecimal_or_base64() {
    let check = |id: &str, expected: &[u8]| {
        assert_eq!(span(&json!({"traceId": id})).unwrap().trace_id, expected, "{id}");
        assert_eq!(span(&json!({"parentSpanId": id})).unwrap().parent_span_id, expected, "{id}");
    };
    let trace_id = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c_u128.to_be_bytes();
    let span_id = 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes();
    check("5B8EFFF798038103D269B633813FC60C", &trace_id);
    check("5b8efff798038103d269b633813fc60c", &trace_id);
    check("eee19b7ec3c1b174", &span_id);
    check("", &[]);
    // The receiver judges a wrong length; the line is valid.
    check("abcd", &[0xab, 0xcd]);
    // ProtoJSON printers that do not know OTLP write base64.
    check("W47/95gDgQPSabYzgT/GDA==", &trace_id);
    check("7uGbfsPBsXQ=", &span_id);
}

#[test]
fn ids_of_links_log_records_and_exemplars_are_hexadecimal() {
    let (trace, id) = ("00000000000000000000000000000001", "0000000000000002");
    let linked = span(&json!({"links": [{"traceId": trace, "spanId": id}]})).unwrap();
    let record = log_record(&json!({"traceId": trace, "spanId": id})).unwrap();
    let exemplar = json!({"traceId": trace, "spanId": id, "asInt": "5"});
    let gauge = data(&json!({"gauge": {"dataPoints": [{"exemplars": [exemplar]}]}}));
    let Ok(Data::Gauge(gauge)) = gauge else { panic!("{gauge:?}") };
    let exemplar = &gauge.data_points[0].exemplars[0];
    for (trace_id, span_id) in [
        (&linked.links[0].trace_id, &linked.links[0].span_id),
        (&record.trace_id, &record.span_id),
        (&exemplar.trace_id, &exemplar.span_id),
    ] {
        assert_eq!(trace_id[..], 1u128.to_be_bytes());
        assert_eq!(span_id[..], 2u64.to_be_bytes());
    }
}

#[test]
fn enumerations_are_parsed_from_numbers_and_names() {
    let kind = |json: Json| span(&json!({"kind": json})).map(|span| span.kind);
    assert_eq!(kind(json!(2)), Ok(2));
    assert_eq!(kind(json!("SPAN_KIND_SERVER")), Ok(2));
    assert_eq!(kind(json!("SPAN_KIND_CONSUMER")), Ok(5));
    assert_eq!(kind(json!("3")), Ok(3));
    assert_eq!(kind(json!(77)), Ok(77));
    assert_eq!(kind(json!(-1)), Ok(-1));
    assert_eq!(kind(json!("SPAN_KIND_LATER_VERSION")), Ok(0));
    assert_eq!(
        kind(json!(true)),
        Err("Span: `kind` is not a number or a name of the enumeration".into())
    );
    let code = |json: Json| span(&json!({"status": {"code": json}})).unwrap().status.unwrap().code;
    assert_eq!(code(json!("STATUS_CODE_ERROR")), 2);
    let severity = |json| log_record(&json!({"severityNumber": json})).unwrap().severity_number;
    let names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "FATAL4"];
    let numbers = names.map(|name| severity(format!("SEVERITY_NUMBER_{name}")));
    assert_eq!(numbers, [1, 5, 9, 13, 17, 21, 24]);
    let temporality = |json| {
        let Ok(Data::Sum(sum)) = data(&json!({"sum": {"aggregationTemporality": json}})) else {
            panic!()
        };
        sum.aggregation_temporality
    };
    assert_eq!(temporality("AGGREGATION_TEMPORALITY_DELTA"), 1);
    assert_eq!(temporality("AGGREGATION_TEMPORALITY_CUMULATIVE"), 2);
}

#[test]
fn nanosecond_times_are_parsed_exactly() {
    let start =
        |json: Json| span(&json!({"startTimeUnixNano": json})).map(|s| s.start_time_unix_nano);
    assert_eq!(start(json!("1790000000123456789")), Ok(1_790_000_000_123_456_789));
    assert_eq!(start(json!(1_790_000_000_123_456_789_u64)), Ok(1_790_000_000_123_456_789));
    assert_eq!(start(json!("18446744073709551615")), Ok(u64::MAX));
    assert_eq!(start(json!(1.79e18)), Ok(1_790_000_000_000_000_000));
    let refused = Err("Span: `startTimeUnixNano` is not an unsigned 64-bit integer".to_owned());
    let wrong = json!(["-1", -1, "18446744073709551616", 1.5, "", "soon", [], true]);
    for wrong in wrong.as_array().unwrap() {
        assert_eq!(start(wrong.clone()), refused, "{wrong}");
    }
}

#[test]
fn an_explicit_zero_is_kept_in_optional_fields() {
    let point = json!({"sum": 0, "min": "0", "count": "2", "bucketCounts": ["0", 2], "explicitBounds": [0.0]});
    let Ok(Data::Histogram(histogram)) = data(&json!({"histogram": {"dataPoints": [point]}}))
    else {
        panic!()
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.sum, point.min, point.max), (Some(0.0), Some(0.0), None));
    assert_eq!(
        (point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()),
        ([0, 2].as_slice(), [0.0].as_slice())
    );
    let Ok(Data::Gauge(gauge)) = data(&json!({"gauge": {"dataPoints": [{"asInt": 0}]}})) else {
        panic!()
    };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsInt(0)));
    let zero = span(&json!({"startTimeUnixNano": 0, "name": "", "kind": 0, "traceId": ""}));
    assert_eq!(zero, Ok(Span::default()));
}

#[test]
fn snake_case_and_older_keys_are_accepted_and_other_spellings_ignored() {
    let spelled =
        span(&json!({"trace_id": "01", "start_time_unix_nano": 1, "dropped_attributes_count": 2}));
    let spelled = spelled.unwrap();
    assert_eq!(
        (spelled.trace_id, spelled.start_time_unix_nano, spelled.dropped_attributes_count),
        (vec![1], 1, 2)
    );
    let request =
        read::<Logs>(&json!({"resource_logs": [{"scope_logs": [{"log_records": [{}, {}]}]}]}));
    assert_eq!(request.unwrap().resource_logs[0].scope_logs[0].log_records.len(), 2);
    let before_0_15 = json!({"instrumentationLibrary": {"name": "shop"}, "spans": [{}]});
    let before_0_15 = json!({"resourceSpans": [{"instrumentationLibrarySpans": [before_0_15]}]});
    let request = read::<Traces>(&before_0_15).unwrap();
    let scope = &request.resource_spans[0].scope_spans[0];
    assert_eq!((scope.scope.as_ref().unwrap().name.as_str(), scope.spans.len()), ("shop", 1));
    // No other spelling is a key.
    let spelled = span(
        &json!({"trace__id": "01", "TraceId": "02", "traceid": "03", "trace_Id": "04", "trace_id_": "5"}),
    );
    assert_eq!(spelled, Ok(Span::default()));
}

#[test]
fn duplicate_keys_and_second_values_are_rejected() {
    let check = |json: &str, expected: &str| {
        assert_eq!(log_record_of_text(json), Err(expected.to_owned()), "{json}");
    };
    check(
        r#"{"body":{"stringValue":"a","intValue":1}}"#,
        "AnyValue: `intValue` is a second value where one is allowed",
    );
    check(r#"{"severityText":"a","severityText":"a"}"#, "LogRecord: `severityText` occurs twice");
    check(r#"{"severityText":"a","severity_text":"b"}"#, "LogRecord: `severityText` occurs twice");
    check(r#"{"attributes":[],"attributes":[]}"#, "LogRecord: `attributes` occurs twice");
    let two = data(&json!({"gauge": {}, "sum": {}}));
    assert_eq!(two, Err("Metric: `sum` is a second value where one is allowed".into()));
    let twice = read_text::<Logs>(r#"{"resourceLogs":[],"resource_logs":[]}"#);
    assert_eq!(twice, Err("ExportLogsServiceRequest: `resourceLogs` occurs twice".into()));
}

#[test]
fn a_value_of_the_wrong_type_is_reported_by_field() {
    let check = |json: &str, expected: &str| {
        assert_eq!(log_record_of_text(json), Err(expected.to_owned()), "{json}");
    };
    check(r#"{"body":"secret"}"#, "LogRecord: `body` is not an object");
    check(r#"{"body":["secret"]}"#, "LogRecord: `body` is not an object");
    check(r#"{"attributes":{}}"#, "LogRecord: `attributes` is not an array");
    check(r#"{"attributes":["secret"]}"#, "LogRecord: `attributes` is not an object");
    check(r#"{"severityText":12}"#, "LogRecord: `severityText` is not text");
    check(r#"{"flags":4294967296}"#, "LogRecord: `flags` is not an unsigned 32-bit integer");
    check(r#"{"traceId":"secret"}"#, "LogRecord: `traceId` is not an id in hexadecimal");
    check(r#"{"traceId":"abc"}"#, "LogRecord: `traceId` is not an id in hexadecimal");
    check(r#"{"traceId":"AQI="}"#, "LogRecord: `traceId` is not an id in hexadecimal");
    check(r#"{"traceId":7}"#, "LogRecord: `traceId` is not an id in hexadecimal");
    check(r#"{"body":{"boolValue":"true"}}"#, "AnyValue: `boolValue` is not true or false");
    check(r#"{"body":{"intValue":1.5}}"#, "AnyValue: `intValue` is not a 64-bit integer");
    check(
        r#"{"body":{"intValue":"9223372036854775808"}}"#,
        "AnyValue: `intValue` is not a 64-bit integer",
    );
    check(r#"{"body":{"intValue":1e999}}"#, "AnyValue: `intValue` is not a 64-bit integer");
    check(r#"{"body":{"doubleValue":"nan"}}"#, "AnyValue: `doubleValue` is not a number");
    check(r#"{"body":{"doubleValue":1e999}}"#, "AnyValue: `doubleValue` is not a number");
    check(r#"{"body":{"bytesValue":"s€cret"}}"#, "AnyValue: `bytesValue` is not base64");
    check(r#"{"body":{"arrayValue":[]}}"#, "AnyValue: `arrayValue` is not an object");
    for counts in [json!([1, "secret"]), json!([null])] {
        let packed = data(&json!({"histogram": {"dataPoints": [{"bucketCounts": counts}]}}));
        let expected = "HistogramDataPoint: `bucketCounts` is not an unsigned 64-bit integer";
        assert_eq!(packed, Err(expected.to_owned()), "{counts}");
    }
}

#[test]
fn invalid_json_is_rejected_without_quoting_its_content() {
    let check = |json: &str, expected: &str| {
        assert_eq!(read_text::<Traces>(json), Err(expected.to_owned()), "{json}");
    };
    check("[\"secret\"]", "not a JSON object");
    check("\"secret\"", "not a JSON object");
    check("null", "not a JSON object");
    check("", "not JSON: EOF while parsing a value at line 1 column 0");
    check("{\"secret", "not JSON: EOF while parsing a string at line 1 column 8");
    check("{}secret", "not JSON: trailing characters at line 1 column 3");
    check(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"secret"#,
        "not JSON: EOF while parsing a string at line 1 column 58",
    );
    check(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":secret"#,
        "not JSON: expected value at line 1 column 52",
    );
    check(r#"{"resourceSpans":5}"#, "ExportTraceServiceRequest: `resourceSpans` is not an array");
    let bytes = Request::from_json(SignalKind::Logs, b"{\"\xff\":1}", &Limits::default());
    assert_eq!(bytes.unwrap_err().to_string(), "not UTF-8");
    // Keys of other signals are unknown to this one.
    assert_eq!(read_text::<Traces>(r#"{"resourceLogs":5}"#).unwrap().resource_spans, []);
}

#[test]
fn nesting_size_and_item_count_are_limited() {
    let limits = Limits { inflated_bytes: 1000, nesting: 8, items: 3, ..Limits::default() };
    let read = |json: &str| {
        Request::from_json(SignalKind::Logs, json.as_bytes(), &limits).map_err(|e| e.to_string())
    };
    let nested = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        let body = format!("{open}{{}}{close}");
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#)
    };
    // Request, ResourceLogs, ScopeLogs, LogRecord, AnyValue; then two for each level.
    assert_eq!(read(&nested(1)).unwrap().items(), 1);
    assert_eq!(read(&nested(2)), Err("messages are nested deeper than 8 levels".into()));
    let deep = Request::from_json(SignalKind::Logs, nested(3000).as_bytes(), &Limits::default());
    assert_eq!(deep.unwrap_err(), lambda_otlp_wire::JsonError::Malformed(Malformed::TooDeep(64)));
    let records = |records: usize| {
        let records = vec!["{}"; records].join(",");
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
    };
    assert_eq!(read(&records(3)).unwrap().items(), 3);
    assert_eq!(
        read(&records(4)),
        Err("4 items in one request, but the limit leaves room for 3".into())
    );
    assert_eq!(read(&records(600)), Err("request becomes larger than 1000 bytes".into()));
    // Two bytes of JSON become eight of protobuf.
    let counts = vec!["0"; 200].join(",");
    let packed = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{counts}]}}]}}}}]}}]}}]}}"#
    );
    let error = Request::from_json(SignalKind::Metrics, packed.as_bytes(), &limits).unwrap_err();
    assert_eq!(error.to_string(), "request becomes larger than 1000 bytes");
}

/// The cases for which opentelemetry-proto's reader is unsuitable: if one of these begins to pass there, the reason for ours is
/// gone.
#[test]
fn opentelemetry_proto_rejects_or_misreads_some_otlp_json() {
    let theirs = |value: &str| {
        serde_json::from_str::<LogRecord>(&format!(r#"{{"body":{value}}}"#))
            .map(|record| record.body.and_then(|body| body.value))
            .map_err(|error| error.to_string())
    };
    for (why, value) in [
        ("doubles may be text", r#"{"doubleValue":"NaN"}"#),
        ("integers may be written as 1.0", r#"{"intValue":1.0}"#),
        ("half a surrogate pair", r#"{"stringValue":"\ud83d"}"#),
    ] {
        assert!(theirs(value).is_err(), "{why}");
        assert!(body(value).is_ok(), "{why}");
    }
    assert!(theirs(r#"{"intValue":"1","stringValue":"x"}"#).is_ok(), "two values, the last taken");
    assert!(serde_json::from_str::<Span>(r#"{"kind":"SPAN_KIND_SERVER"}"#).is_err());
    assert!(serde_json::from_str::<Span>(r#"{"traceId":null}"#).is_err());
    let ignored = serde_json::from_str::<Span>(r#"{"start_time_unix_nano":"1"}"#).unwrap();
    assert_eq!(ignored.start_time_unix_nano, 0);
}

/// The cases for which opentelemetry-proto's writer is unsuitable: if its text becomes ours, the reason for ours is gone.
#[test]
fn opentelemetry_proto_loses_some_doubles_and_writes_absent_fields() {
    let check = |log_record: &str, theirs: &str| {
        let json =
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{log_record}]}}]}}]}}"#);
        let request = Request::from_json(SignalKind::Logs, json.as_bytes(), &Limits::default());
        let request = request.unwrap();
        assert_eq!(request.to_json(), json);
        let record = &request.decode::<Logs>().unwrap().unwrap().resource_logs[0].scope_logs[0]
            .log_records[0];
        assert_eq!(serde_json::to_string(record).unwrap(), theirs);
    };
    // Absent fields of a record, as zero, empty or `null`.
    let before_body = r#"{"timeUnixNano":"0","observedTimeUnixNano":"0","severityNumber":0,"severityText":"","body":"#;
    let behind_attributes =
        r#","droppedAttributesCount":0,"flags":0,"traceId":"","spanId":"","eventName":""}"#;
    check("{}", &format!(r#"{before_body}null,"attributes":[]{behind_attributes}"#));
    // An attribute without a value gets one.
    check(
        r#"{"attributes":[{"key":"k"}]}"#,
        &format!(
            r#"{before_body}null,"attributes":[{{"key":"k","value":null}}]{behind_attributes}"#
        ),
    );
    // Doubles without digits in JSON are lost.
    for lost in ["NaN", "Infinity", "-Infinity"] {
        check(
            &format!(r#"{{"body":{{"doubleValue":"{lost}"}}}}"#),
            &format!(r#"{before_body}{{"doubleValue":null}},"attributes":[]{behind_attributes}"#),
        );
    }
}

#[test]
fn requests_are_written_in_the_specified_json_encoding() {
    let check = |kind: SignalKind, json: &str| {
        let request = Request::from_json(kind, json.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(request.to_json(), json);
    };
    check(
        SignalKind::Traces,
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"bytesValue":"AQI="}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"é\"\n","kind":2,"startTimeUnixNano":"1544712660000000000","status":{"code":2},"flags":257}]}]}]}"#,
    );
    check(
        SignalKind::Metrics,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":"NaN"},{"asDouble":"Infinity"},{"asDouble":"-Infinity"},{"asDouble":0.0},{"asDouble":1e-300},{"asInt":"-9223372036854775808"}]}},{"histogram":{"dataPoints":[{"count":"18446744073709551615","sum":-0.0,"bucketCounts":["1","2"],"explicitBounds":[0.5]}],"aggregationTemporality":1}},{"exponentialHistogram":{"dataPoints":[{"scale":-3,"positive":{"offset":-2147483648,"bucketCounts":["0","300"]}}]}}]}]}]}"#,
    );
    check(
        SignalKind::Logs,
        r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[{"body":{"arrayValue":{"values":[{},{"boolValue":false},{"intValue":"0"},{"stringValue":""},{"kvlistValue":{}}]}}},{}]}]}]}"#,
    );
    check(SignalKind::Logs, "{}");
}

#[test]
fn repeated_protobuf_fields_are_merged_in_json() {
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| resource.varint(2, 1));
        container.message(1, |resource| resource.message(1, |pair| pair.string(1, "k")));
        container.message(2, |scope| {
            scope.message(2, |record| {
                record.string(3, "first");
                record.string(3, "last");
                record.message(5, |body| {
                    body.always_varint(2, 1);
                    body.always_string(1, "x");
                    body.always_varint(3, 5);
                });
                record.string(19, "unknown");
            });
        });
    });
    let request = Request::check(SignalKind::Logs, bytes, &Limits::default()).unwrap();
    assert_eq!(
        request.to_json(),
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"k"}],"droppedAttributesCount":1},"scopeLogs":[{"logRecords":[{"severityText":"last","body":{"intValue":"5"}}]}]}]}"#
    );
    let theirs = request.decode::<Logs>().unwrap().unwrap().resource_logs.remove(0);
    assert_eq!(theirs.scope_logs[0].log_records[0].severity_text, "last");
    assert_eq!(theirs.resource.unwrap().dropped_attributes_count, 1);
}

#[test]
fn json_parsing_stops_at_the_message_limit() {
    let limits = Limits { messages: 3, ..Limits::default() };
    let read = |json: &str| {
        let read = Request::from_json(SignalKind::Logs, json.as_bytes(), &limits);
        read.map(|request| request.bytes().len()).map_err(|error| error.to_string())
    };
    assert_eq!(read(r#"{"resourceLogs":[{},{},{}]}"#), Ok(6));
    let too_many = "more than 3 attributes, values and other messages in one request";
    // Text after the fourth is ignored.
    for json in [r#"{"resourceLogs":[{},{},{},{}]}"#, r#"{"resourceLogs":[{},{},{},{},no JSON"#] {
        assert_eq!(read(json), Err(too_many.to_owned()));
    }
}
