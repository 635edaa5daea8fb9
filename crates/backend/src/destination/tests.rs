use super::variables::{
    BACKEND, CA_FILE, ENDPOINT, HEADERS, O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION, O2_STREAM,
    O2_TIMEOUT, OTEL_COMPRESSION, OTEL_ENDPOINT, OTEL_HEADERS, OTEL_LOGS_ENDPOINT, OTEL_TIMEOUT,
    SIGNALS, STREAM,
};
use super::*;
use settings::{Reader, Remark, Table};
use std::collections::HashMap;
use url::Url;

const TABLE: Table = Table::new(&[DESTINATION, O2_DESTINATION, settings::PROXY]);

/// Describes the destination of these variables: endpoints, headers with their values, unusual settings, and all remarks.
fn described(variables: &[(&str, &str)]) -> Vec<String> {
    let source: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut reader = Reader::new(&source, TABLE);
    let mut lines = Vec::new();
    if let Some(destination) = DestinationConfig::read(&mut reader) {
        // The URL of all signals, or each.
        let one = destination.endpoints.of(SignalKind::Traces).as_str().replace("/traces", "/*");
        let of_signal = |kind: SignalKind| one.replace("/v1/*", kind.path());
        if SignalKind::ALL
            .iter()
            .all(|kind| destination.endpoints.of(*kind).as_str() == of_signal(*kind))
        {
            lines.push(one);
        } else {
            lines.extend(destination.endpoints.iter().map(Url::to_string));
        }
        let headers = destination.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.expose())));
        lines.extend(destination.secret.iter().map(|secret| format!("secret {secret}")));
        lines.extend(destination.stream.iter().map(|stream| format!("stream {stream}")));
        let DestinationConfig { profile, request_timeout, compression, .. } = destination;
        let others = format!("{profile:?} {request_timeout:?} {compression:?}");
        lines.extend(Some(others).filter(|others| others != "OpenObserve 10s Gzip"));
    }
    lines.extend(reader.warnings().iter().map(Remark::to_string));
    lines.extend(reader.finish().iter().map(Remark::to_string));
    lines
}

#[track_caller]
fn check(variables: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(described(variables), expected, "{variables:?}");
}

#[test]
fn the_table_is_sound() {
    assert_eq!(TABLE.problems(), [""; 0]);
    // `DestinationConfig::new` repeats the defaults for callers without variables.
    let variables = [(ENDPOINT.name(), "http://localhost/")];
    let mut reader = Reader::new(&variables, TABLE);
    let base = Url::parse("http://localhost/").unwrap();
    assert_eq!(DestinationConfig::read(&mut reader), Some(DestinationConfig::new(&base)));
}

#[test]
fn signal_paths_are_appended_to_the_base_url() {
    check(
        &[
            (ENDPOINT.name(), "https://o2.example.com/api/default/"),
            (HEADERS.name(), "authorization=Basic cHJhYmhhdA=="),
            (STREAM.name(), "lambda"),
            (BACKEND.name(), "otlp"),
            (OTEL_COMPRESSION.name(), "none"),
        ],
        &[
            "https://o2.example.com/api/default/v1/*",
            "authorization: Basic cHJhYmhhdA==",
            "stream lambda",
            "Otlp 10s None",
        ],
    );
    check(
        &[(ENDPOINT.name(), "http://127.0.0.1:4318?key=1")],
        &["http://127.0.0.1:4318/v1/*?key=1"],
    );
}

#[test]
fn cloudwatch_has_a_host_for_each_signal_and_a_log_group_for_records() {
    let endpoint = (ENDPOINT.name(), "https://logs.eu-west-1.amazonaws.com/");
    let backend = (BACKEND.name(), "otlp");
    check(
        &[endpoint, backend, (HEADERS.name(), "x-aws-log-group=a,x-aws-log-stream=b")],
        &[
            "https://xray.eu-west-1.amazonaws.com/v1/traces",
            "https://monitoring.eu-west-1.amazonaws.com/v1/metrics",
            "https://logs.eu-west-1.amazonaws.com/v1/logs",
            "x-aws-log-group: a",
            "x-aws-log-stream: b",
            "Otlp 10s Gzip",
        ],
    );
    let missing = "LAMBDA_OTLP_HEADERS: CloudWatch needs a log group and a log stream that exist for log records: x-aws-log-group=NAME,x-aws-log-stream=NAME";
    let problems = |variables: &[(&str, &str)]| described(variables).split_off(4);
    assert_eq!(problems(&[endpoint, backend]), [missing]);
    assert_eq!(problems(&[endpoint, backend, (SIGNALS.name(), "traces,metrics")]), [""; 0]);
}

