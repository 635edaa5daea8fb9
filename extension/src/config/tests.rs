use super::*;
use backend::Protocol;
use expect_test::expect;
use std::time::Duration;
use wire::SignalKind;

fn config(variables: &[(&str, &str)]) -> Config {
    let source: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_source(&source)
}

fn direct(config: &Config) -> &Direct {
    config.output.direct.as_ref().unwrap_or_else(|| panic!("{}", config.output.because))
}

fn url(direct: &Direct) -> &str {
    direct.destination.endpoints.of(SignalKind::Traces).as_str()
}

#[test]
fn the_settings_table_is_consistent_and_defaults_are_valid() {
    assert_eq!(TABLE.problems(), [""; 0]);
    assert_eq!(config(&[]).complaint(), "");
    // Variables of the wrapper and of the forwarder are known.
    for name in ["LAMBDA_OTLP_INSTRUMENT", "LAMBDA_OTLP_NEXT_WRAPPER", "LAMBDA_OTLP_STREAM"] {
        assert_eq!(config(&[(name, "/opt/otel-handler")]).complaint(), "", "{name}");
    }
}

#[test]
fn an_endpoint_that_wants_signed_requests_is_a_mistake() {
    let config = config(&[
        ("LAMBDA_OTLP_ENDPOINT", "https://xray.eu-west-1.amazonaws.com/"),
        ("LAMBDA_OTLP_BACKEND", "otlp"),
        ("LAMBDA_OTLP_SIGNALS", "traces"),
    ]);
    let complaint = config.complaint();
    assert!(complaint.contains("signed with the function's role"), "{complaint}");
}

#[test]
fn the_receiver_ports_follow_the_sdk_endpoint() {
    let check = |variables: &[(&str, &str)], port, may_move| {
        let config = config(variables);
        let may_move_here = config.receiver_port_known_to == PortKnownTo::Nobody;
        assert_eq!((config.receiver_port, may_move_here), (port, may_move), "{variables:?}");
        // With another port, another extension may use the default ports, or the receiver has the one of gRPC.
        assert_eq!(config.grpc_port(), (port == 4318).then_some(4317), "{variables:?}");
    };
    let endpoint = |value| ("OTEL_EXPORTER_OTLP_ENDPOINT", value);
    let of_traces = |url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url);
    let port = |value| ("OTEL_LAMBDA_RECEIVER_PORT", value);
    check(&[], 4318, true);
    check(&[endpoint("https://o2.example.com")], 4318, true);
    check(&[endpoint("https://o2.example.com:443")], 4318, true);
    check(&[of_traces("https://o2.example.com/v1/traces")], 4318, true);
    check(&[of_traces("http://localhost:4318/v1/traces")], 4318, false);
    check(&[endpoint("http://localhost:4318")], 4318, false);
    check(&[endpoint("http://localhost")], 4318, false);
    check(&[endpoint("http://localhost:4317")], 4317, false);
    check(&[endpoint("http://127.0.0.1:14318")], 14318, false);
    check(&[endpoint("http://localhost:5000"), port("6000")], 6000, false);
    check(&[endpoint("http://localhost:5000"), port("0")], 5000, false);
    check(&[port("4318")], 4318, false);
    check(&[port("6000")], 6000, false);
    check(&[port("70000")], 4318, true);
}

