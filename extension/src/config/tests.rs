use super::*;
use expect_test::expect;
use std::collections::BTreeMap;

fn config(variables: &[(&str, &str)]) -> Config {
    let source: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_source(&source)
}

#[test]
fn the_table_is_right_and_each_variable_is_read_as_its_row_says() {
    assert_eq!(TABLE.problems(), [""; 0]);
    assert_eq!(config(&[]).complaint, "");
}

#[test]
fn variables_of_the_wrapper_and_of_the_forwarder_are_known() {
    for name in ["LAMBDA_OTLP_INSTRUMENT", "LAMBDA_OTLP_NEXT_WRAPPER", "LAMBDA_OTLP_STREAM"] {
        assert_eq!(config(&[(name, "/opt/otel-handler")]).complaint, "", "{name}");
    }
}

#[test]
fn whoever_asks_it_to_send_is_told_that_it_writes_to_the_log() {
    let check = |variables: &[(&'static str, &'static str)], named: &str| {
        let complaint = config(variables).complaint;
        assert_eq!(complaint.is_empty(), named.is_empty(), "{variables:?}: {complaint}");
        assert!(complaint.contains(named) && !complaint.contains("hunter2"), "{complaint}");
    };
    let o2 = ("O2_ORGANIZATION_ID", "default");
    let o2_auth = ("O2_AUTHORIZATION_HEADER", "Basic hunter2");
    let local = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let remote = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://o2.example.com/api/default");
    let own = ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default");
    check(&[], "");
    check(&[local], "");
    check(&[remote], "OTEL_EXPORTER_OTLP_ENDPOINT");
    check(&[own], "LAMBDA_OTLP_ENDPOINT");
    check(&[local, own], "LAMBDA_OTLP_ENDPOINT");
    check(&[o2], "");
    check(&[o2, o2_auth], "O2_ORGANIZATION_ID");
}

#[test]
fn the_receiver_listens_where_the_function_sends() {
    let check = |variables: &[(&str, &str)], expected| {
        assert_eq!(config(variables).receiver_port, expected, "{variables:?}");
    };
    let endpoint = |value| ("OTEL_EXPORTER_OTLP_ENDPOINT", value);
    check(&[], 4318);
    let may_move = |variables: &[(&str, &str)]| config(variables).may_move_receiver;
    assert!(may_move(&[]) && may_move(&[endpoint("https://o2.example.com")]));
    assert!(!may_move(&[endpoint("http://localhost:4318")]));
    assert!(!may_move(&[("OTEL_LAMBDA_RECEIVER_PORT", "4318")]));
    check(&[endpoint("http://127.0.0.1:14318")], 14318);
    check(&[endpoint("http://localhost")], 4318);
    check(&[endpoint("https://o2.example.com:443")], 4318);
    check(&[endpoint("http://localhost:5000"), ("OTEL_LAMBDA_RECEIVER_PORT", "6000")], 6000);
    check(&[endpoint("http://localhost:5000"), ("OTEL_LAMBDA_RECEIVER_PORT", "0")], 5000);
    check(&[("OTEL_LAMBDA_RECEIVER_PORT", "70000")], 4318);
}

#[test]
fn grpc_is_answered_at_its_port_only_beside_the_default_one() {
    assert_eq!(config(&[]).grpc_port(), Some(4317));
    assert_eq!(config(&[("OTEL_LAMBDA_RECEIVER_PORT", "6000")]).grpc_port(), None);
    // Then the receiver itself is there.
    assert_eq!(
        config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")]).grpc_port(),
        None
    );
}

#[test]
fn the_older_name_of_the_mapping_counts_where_ours_is_unset() {
    let older = ("O2_SPAN_MAPPING_STRATEGY", "child_spans");
    let check = |variables: &[(&str, &str)], expected| {
        assert_eq!(config(variables).span_mapping, expected, "{variables:?}");
    };
    check(&[], SpanMapping::SpanEvents);
    check(&[older], SpanMapping::ChildSpans);
    check(&[older, ("LAMBDA_OTLP_SPAN_MAPPING", "span_events")], SpanMapping::SpanEvents);
    check(&[("LAMBDA_OTLP_SPAN_MAPPING", "child_spans")], SpanMapping::ChildSpans);
}

#[test]
fn the_json_log_format_gives_lines_a_level() {
    let format = ("AWS_LAMBDA_LOG_FORMAT", "JSON");
    let level = ("AWS_LAMBDA_LOG_LEVEL", "WARN");
    assert_eq!(config(&[level]).lines.json_level, None);
    assert_eq!(config(&[format]).lines.json_level.as_deref(), Some("INFO"));
    assert_eq!(config(&[format, level]).lines.json_level.as_deref(), Some("WARN"));
}

#[test]
fn all_mistakes_are_named_in_one_line_and_the_nearest_sense_is_made() {
    let config = config(&[
        ("LAMBDA_OTLP_HOLD", "sometimes"),
        ("O2_TELEMETRY_TYPES", "function, platfrom,function"),
        ("LAMBDA_OTLP_TELEMETRY_MAX_ITEMS", "10"),
        ("LAMBDA_OTLP_TELEMETRY_MAX_BYTES", "2MiB"),
        ("LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS", "1"),
        ("LAMBDA_OTLP_MAX_LINE_BYTES", "1MiB"),
        ("OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL", "11"),
        ("LAMBDA_OTLP_HOLDS", "auto"),
        ("LAMBDA_OTLP_STREAM", "orders"),
    ]);
    assert_eq!(
        config.telemetry,
        Telemetry {
            types: vec!["function"],
            max_items: 1000,
            max_bytes: 1_048_576,
            timeout: Duration::from_millis(25),
        }
    );
    assert_eq!((config.lines.max_bytes, config.lines.compression_level), (250 * 1024, 9));
    assert!(!config.complaint.contains('\n'));
    expect![[r#"
        LAMBDA_OTLP_HOLDS: unknown
        did you mean LAMBDA_OTLP_HOLD?
        LAMBDA_OTLP_HOLD: "sometimes" is not `auto`, `always` or `never`
        LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS: outside 25 to 30000, the nearer end is used
        O2_TELEMETRY_TYPES: names a type that is not platform, function or extension
        LAMBDA_OTLP_TELEMETRY_MAX_ITEMS: outside 1000 to 10000, the nearer end is used
        LAMBDA_OTLP_TELEMETRY_MAX_BYTES: outside 262144 to 1048576, the nearer end is used
        OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: outside 0 to 9, the nearer end is used
        LAMBDA_OTLP_MAX_LINE_BYTES: outside 1024 to 256000, the nearer end is used"#]]
    .assert_eq(&config.complaint.replace("; ", "\n"));
}

#[test]
fn a_small_function_gets_a_small_budget() {
    let check = |memory: &str, expected: usize| {
        let config = config(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)]);
        assert_eq!(config.receive_budget_bytes(), expected << 20, "{memory}");
    };
    check("", 16);
    check("128", 16);
    check("10240", 32);
}