#[test]
fn settings_that_a_backend_will_probably_refuse_are_named() {
    let otlp = |host| [(ENDPOINT.name(), host), (BACKEND.name(), "otlp")];
    let remarks = |variables: &[(&str, &str)]| -> Vec<String> {
        described(variables).into_iter().filter(|line| line.starts_with("LAMBDA_OTLP")).collect()
    };
    let prometheus = otlp("https://prometheus.example.com/api/v1/otlp");
    let refused = "refuses delta metrics, perhaps without an error, and ours are deltas: send metrics to a collector with deltatocumulative, or leave them out with traces,cumulative_metrics,logs";
    assert_eq!(remarks(&prometheus), [format!("LAMBDA_OTLP_SIGNALS: Prometheus {refused}")]);
    let grafana = otlp("https://otlp-gateway-prod-eu-west-2.grafana.net/otlp");
    assert_eq!(remarks(&grafana), [format!("LAMBDA_OTLP_SIGNALS: Grafana Cloud {refused}")]);
    let stated = (SIGNALS.name(), "cumulative_metrics");
    assert_eq!(remarks(&[&prometheus[..], &[stated]].concat()), [""; 0]);
    let wrong = (SIGNALS.name(), "traces,deltas");
    let unknown = "LAMBDA_OTLP_SIGNALS: \"deltas\" is not `traces`, `metrics`, `cumulative_metrics` or `logs`, separated by commas";
    assert_eq!(remarks(&[&prometheus[..], &[wrong]].concat()), [unknown]);
    let key = (HEADERS.name(), "authorization=KEY");
    let no_scheme = "LAMBDA_OTLP_HEADERS: authorization has no scheme; nearly all backends want `Basic …` or `Bearer …`";
    assert_eq!(remarks(&[&otlp("https://h")[..], &[key]].concat()), [no_scheme]);
    let other = (HEADERS.name(), "api-key=KEY");
    assert_eq!(remarks(&[&otlp("https://h")[..], &[other]].concat()), [""; 0]);
}

#[test]
fn signal_specific_endpoints_are_used_unchanged() {
    let logs = (OTEL_LOGS_ENDPOINT.name(), "http://localhost:9/custom");
    check(
        &[(OTEL_ENDPOINT.name(), "http://localhost:4318"), logs, (OTEL_HEADERS.name(), "x=%41")],
        &[
            "http://localhost:4318/v1/traces",
            "http://localhost:4318/v1/metrics",
            "http://localhost:9/custom",
            "x: A",
        ],
    );
    check(
        &[
            (OTEL_ENDPOINT.name(), "http://h"),
            (HEADERS.name(), "x-team=shop"),
            (OTEL_HEADERS.name(), "x=%41"),
        ],
        &[
            "http://h/v1/*",
            "x-team: shop",
            "OTEL_EXPORTER_OTLP_ENDPOINT: telemetry and credentials go to h without TLS; if it has TLS, use https://",
        ],
    );
    check(
        &[logs],
        &[
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: missing, and so is OTEL_EXPORTER_OTLP_ENDPOINT: traces have no endpoint",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: missing, and so is OTEL_EXPORTER_OTLP_ENDPOINT: metrics have no endpoint",
        ],
    );
    // Only what is wrong is said.
    let relative = "OTEL_EXPORTER_OTLP_ENDPOINT: not an absolute URL, expected http:// or https://";
    check(&[(OTEL_ENDPOINT.name(), "localhost"), logs], &[relative]);
}

#[test]
fn o2_variables_define_an_otlp_endpoint() {
    let basic = "authorization: Basic cHJhYmhhdA==";
    let whole = (O2_AUTHORIZATION.name(), "Basic cHJhYmhhdA==");
    check(
        &[(O2_ORGANIZATION.name(), "my org"), whole],
        &["https://api.openobserve.ai/api/my%20org/v1/*", basic, "stream default"],
    );
    check(
        &[
            (O2_ENDPOINT.name(), "http://10.0.0.7:5080/o2/"),
            (O2_ORGANIZATION.name(), "default"),
            (O2_AUTHORIZATION.name(), "cHJhYmhhdA=="),
            (O2_STREAM.name(), "lambda"),
            (O2_TIMEOUT.name(), "30000"),
        ],
        &[
            "http://10.0.0.7:5080/o2/api/default/v1/*",
            basic,
            "stream lambda",
            "OpenObserve 30s Gzip",
            "O2_ENDPOINT: telemetry and credentials go to 10.0.0.7 without TLS; if it has TLS, use https://",
        ],
    );
    check(
        &[
            (O2_ENDPOINT.name(), "https://o2.example.com/api/my%20org/"),
            (O2_ORGANIZATION.name(), "my org"),
            whole,
        ],
        &["https://o2.example.com/api/my%20org/v1/*", basic, "stream default"],
    );
    let cloud = "https://api.openobserve.ai/api/default/v1/*";
    for (ours, headers) in [
        ("x-team=shop", &["x-team: shop", basic][..]),
        ("authorization=Bearer t0ken", &["authorization: Bearer t0ken"]),
    ] {
        check(
            &[(HEADERS.name(), ours), (O2_ORGANIZATION.name(), "default"), whole],
            &[&[cloud], headers, &["stream default"]].concat(),
        );
    }
}

