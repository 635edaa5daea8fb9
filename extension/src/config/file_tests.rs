use super::file::{ConfigKey, KEYS, PREFIX, WithKeys};
use super::{Config, Output, PortKnownTo};
use backend::Protocol;
use settings::Source as _;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::SignalKind;

/// Reads a file with this name, and these variables.
fn config_of(name: &str, text: &str, variables: &[(&str, &str)]) -> Config {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let mut source: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    source.insert("LAMBDA_TASK_ROOT".into(), folder.path().to_str().unwrap().into());
    Config::from_source(&source)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    config_of("lambda-otlp.toml", text, variables)
}

/// The URL of traces, and the authorization header.
fn destination(config: &Config) -> (String, String) {
    let Output::Otlp(direct) = &config.choice.output else { panic!("{:?}", config.choice) };
    let mut headers = direct.destination.headers.iter();
    let authorization = headers.find(|(name, _)| *name == "authorization");
    let authorization = authorization.map(|(_, value)| value.expose().to_owned());
    let url = direct.destination.endpoints.of(SignalKind::Traces).to_string();
    (url, authorization.unwrap_or_default())
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
    max_queue_bytes = 3_000_000
"#;

#[test]
fn the_file_sets_the_same_options_as_variables() {
    let config = config(FILE, &[]);
    assert_eq!(config.complaint(), "");
    let url = "https://file.example.com/api/default/v1/traces";
    assert_eq!(destination(&config), (url.to_owned(), "Basic aHVudGVyMg==, 100 %".to_owned()));
    let Output::Otlp(direct) = &config.choice.output else { panic!() };
    assert_eq!(direct.protocol, Protocol::HttpProtobuf);
    assert_eq!(direct.destination.request_timeout, Duration::from_millis(700));
    assert_eq!(direct.flush.interval, Duration::from_secs(7));
    assert_eq!(direct.flush.buffer_bytes, 3 << 20);
    assert_eq!(config.receiver_port, 4400);
    // djv3's file, where ours is not there.
    let theirs = config_of("otel-extension.toml", FILE, &[]);
    assert_eq!(theirs.receiver_port, 4400);
    assert_eq!(theirs.receiver_port_known_to, PortKnownTo::Extension, "the wrapper reads no file");
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
    let source = WithKeys::of(&of_lambda);
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
        let config = config(text, variables);
        let expected = (format!("https://{host}/v1/traces"), authorization.to_owned());
        assert_eq!(destination(&config), expected, "{variables:?}");
        assert_eq!(config.complaint(), complaint, "{variables:?}");
    };
    let (file, secret) = ("file.example.com/api/default", "Basic aHVudGVyMg==, 100 %");
    let (djv3, of_djv3) = ("djv3.example.com", "Basic ZGp2Mw==");
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
    let headers = "[exporter]\nheaders = { authorization = \"Basic aHVudGVyMg==\" }\n";
    check(headers, &[DJV3], [djv3, "Basic aHVudGVyMg==", ""]);
    let alone = config(headers, &[]).complaint();
    assert!(alone.ends_with("exporter.headers (another endpoint is used)"), "{alone}");
}

#[test]
fn unused_keys_are_reported_in_one_line() {
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
    let said = "lambda-otlp.toml: these keys are not used: correlation.emit_orphaned_spans, \
                correlation.max_correlation_delay, exporter.endpont, flush.strategy, title";
    let config = config(text, &[]);
    assert_eq!((config.complaint().as_str(), &config.choice.output), (said, &Output::Stdout));
    assert!(config.mistakes.is_empty());
}

#[test]
fn invalid_toml_is_reported_with_its_line_and_ignored() {
    let text = "[exporter]\nendpoint = \"https://o2.example.com\"\nheaders = hunter2\n";
    let config = config(text, &[]);
    assert_eq!(config.choice.output, Output::Stdout);
    let complaint = config.complaint();
    assert!(complaint.starts_with("lambda-otlp.toml: line 3: "), "{complaint}");
    assert!(!complaint.contains("hunter2") && config.mistakes.len() == 1, "{complaint}");
}