#[test]
fn the_o2_span_mapping_variable_applies_if_ours_is_unset() {
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
fn mistakes_are_reported_in_one_line_and_numbers_clamped() {
    let config = config(&[
        ("LAMBDA_OTLP_LINE", "tiny"),
        ("O2_TELEMETRY_TYPES", "function, platfrom,function"),
        ("LAMBDA_OTLP_MAX_LINE_BYTES", "1MiB"),
        ("OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL", "11"),
        ("LAMBDA_OTLP_LINES", "compact"),
        ("LAMBDA_OTLP_STREAM", "orders"),
    ]);
    assert_eq!(config.telemetry_types, ["function"]);
    assert_eq!((config.lines.max_bytes, config.lines.compression_level), (250 * 1024, 9));
    assert!(!config.complaint().contains('\n'));
    expect![[r#"
        LAMBDA_OTLP_LINES: unknown
        did you mean LAMBDA_OTLP_LINE?
        O2_TELEMETRY_TYPES: names a type that is not platform, function or extension
        OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: outside 0 to 9, the nearer end is used
        LAMBDA_OTLP_LINE: "tiny" is not `standard` or `compact`
        LAMBDA_OTLP_MAX_LINE_BYTES: outside 1024 to 256000, the nearer end is used"#]]
    .assert_eq(&config.complaint().replace("; ", "\n"));
}

const O2: [(&str, &str); 2] =
    [("O2_ORGANIZATION_ID", "shop"), ("O2_AUTHORIZATION_HEADER", "Basic aHVudGVyMjI=")];
const LOCAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
const REMOTE: (&str, &str) =
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com/api/default");
const OWN: (&str, &str) = ("LAMBDA_OTLP_ENDPOINT", "https://own.example.com/api/default");

/// The destination of traces and its reason: a URL, with `json ` before it if events are sent as they come, or `stdout`.
fn chosen(config: &Config) -> (String, &str) {
    assert!(!format!("{config:?}").contains("aHVudGVyMjI"), "{config:?}");
    let url = config.output.direct.as_ref().map_or("stdout", |direct| url(direct));
    let json = if config.output.word() == "json" { "json " } else { "" };
    (format!("{json}{url}"), &config.output.because)
}

#[test]
fn the_output_follows_its_variable_or_else_the_endpoint() {
    let check = |variables: &[(&str, &str)], output: &str, because: &str| {
        let config = config(variables);
        assert_eq!(chosen(&config), (output.to_owned(), because), "{variables:?}");
        assert_eq!(config.complaint(), "", "{variables:?}");
    };
    let own = "https://own.example.com/api/default/v1/traces";
    let otel = "https://otel.example.com/api/default/v1/traces";
    let o2 = "https://api.openobserve.ai/api/shop/v1/traces";
    let json = "json https://api.openobserve.ai/api/shop/v1/traces";
    let asked = ("LAMBDA_OTLP_OUTPUT", "otlp");
    check(&[], "stdout", "no endpoint of another host is set");
    check(&[LOCAL], "stdout", "no endpoint of another host is set");
    check(&[O2[0], ("LAMBDA_OTLP_OUTPUT", "stdout")], "stdout", "LAMBDA_OTLP_OUTPUT is set");
    check(&[OWN], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&[REMOTE], otel, "OTEL_EXPORTER_OTLP_ENDPOINT is set");
    check(&[REMOTE, OWN], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&[LOCAL, OWN], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&O2, json, "O2_ORGANIZATION_ID is set");
    let secret = ("LAMBDA_OTLP_SECRET", "ssm:/o2");
    check(&[O2[0], secret], json, "O2_ORGANIZATION_ID is set");
    check(&[OWN, secret], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&[O2[0], O2[1], LOCAL], json, "O2_ORGANIZATION_ID is set");
    check(&[O2[0], O2[1], asked], o2, "LAMBDA_OTLP_OUTPUT is set");
    let as_they_come = ("LAMBDA_OTLP_OUTPUT", "json");
    check(&[as_they_come, OWN], &format!("json {own}"), "LAMBDA_OTLP_OUTPUT is set");
    check(&[O2[0], O2[1], OWN], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&[("LAMBDA_OTLP_OUTPUT", "stdout"), OWN], "stdout", "LAMBDA_OTLP_OUTPUT is set");
    check(&[asked, OWN], own, "LAMBDA_OTLP_OUTPUT is set");
    check(
        &[asked, ("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:5080/api/default")],
        "http://127.0.0.1:5080/api/default/v1/traces",
        "LAMBDA_OTLP_OUTPUT is set",
    );
    let proxy = ("HTTPS_PROXY", "http://proxy.example.com:3128");
    check(&[OWN, proxy], own, "LAMBDA_OTLP_ENDPOINT is set");
    check(&[OWN, ("HTTP_PROXY", "socks5://p")], own, "LAMBDA_OTLP_ENDPOINT is set");
}

#[test]
fn the_protocol_comes_from_the_source_of_the_endpoint() {
    use Protocol::{Grpc, HttpJson, HttpProtobuf};
    let complaint_of = |variables: &[(&str, &str)], expected: Protocol| {
        let config = config(variables);
        assert_eq!(direct(&config).protocol, expected, "{variables:?}");
        config.complaint()
    };
    let check = |variables: &[(&str, &str)], expected| {
        assert_eq!(complaint_of(variables, expected), "", "{variables:?}");
    };
    let own = |word| ("LAMBDA_OTLP_PROTOCOL", word);
    let of_sdk = |word| ("OTEL_EXPORTER_OTLP_PROTOCOL", word);
    let port = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com:4317");
    check(&[OWN], HttpProtobuf);
    check(&[OWN, own("grpc")], Grpc);
    let other = ("LAMBDA_OTLP_BACKEND", "otlp");
    check(&[OWN, own("http/json"), other], HttpJson);
    // Settings of the function's SDK do not apply to the extension's own endpoint.
    check(&[OWN, REMOTE, of_sdk("grpc")], HttpProtobuf);
    check(&[OWN, LOCAL, of_sdk("http/json")], HttpProtobuf);
    check(&[REMOTE, of_sdk("grpc")], Grpc);
    check(&[REMOTE, of_sdk("http/json"), other], HttpJson);
    check(&[REMOTE, of_sdk("grpc"), own("http/protobuf")], HttpProtobuf);
    check(&[port], Grpc);
    check(&[port, of_sdk("http/protobuf")], HttpProtobuf);
    check(&[port, O2[0], O2[1]], Grpc);
    for (variables, begin) in [
        (&[OWN, own("http")][..], "LAMBDA_OTLP_PROTOCOL"),
        (&[OWN, own("http/json")], "LAMBDA_OTLP_PROTOCOL: OpenObserve refuses numbers"),
        (&[REMOTE, own("http/json")], "LAMBDA_OTLP_PROTOCOL: OpenObserve refuses numbers"),
        (&[REMOTE, of_sdk("http/json")], "OTEL_EXPORTER_OTLP_PROTOCOL: OpenObserve refuses"),
        (&[O2[0], O2[1], own("grpc")], "LAMBDA_OTLP_PROTOCOL: telemetry that json does not cover"),
    ] {
        let complaint = complaint_of(variables, HttpProtobuf);
        assert!(complaint.starts_with(begin), "{complaint}");
    }
}

#[test]
fn an_invalid_destination_selects_stdout_and_is_reported() {
    let check = |variables: &[(&str, &str)], complaint: &str| {
        let config = config(variables);
        assert_eq!(config.output.direct, None, "{variables:?}");
        assert!(config.complaint().contains("telemetry goes to stdout"), "{}", config.complaint());
        assert!(config.complaint().contains(complaint), "{}", config.complaint());
        assert!(!config.complaint().contains("hunter2"), "{}", config.complaint());
    };
    let asked = ("LAMBDA_OTLP_OUTPUT", "otlp");
    check(&[asked], "LAMBDA_OTLP_ENDPOINT: missing");
    check(&[asked, LOCAL], "LAMBDA_OTLP_ENDPOINT: missing");
    for own in ["http://localhost:4318", "http://[::ffff:127.0.0.1]:4317", "http://0:6000/api"] {
        let variables =
            [asked, ("LAMBDA_OTLP_ENDPOINT", own), ("OTEL_LAMBDA_RECEIVER_PORT", "6000")];
        check(&variables, "LAMBDA_OTLP_ENDPOINT: port ");
    }
    let o2_endpoint = ("O2_ENDPOINT", "http://127.1:4318");
    check(&[O2[0], O2[1], o2_endpoint], "O2_ENDPOINT: port 4318 of this environment");
    check(&[asked, O2[0]], "O2_AUTHORIZATION_HEADER: missing");
    check(&[O2[0]], "O2_AUTHORIZATION_HEADER: missing beside O2_ORGANIZATION_ID: telemetry");
    check(&[O2[1]], "O2_ORGANIZATION_ID: missing beside O2_AUTHORIZATION_HEADER: telemetry");
    check(&[("LAMBDA_OTLP_ENDPOINT", "o2.example.com")], "LAMBDA_OTLP_ENDPOINT");
    let here = "http://127.0.0.1:5080/api/default";
    for (variable, complaint) in [
        ("LAMBDA_OTLP_ENDPOINT", "LAMBDA_OTLP_ENDPOINT: leads to this environment"),
        (
            "LAMBDA_OTEL_EXPORTER_ENDPOINT",
            "LAMBDA_OTEL_EXPORTER_ENDPOINT: leads to this environment",
        ),
    ] {
        check(&[(variable, here)], complaint);
    }
    check(
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", here)],
        "set LAMBDA_OTLP_ENDPOINT and LAMBDA_OTLP_OUTPUT=otlp",
    );
    check(&[OWN, ("LAMBDA_OTLP_HEADERS", "hunter2")], "LAMBDA_OTLP_HEADERS");
    check(&[OWN, ("LAMBDA_OTLP_CA_FILE", "/nowhere.pem")], "LAMBDA_OTLP_CA_FILE");
    check(&[OWN, ("LAMBDA_OTLP_SECRET", "hunter2")], "LAMBDA_OTLP_SECRET: not an ARN");
    let of_aws = [OWN, ("LAMBDA_OTLP_SECRET", "ssm:/o2"), ("AWS_ENDPOINT_URL", "hunter2")];
    check(&of_aws, "AWS_ENDPOINT_URL: not an absolute URL");
    let socks = "socks5://u:hunter2@p:1";
    check(&[OWN, ("LAMBDA_OTLP_PROXY", socks)], "LAMBDA_OTLP_PROXY: unsupported kind of proxy");
    check(&[OWN, ("HTTPS_PROXY", socks)], "HTTPS_PROXY: unsupported kind of proxy");
}

#[test]
fn invalid_values_are_replaced_and_direct_mode_stays_on() {
    let config = config(&[
        OWN,
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("O2_FLUSH_INTERVAL_MS", "soon"),
        ("O2_MAX_BUFFER_SIZE_MB", "1000"),
        ("O2_MAX_RETRIES", "1"),
    ]);
    let direct = direct(&config);
    assert_eq!(direct.flush.interval, Duration::from_secs(5));
    assert_eq!(direct.flush.timeout, Duration::from_secs(1));
    assert_eq!((direct.flush.retries, direct.flush.buffer_bytes), (1, 8 << 20));
    assert!(config.complaint().contains("OTEL_EXPORTER_OTLP_COMPRESSION"));
}

#[test]
fn the_buffer_is_small_enough_to_be_spilled_at_shutdown() {
    for (memory, mebibytes) in [("128", 4), ("256", 8), ("3008", 8)] {
        let config = config(&[OWN, ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)]);
        assert_eq!(direct(&config).flush.buffer_bytes, mebibytes << 20, "{memory} MB");
    }
}

/// Reads a file with this name, and these variables.
fn config_of(name: &str, text: &str, variables: &[(&str, &str)]) -> Config {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let mut source: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    source.insert("LAMBDA_TASK_ROOT".into(), folder.path().to_str().unwrap().into());
    Config::from_source(&source)
}

fn with_file(text: &str, variables: &[(&str, &str)]) -> Config {
    config_of("lambda-otlp.toml", text, variables)
}

fn header<'c>(config: &'c Config, name: &str) -> &'c str {
    let mut headers = direct(config).destination.headers.iter();
    headers.find(|header| header.0 == name).map_or("", |(_, value)| value.expose())
}