#[test]
fn credentials_never_go_to_an_endpoint_of_another_family() {
    check(
        &[
            (ENDPOINT.name(), "https://ours.example.com"),
            (OTEL_ENDPOINT.name(), "https://vendor.example.com"),
            (OTEL_HEADERS.name(), "api-key=hunter2"),
            (O2_ORGANIZATION.name(), "default"),
            (O2_AUTHORIZATION.name(), "hunter2"),
            (O2_STREAM.name(), "theirs"),
        ],
        &[
            "https://ours.example.com/v1/*",
            "OTEL_EXPORTER_OTLP_HEADERS: not sent to LAMBDA_OTLP_ENDPOINT; set LAMBDA_OTLP_HEADERS for it",
        ],
    );
}

#[test]
fn all_invalid_variables_are_reported_together() {
    check(
        &[],
        &[
            "LAMBDA_OTLP_ENDPOINT: missing; set it, or OTEL_EXPORTER_OTLP_ENDPOINT, or O2_ORGANIZATION_ID with O2_AUTHORIZATION_HEADER",
        ],
    );
    check(
        &[
            (ENDPOINT.name(), "o2.example.com"),
            (HEADERS.name(), "Content-Type=text/plain"),
            (STREAM.name(), "a\nb"),
            (BACKEND.name(), "o2"),
            (OTEL_TIMEOUT.name(), "0"),
            (OTEL_COMPRESSION.name(), "zstd"),
        ],
        &[
            "LAMBDA_OTLP_BACKEND: \"o2\" is not `openobserve` or `otlp`",
            "OTEL_EXPORTER_OTLP_COMPRESSION: \"zstd\" is not `gzip` or `none`",
            "OTEL_EXPORTER_OTLP_TIMEOUT: must be longer than 0",
            "LAMBDA_OTLP_HEADERS: content-type cannot be set, it follows from how the body is sent",
            "LAMBDA_OTLP_STREAM: contains characters that a header cannot",
            "LAMBDA_OTLP_ENDPOINT: not an absolute URL, expected http:// or https://",
        ],
    );
    check(
        &[(ENDPOINT.name(), "https://o2.example.com/api/default/v1/traces/")],
        &["LAMBDA_OTLP_ENDPOINT: ends in /v1/traces, which is appended; give the URL without it"],
    );
}

#[test]
fn a_cloud_url_without_an_organization_is_rejected() {
    let check = |variables: &[(&str, &str)], name: &str| {
        let problem = format!("{name}: the URL of OpenObserve Cloud names no organization");
        let described = described(variables);
        assert!(described.len() == 1 && described[0].starts_with(&problem), "{described:?}");
    };
    let base = "https://api.openobserve.ai";
    let whole = "https://api.openobserve.ai/api/shop";
    for url in [
        base,
        "https://api.openobserve.ai/api/",
        "https://API.OpenObserve.ai/default",
        "https://cloud.openobserve.ai/web/?org_identifier=shop",
        "https://openobserve.ai",
    ] {
        check(&[(ENDPOINT.name(), url)], ENDPOINT.name());
    }
    check(&[(ENDPOINT.name(), base), (BACKEND.name(), "otlp")], ENDPOINT.name());
    check(&[(OTEL_ENDPOINT.name(), base)], OTEL_ENDPOINT.name());
    for logs in ["https://api.openobserve.ai/v1/logs", "https://api.openobserve.ai/api/v1/logs"] {
        check(
            &[(OTEL_ENDPOINT.name(), whole), (OTEL_LOGS_ENDPOINT.name(), logs)],
            OTEL_LOGS_ENDPOINT.name(),
        );
    }
    // Other hosts are not checked.
    for url in [whole, "https://notopenobserve.ai", "https://openobserve.ai.example.com"] {
        self::check(&[(ENDPOINT.name(), url)], &[&format!("{url}/v1/*")]);
    }
    let all = format!("{whole}/v1/*");
    self::check(&[(ENDPOINT.name(), whole), (OTEL_LOGS_ENDPOINT.name(), base)], &[&all]);
    // Over gRPC, a header names the organization.
    self::check(
        &[(OTEL_ENDPOINT.name(), base), (OTEL_HEADERS.name(), "organization=shop")],
        &["https://api.openobserve.ai/v1/*", "organization: shop"],
    );
}