/// A file that says other things than the variables beside it.
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
fn djv3_variables_are_supported_and_override_the_file() {
    let variables = [
        ("LAMBDA_OTEL_EXPORTER_ENDPOINT", "https://djv3.example.com"),
        ("LAMBDA_OTEL_EXPORTER_HEADERS", r#"{authorization="Basic ZGp2Mw==", x-tenant=shop}"#),
        ("LAMBDA_OTEL_EXPORTER_PROTOCOL", "http"),
        ("LAMBDA_OTEL_EXPORTER_COMPRESSION", "none"),
        ("LAMBDA_OTEL_EXPORTER_TIMEOUT", "700"),
        ("LAMBDA_OTEL_RECEIVER_HTTP_PORT", "4400"),
        ("LAMBDA_OTEL_FLUSH_INTERVAL", "7000"),
        ("LAMBDA_OTEL_FLUSH_TIMEOUT", "800"),
        ("LAMBDA_OTEL_FLUSH_MAX_QUEUE_BYTES", "3000000"),
    ];
    let config = config(OTHER, &variables);
    assert_eq!(config.complaint(), "");
    let url = "https://djv3.example.com/v1/traces";
    assert_eq!(destination(&config), (url.to_owned(), "Basic ZGp2Mw==".to_owned()));
    let Output::Otlp(direct) = &config.choice.output else { panic!() };
    let tenant = direct.destination.headers.iter().find(|(name, _)| *name == "x-tenant");
    assert_eq!(tenant.unwrap().1.expose(), "shop");
    assert_eq!(config.choice.because, "LAMBDA_OTEL_EXPORTER_ENDPOINT is set");
    assert_eq!(direct.protocol, Protocol::HttpProtobuf);
    assert_eq!(direct.destination.compression, backend::Compression::None);
    assert_eq!(direct.destination.request_timeout, Duration::from_millis(700));
    assert_eq!(direct.flush.interval, Duration::from_secs(7));
    assert_eq!(direct.flush.timeout, Duration::from_millis(800));
    assert_eq!(direct.flush.buffer_bytes, 3 << 20);
    assert_eq!(config.receiver_port, 4400);
}

#[test]
fn headers_do_not_go_to_the_endpoint_that_an_sdk_has_for_one_signal() {
    for signal in ["TRACES", "METRICS", "LOGS"] {
        let name = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let of_sdk = (name.as_str(), "https://sdk.example.com/v1/any");
        for config in [config("", &[DJV3, DJV3_HEADERS, of_sdk]), config(FILE, &[of_sdk])] {
            let Output::Otlp(direct) = &config.choice.output else { panic!("{signal}") };
            let endpoints = format!("{:?}", direct.destination.endpoints);
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
        let config = config("", &variables);
        let Output::Json(direct) = &config.choice.output else { panic!("{:?}", config.choice) };
        let url = "https://api.openobserve.ai/api/shop/v1/traces";
        assert_eq!(direct.destination.endpoints.of(SignalKind::Traces).as_str(), url);
    }
    let without = [organization, ("LAMBDA_OTLP_HEADERS", "x-a=b")];
    assert_eq!(config("", &without).choice.output, Output::Stdout);
}

#[test]
fn a_loopback_endpoint_in_the_file_sets_no_receiver_port() {
    let file = "[exporter]\nendpoint = \"http://127.0.0.1:5080/c\"\nheaders = { authorization = \"Basic aHVudGVyMg==\" }\n";
    let asked = config(file, &[("LAMBDA_OTLP_OUTPUT", "otlp")]);
    let url = "http://127.0.0.1:5080/c/v1/traces";
    assert_eq!(destination(&asked), (url.to_owned(), "Basic aHVudGVyMg==".to_owned()));
    assert_eq!((asked.receiver_port, asked.complaint().as_str()), (4318, ""));
    let unasked = config(file, &[]);
    assert_eq!((unasked.receiver_port, &unasked.choice.output), (4318, &Output::Stdout));
    let said = "exporter.endpoint of lambda-otlp.toml: leads to this environment";
    assert!(unasked.complaint().starts_with(said), "{}", unasked.complaint());
}

#[test]
fn unused_o2_and_djv3_variables_are_reported_in_one_line() {
    let o2 = [("O2_BATCH_SIZE", "hunter2"), ("O2_MAX_RETRY_DELAY_MS", "hunter2")];
    let said = "O2_*: these variables are not used: O2_BATCH_SIZE, O2_MAX_RETRY_DELAY_MS";
    assert_eq!(config("", &o2).complaint(), said);
    let config = config(
        "",
        &[
            ("LAMBDA_OTEL_FLUSH_MAX_BATCH_BYTES", "hunter2"),
            ("LAMBDA_OTEL_CORRELATION_EMIT_ORPHANED_SPANS", "true"),
            ("LAMBDA_OTEL_ENDPOINT", "https://hunter2.example.com"),
            ("LAMBDA_OTEL_FLUSH_INTERVAL", "soon"),
        ],
    );
    let said = "LAMBDA_OTEL_*: these variables are not used: LAMBDA_OTEL_CORRELATION_EMIT_ORPHANED_SPANS, \
                LAMBDA_OTEL_ENDPOINT, LAMBDA_OTEL_FLUSH_MAX_BATCH_BYTES; \
                LAMBDA_OTEL_FLUSH_INTERVAL: \"soon\" is not a duration (5s, 500ms, or milliseconds)";
    assert_eq!(config.complaint(), said);
}

#[test]
fn variable_names_are_prefixed_keys_in_upper_case() {
    for ConfigKey { name, variable, .. } in KEYS {
        let expected = [PREFIX, &name.replace('.', "_").to_uppercase()].concat();
        assert_eq!(variable.name, expected);
    }
}