/// The URL of traces, and the authorization header.
fn destination(config: &Config) -> (&str, &str) {
    (url(direct(config)), header(config, "authorization"))
}

const FILE: &str = r#"
    # As djv3's extension has it.
    [exporter]
    endpoint = "https://file.example.com/api/default"
    protocol = "http"
    timeout = 700
    compression = "none"
    [exporter.headers]
    authorization = "Basic aHVudGVyMg==, 100 %"
    [receiver]
    http_port = 4400
    [flush]
    interval = "7s"
    timeout = 800
    max_queue_bytes = 3_000_000
"#;

/// A file with other values than the variables.
const OTHER: &str = r#"
    [exporter]
    protocol = "http/json"
    timeout = 100
    compression = "gzip"
    [receiver]
    http_port = 4401
    [flush]
    interval = 100
    timeout = 100
    max_queue_bytes = 1048576
"#;

#[test]
fn the_file_and_djv3s_variables_set_the_same_options_and_variables_win() {
    let variables = [
        ("LAMBDA_OTEL_EXPORTER_ENDPOINT", "https://file.example.com/api/default"),
        ("LAMBDA_OTEL_EXPORTER_HEADERS", r#"{authorization="Basic ZGp2Mw==", x-tenant=shop}"#),
        ("LAMBDA_OTEL_EXPORTER_PROTOCOL", "http"),
        ("LAMBDA_OTEL_EXPORTER_COMPRESSION", "none"),
        ("LAMBDA_OTEL_EXPORTER_TIMEOUT", "700"),
        ("LAMBDA_OTEL_RECEIVER_HTTP_PORT", "4400"),
        ("LAMBDA_OTEL_FLUSH_INTERVAL", "7000"),
        ("LAMBDA_OTEL_FLUSH_TIMEOUT", "800"),
        ("LAMBDA_OTEL_FLUSH_MAX_QUEUE_BYTES", "3000000"),
    ];
    let of_variables = with_file(OTHER, &variables);
    assert_eq!(of_variables.output.because, "LAMBDA_OTEL_EXPORTER_ENDPOINT is set");
    assert_eq!(header(&of_variables, "x-tenant"), "shop");
    let of_file = with_file(FILE, &[]);
    // djv3's file, where ours is not there.
    let theirs = config_of("otel-extension.toml", FILE, &[]);
    for (config, authorization) in [
        (of_variables, "Basic ZGp2Mw=="),
        (of_file, "Basic aHVudGVyMg==, 100 %"),
        (theirs, "Basic aHVudGVyMg==, 100 %"),
    ] {
        assert_eq!(config.complaint(), "");
        let url = "https://file.example.com/api/default/v1/traces";
        assert_eq!(destination(&config), (url, authorization));
        let direct = direct(&config);
        assert_eq!(direct.protocol, Protocol::HttpProtobuf);
        assert_eq!(direct.destination.compression, backend::Compression::None);
        assert_eq!(direct.destination.request_timeout, Duration::from_millis(700));
        assert_eq!(direct.flush.interval, Duration::from_secs(7));
        assert_eq!(direct.flush.timeout, Duration::from_millis(800));
        assert_eq!(direct.flush.buffer_bytes, 3 << 20);
        assert_eq!(config.receiver_port, 4400);
        assert_eq!(
            config.receiver_port_known_to,
            PortKnownTo::Extension,
            "the wrapper reads neither"
        );
    }
}

#[test]
fn the_file_path_is_configurable_and_the_task_root_defaulted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "[receiver]\nhttp_port = 4400\n[flush]\ninterval = \"soon\"\n").unwrap();
    let named = [("LAMBDA_OTLP_CONFIG_FILE", path.to_str().unwrap())];
    let config = Config::from_source(&named);
    assert_eq!(config.receiver_port, 4400);
    assert!(config.complaint().starts_with("flush.interval of LAMBDA_OTLP_CONFIG_FILE: "));
    let missing = Config::from_source(&[("LAMBDA_OTLP_CONFIG_FILE", "no-such.toml")]);
    assert!(missing.complaint().starts_with("LAMBDA_OTLP_CONFIG_FILE: the file cannot be read: "));
    let of_lambda = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")];
    let source = file::SettingsWithFile::of(&of_lambda);
    assert_eq!(source.get("LAMBDA_TASK_ROOT").as_deref(), Some("/var/task"));
    let in_lambda =
        [of_lambda[0], ("LAMBDA_OTLP_CA_FILE", "ca.pem"), ("LAMBDA_OTLP_ENDPOINT", "https://h")];
    let complaint = Config::from_source(&in_lambda).complaint();
    assert!(complaint.contains("LAMBDA_OTLP_CA_FILE: /var/task/ca.pem: "), "{complaint}");
}