#[test]
fn a_small_timeout_means_seconds_only_with_o2_variables() {
    let check = |others: &[(&str, &str)], expected: &[&str]| {
        let variables = [&[(ENDPOINT.name(), "http://localhost")], others].concat();
        check(&variables, &[&["http://localhost/v1/*"], expected].concat());
    };
    let o2 = (O2_ENDPOINT.name(), "http://x");
    check(&[(OTEL_TIMEOUT.name(), "30")], &["OpenObserve 30ms Gzip"]);
    check(&[(OTEL_TIMEOUT.name(), "500"), o2], &["OpenObserve 500ms Gzip"]);
    check(&[(OTEL_TIMEOUT.name(), "30ms"), o2], &["OpenObserve 30ms Gzip"]);
    check(&[(OTEL_TIMEOUT.name(), "3s"), (O2_TIMEOUT.name(), "30000")], &["OpenObserve 3s Gzip"]);
    check(&[(O2_TIMEOUT.name(), "30000")], &["OpenObserve 30s Gzip"]);
    let warning = "OTEL_EXPORTER_OTLP_TIMEOUT: read as 30 seconds because O2 variables are set; write 30s or 30ms";
    check(&[(OTEL_TIMEOUT.name(), "30"), o2], &["OpenObserve 30s Gzip", warning]);
    for name in [OTEL_TIMEOUT.name(), O2_TIMEOUT.name()] {
        check(&[(name, "0")], &[&format!("{name}: must be longer than 0")]);
    }
}

#[test]
fn debug_output_of_a_destination_hides_credentials() {
    let base = Url::parse("https://user:hunter2@h:8080/x?token=s3cret#part").unwrap();
    let mut destination = DestinationConfig::new(&base);
    destination.headers.push("authorization", "Basic c2VjcmV0").unwrap();
    let text = format!("{destination:?} {destination:#?}");
    for secret in ["hunter2", "s3cret", "c2V", "user"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("\"https://h:8080/x/v1/traces?****\""), "{text}");
}

#[test]
fn a_secret_reference_replaces_the_authorization_header() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
    let secret = &*format!("secret {arn}");
    let endpoint = (ENDPOINT.name(), "http://localhost");
    let all = "http://localhost/v1/*";
    check(&[endpoint, (SECRET.name(), arn)], &[all, secret]);
    // The secret provides the settings of OpenObserve's extension.
    check(
        &[(O2_ORGANIZATION.name(), "default"), (SECRET.name(), "ssm:/o2#auth")],
        &["https://api.openobserve.ai/api/default/v1/*", "secret ssm:/o2#auth", "stream default"],
    );
    check(
        &[
            endpoint,
            (HEADERS.name(), "x-scope=a,authorization=Basic c2VjcmV0"),
            (SECRET.name(), arn),
        ],
        &[
            all,
            "x-scope: a",
            "authorization: Basic c2VjcmV0",
            secret,
            "LAMBDA_OTLP_HEADERS: its authorization is ignored: LAMBDA_OTLP_SECRET replaces it",
        ],
    );
    // A secret pasted as a reference is not printed.
    let problem =
        "LAMBDA_OTLP_SECRET: not an ARN of Secrets Manager or Systems Manager, or ssm:NAME";
    check(&[endpoint, (SECRET.name(), "Basic c2VjcmV0")], &[all, problem]);
}

#[test]
fn an_invalid_certificate_file_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let none = "contains no PEM certificate (-----BEGIN CERTIFICATE-----)";
    for (file, text, problem) in [
        ("missing.pem", None, "cannot be read: entity not found"),
        ("empty.pem", Some(""), none),
        ("key.pem", Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), none),
        (
            "broken.pem",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate 1 is broken or of an unknown kind",
        ),
        ("cut.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), "certificate 1 is not valid PEM"),
    ] {
        let path = folder.path().join(file);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let root = ("LAMBDA_TASK_ROOT", folder.path().to_str().unwrap());
        check(
            &[(ENDPOINT.name(), "https://h"), (CA_FILE.name(), file), root],
            &["https://h/v1/*", &format!("{CA_FILE}: {}: {problem}", path.display())],
        );
    }
}

#[test]
fn the_json_stream_changes_only_the_logs_endpoint() {
    let check = |base: &str, stream: Option<&str>, expected: &str| {
        let mut otlp = DestinationConfig::new(&Url::parse(base).unwrap());
        otlp.stream = stream.map(str::to_owned);
        let json = otlp.json_stream().unwrap();
        assert_eq!(json.endpoints.of(SignalKind::Logs).as_str(), expected);
        assert_eq!(json.endpoints.of(SignalKind::Traces), otlp.endpoints.of(SignalKind::Traces));
    };
    let base = "https://o2.example.com/api/shop";
    check(base, None, "https://o2.example.com/api/shop/default/_json");
    check(base, Some("lambda logs"), "https://o2.example.com/api/shop/lambda%20logs/_json");
    check("http://o2:5080/x/api/shop/", Some("a"), "http://o2:5080/x/api/shop/a/_json");
}
