use super::*;
use expect_test::expect;
use std::collections::BTreeMap;

fn config(variables: &[(&str, &str)]) -> Config {
    let source: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_source(&source)
}

#[test]
fn the_settings_table_is_consistent_and_defaults_are_valid() {
    assert_eq!(TABLE.problems(), [""; 0]);
    assert_eq!(config(&[]).complaint(), "");
}

#[test]
fn variables_of_the_wrapper_and_of_the_forwarder_are_known() {
    for name in ["LAMBDA_OTLP_INSTRUMENT", "LAMBDA_OTLP_NEXT_WRAPPER", "LAMBDA_OTLP_STREAM"] {
        assert_eq!(config(&[(name, "/opt/otel-handler")]).complaint(), "", "{name}");
    }
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
fn the_json_log_format_gives_lines_a_level() {
    let format = ("AWS_LAMBDA_LOG_FORMAT", "JSON");
    let level = ("AWS_LAMBDA_LOG_LEVEL", "WARN");
    assert_eq!(config(&[level]).lines.json_level, None);
    assert_eq!(config(&[format]).lines.json_level.as_deref(), Some("INFO"));
    assert_eq!(config(&[format, level]).lines.json_level.as_deref(), Some("WARN"));
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

mod output {
    use super::*;
    use crate::config::Output;
    use std::time::Duration;
    use wire::SignalKind;

    const O2: [(&str, &str); 2] =
        [("O2_ORGANIZATION_ID", "shop"), ("O2_AUTHORIZATION_HEADER", "Basic aHVudGVyMjI=")];
    const LOCAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    const REMOTE: (&str, &str) =
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com/api/default");
    const OWN: (&str, &str) = ("LAMBDA_OTLP_ENDPOINT", "https://own.example.com/api/default");

    /// Where traces go, behind `json ` where events go as they come, or `stdout`; and why.
    fn chosen(variables: &[(&str, &str)]) -> (String, String) {
        let config = config(variables);
        assert!(!format!("{config:?}").contains("aHVudGVyMjI"), "{config:?}");
        let output = match &config.choice.output {
            Output::Stdout => "stdout".to_owned(),
            Output::Otlp(direct) => {
                direct.destination.endpoints.of(SignalKind::Traces).as_str().to_owned()
            }
            Output::Json(direct) => {
                let url = direct.destination.endpoints.of(SignalKind::Traces);
                format!("json {url}")
            }
        };
        (output, config.choice.because)
    }

    #[test]
    fn the_output_follows_its_variable_or_else_the_endpoint() {
        let check = |variables: &[(&str, &str)], output: &str, because: &str| {
            let expected = (output.to_owned(), because.to_owned());
            assert_eq!(chosen(variables), expected, "{variables:?}");
            assert_eq!(config(variables).complaint(), "", "{variables:?}");
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
        use backend::Protocol::{self, Grpc, HttpJson, HttpProtobuf};
        let check = |variables: &[(&str, &str)], expected: Protocol| {
            let config = config(variables);
            let Output::Otlp(direct) = &config.choice.output else { panic!("{variables:?}") };
            assert_eq!(
                (direct.protocol, config.complaint().as_str()),
                (expected, ""),
                "{variables:?}"
            );
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
        let wrong = config(&[OWN, own("http")]);
        assert!(wrong.complaint().contains("LAMBDA_OTLP_PROTOCOL"), "{}", wrong.complaint());
        assert!(matches!(wrong.choice.output, Output::Otlp(_)));
        let json = config(&[O2[0], O2[1], own("grpc")]);
        let Output::Json(direct) = &json.choice.output else { panic!("{:?}", json.choice) };
        assert_eq!(direct.protocol, HttpProtobuf);
        assert!(json.complaint().contains("that json does not cover"), "{}", json.complaint());
    }

    #[test]
    fn json_for_openobserve_is_replaced_by_protobuf_and_reported() {
        let check = |variables: &[(&str, &str)], complaint: &str| {
            let config = config(variables);
            let Output::Otlp(direct) = &config.choice.output else { panic!("{variables:?}") };
            assert_eq!(direct.protocol, backend::Protocol::HttpProtobuf, "{variables:?}");
            let begin = format!("{complaint}: OpenObserve refuses numbers");
            assert!(config.complaint().starts_with(&begin), "{}", config.complaint());
        };
        let own = ("LAMBDA_OTLP_PROTOCOL", "http/json");
        let of_sdk = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        check(&[OWN, own], "LAMBDA_OTLP_PROTOCOL");
        check(&[REMOTE, own], "LAMBDA_OTLP_PROTOCOL");
        check(&[REMOTE, of_sdk], "OTEL_EXPORTER_OTLP_PROTOCOL");
        let other = [OWN, own, ("LAMBDA_OTLP_BACKEND", "otlp")];
        let Output::Otlp(direct) = config(&other).choice.output else { panic!("direct") };
        assert_eq!(direct.protocol, backend::Protocol::HttpJson);
    }

    #[test]
    fn an_invalid_destination_selects_stdout_and_is_reported() {
        let check = |variables: &[(&str, &str)], complaint: &str| {
            let config = config(variables);
            assert_eq!(config.choice.output, Output::Stdout, "{variables:?}");
            assert!(
                config.complaint().contains("telemetry goes to stdout"),
                "{}",
                config.complaint()
            );
            assert!(config.complaint().contains(complaint), "{}", config.complaint());
            assert!(!config.complaint().contains("hunter2"), "{}", config.complaint());
        };
        let asked = ("LAMBDA_OTLP_OUTPUT", "otlp");
        check(&[asked], "LAMBDA_OTLP_ENDPOINT: missing");
        check(&[asked, LOCAL], "LAMBDA_OTLP_ENDPOINT: missing");
        for own in ["http://localhost:4318", "http://[::ffff:127.0.0.1]:4317", "http://0:6000/api"]
        {
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
        let here = ("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:5080/api/default");
        check(&[here], "LAMBDA_OTLP_ENDPOINT: leads to this environment");
        let here = ("LAMBDA_OTEL_EXPORTER_ENDPOINT", here.1);
        check(&[here], "LAMBDA_OTEL_EXPORTER_ENDPOINT: leads to this environment");
        let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", here.1);
        check(&[here], "set LAMBDA_OTLP_ENDPOINT and LAMBDA_OTLP_OUTPUT=otlp");
        check(&[OWN, ("LAMBDA_OTLP_HEADERS", "hunter2")], "LAMBDA_OTLP_HEADERS");
        check(&[OWN, ("LAMBDA_OTLP_CA_FILE", "/nowhere.pem")], "LAMBDA_OTLP_CA_FILE");
        check(&[OWN, ("LAMBDA_OTLP_SECRET", "hunter2")], "LAMBDA_OTLP_SECRET: not an ARN");
        let of_aws = [OWN, ("LAMBDA_OTLP_SECRET", "ssm:/o2"), ("AWS_ENDPOINT_URL", "hunter2")];
        check(&of_aws, "AWS_ENDPOINT_URL: not an absolute URL");
        let socks = "socks5://u:hunter2@p:1";
        check(&[OWN, ("LAMBDA_OTLP_PROXY", socks)], "LAMBDA_OTLP_PROXY: unsupported kind of proxy");
        check(&[OWN, ("HTTPS_PROXY", socks)], "HTTPS_PROXY: unsupported kind of proxy");
        let here = "http://u:hunter2@localhost:4318";
        check(&[OWN, ("LAMBDA_OTLP_PROXY", here)], "LAMBDA_OTLP_PROXY: port 4318 of this");
        check(&[OWN, ("HTTPS_PROXY", here)], "HTTPS_PROXY: port 4318 of this environment");
    }

    #[test]
    fn our_proxy_variable_overrides_https_proxy_and_no_proxy() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let Output::Otlp(direct) = config(variables).choice.output else { panic!() };
            let url = direct.destination.endpoints.of(wire::SignalKind::Traces);
            let proxy = direct.destination.proxy.as_ref().and_then(|proxy| proxy.of(url));
            assert_eq!(proxy.map(url::Url::as_str), expected, "{variables:?}");
        };
        let (own, all) = (("LAMBDA_OTLP_PROXY", "own:1"), ("HTTPS_PROXY", "http://all:2"));
        let exempt = ("NO_PROXY", ".example.com");
        check(&[OWN], None);
        check(&[OWN, own], Some("http://own:1/"));
        check(&[OWN, all], Some("http://all:2/"));
        check(&[OWN, all, exempt], None);
        check(&[OWN, all, exempt, own], Some("http://own:1/"));
        check(&[OWN, ("HTTP_PROXY", "http://all:2")], None);
    }

    #[test]
    fn a_zero_flush_timeout_disables_holding_in_direct_mode() {
        let zero = ("OTEL_LAMBDA_FLUSH_TIMEOUT", "0");
        assert!(!config(&[OWN, zero]).may_hold);
        assert!(config(&[OWN, zero, ("LAMBDA_OTLP_OUTPUT", "stdout")]).may_hold);
        assert!(config(&[OWN, ("OTEL_LAMBDA_FLUSH_TIMEOUT", "1ms")]).may_hold);
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
        let Output::Otlp(direct) = &config.choice.output else { panic!("{:?}", config.choice) };
        assert_eq!(direct.flush.interval, Duration::from_secs(5));
        assert_eq!(direct.flush.timeout, Duration::from_secs(1));
        assert_eq!((direct.flush.retries, direct.flush.buffer_bytes), (1, 16 << 20));
        assert!(config.complaint().contains("OTEL_EXPORTER_OTLP_COMPRESSION"));
    }
}