const DJV3: (&str, &str) = ("LAMBDA_OTEL_EXPORTER_ENDPOINT", "https://djv3.example.com");
const DJV3_HEADERS: (&str, &str) =
    ("LAMBDA_OTEL_EXPORTER_HEADERS", "authorization=Basic%20ZGp2Mw==");

#[test]
fn variables_override_djv3s_and_the_file_but_headers_stay_with_their_endpoint() {
    let check = |text: &str, variables: &[(&str, &str)], expected: [&str; 3]| {
        let [host, authorization, complaint] = expected;
        let config = with_file(text, variables);
        let url = format!("https://{host}/v1/traces");
        assert_eq!(destination(&config), (url.as_str(), authorization), "{variables:?}");
        assert_eq!(config.complaint(), complaint, "{variables:?}");
    };
    let file = "file.example.com/api/default";
    let secret = "Basic aHVudGVyMg==, 100 %";
    let djv3 = "djv3.example.com";
    let of_djv3 = "Basic ZGp2Mw==";
    let own = ("LAMBDA_OTLP_ENDPOINT", "https://own.example.com");
    let otel = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com");
    // djv3's documentation has the function's SDK send to the extension.
    let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let unused =
        "lambda-otlp.toml: these keys are not used: exporter.headers (another endpoint is used)";
    check(FILE, &[here], [file, secret, ""]);
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic b3RlbA==");
    check(FILE, &[headers], [file, "Basic b3RlbA==", ""]);
    check(FILE, &[own], ["own.example.com", "", unused]);
    check(FILE, &[otel], ["otel.example.com", "", unused]);
    check(FILE, &[DJV3], [djv3, "", unused]);
    check("", &[DJV3, DJV3_HEADERS], [djv3, of_djv3, ""]);
    check("", &[DJV3, DJV3_HEADERS, here], [djv3, of_djv3, ""]);
    let unused = "LAMBDA_OTEL_*: these variables are not used: LAMBDA_OTEL_EXPORTER_ENDPOINT (another endpoint is used), \
                  LAMBDA_OTEL_EXPORTER_HEADERS (another endpoint is used)";
    check("", &[DJV3, DJV3_HEADERS, own], ["own.example.com", "", unused]);
    check("", &[DJV3, DJV3_HEADERS, otel], ["otel.example.com", "", unused]);
    // One of the two comes from the file, the other from a variable.
    let endpoint = "[exporter]\nendpoint = \"https://file.example.com\"\n";
    let headers = ("LAMBDA_OTEL_EXPORTER_HEADERS", r#"{"authorization"=Basic b3RoZXI=}"#);
    check(endpoint, &[headers], ["file.example.com", "Basic b3RoZXI=", ""]);
    let file = "[exporter]\nheaders = { authorization = \"Basic aHVudGVyMg==\" }\n";
    check(file, &[DJV3], [djv3, "Basic aHVudGVyMg==", ""]);
    let alone = with_file(file, &[]).complaint();
    assert!(alone.ends_with("exporter.headers (another endpoint is used)"), "{alone}");
}

#[test]
fn unused_keys_and_variables_are_reported_in_one_line() {
    let text = r#"
        title = "hunter2"
        [exporter]
        endpont = "https://hunter2.example.com"
        [correlation]
        max_correlation_delay = 500
        emit_orphaned_spans = true
        [flush]
        strategy = "end"
    "#;
    let of_file = "lambda-otlp.toml: these keys are not used: correlation.emit_orphaned_spans, \
                   correlation.max_correlation_delay, exporter.endpont, flush.strategy, title";
    let of_djv3 = [
        ("LAMBDA_OTEL_FLUSH_MAX_BATCH_BYTES", "hunter2"),
        ("LAMBDA_OTEL_CORRELATION_EMIT_ORPHANED_SPANS", "true"),
        ("LAMBDA_OTEL_FLUSH_INTERVAL", "soon"),
    ];
    let said_of_djv3 = "LAMBDA_OTEL_*: these variables are not used: LAMBDA_OTEL_CORRELATION_EMIT_ORPHANED_SPANS, \
                        LAMBDA_OTEL_FLUSH_MAX_BATCH_BYTES; \
                        LAMBDA_OTEL_FLUSH_INTERVAL: \"soon\" is not a duration (5s, 500ms, or milliseconds)";
    let of_o2 = [("O2_BATCH_SIZE", "hunter2"), ("O2_MAX_RETRY_DELAY_MS", "hunter2")];
    let said_of_o2 = "O2_*: these variables are not used: O2_BATCH_SIZE, O2_MAX_RETRY_DELAY_MS";
    for (text, variables, said) in
        [(text, &[][..], of_file), ("", &of_djv3, said_of_djv3), ("", &of_o2, said_of_o2)]
    {
        let config = with_file(text, variables);
        assert_eq!((config.complaint().as_str(), &config.output.direct), (said, &None));
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line_and_ignored() {
    let text = "[exporter]\nendpoint = \"https://o2.example.com\"\nheaders = hunter2\n";
    let config = with_file(text, &[]);
    assert_eq!(config.output.direct, None);
    let complaint = config.complaint();
    assert!(complaint.starts_with("lambda-otlp.toml: line 3: "), "{complaint}");
    assert!(!complaint.contains("hunter2") && config.mistakes.len() == 1, "{complaint}");
}

#[test]
fn headers_do_not_go_to_the_endpoint_that_an_sdk_has_for_one_signal() {
    for signal in ["TRACES", "METRICS", "LOGS"] {
        let name = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let of_sdk = (name.as_str(), "https://sdk.example.com/v1/any");
        for config in [config(&[DJV3, DJV3_HEADERS, of_sdk]), with_file(FILE, &[of_sdk])] {
            let endpoints = format!("{:?}", direct(&config).destination.endpoints);
            assert!(!endpoints.contains("sdk.example.com"), "{signal}: {endpoints}");
            assert_ne!(destination(&config).1, "", "{signal}");
        }
    }
}

#[test]
fn openobserve_gets_all_signals_with_its_own_credentials_or_ours() {
    let organization = ("O2_ORGANIZATION_ID", "shop");
    let headers = ("LAMBDA_OTLP_HEADERS", "x-a=b,Authorization=Basic%20b3Vycw==");
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://sdk.example.com/v1/traces");
    let own = ("O2_AUTHORIZATION_HEADER", "Basic bzI=");
    for variables in [[organization, headers, DJV3], [organization, own, of_traces]] {
        let openobserve = "json https://api.openobserve.ai/api/shop/v1/traces".to_owned();
        assert_eq!(chosen(&config(&variables)).0, openobserve);
    }
    let without = [organization, ("LAMBDA_OTLP_HEADERS", "x-a=b")];
    assert_eq!(config(&without).output.direct, None);
}

#[test]
fn a_loopback_endpoint_in_the_file_sets_no_receiver_port() {
    let file = "[exporter]\nendpoint = \"http://127.0.0.1:5080/c\"\nheaders = { authorization = \"Basic aHVudGVyMg==\" }\n";
    let asked = with_file(file, &[("LAMBDA_OTLP_OUTPUT", "otlp")]);
    let url = "http://127.0.0.1:5080/c/v1/traces";
    assert_eq!(destination(&asked), (url, "Basic aHVudGVyMg=="));
    assert_eq!((asked.receiver_port, asked.complaint().as_str()), (4318, ""));
    let unasked = with_file(file, &[]);
    assert_eq!((unasked.receiver_port, &unasked.output.direct), (4318, &None));
    let said = "exporter.endpoint of lambda-otlp.toml: leads to this environment";
    assert!(unasked.complaint().starts_with(said), "{}", unasked.complaint());
}
