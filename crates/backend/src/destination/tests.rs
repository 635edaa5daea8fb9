use super::variables::{
    BACKEND, CA_FILE, ENDPOINT, HEADERS, O2_ENDPOINT, O2_ORGANIZATION, O2_TIMEOUT, OTEL_ENDPOINT,
    OTEL_HEADERS, OTEL_LOGS_ENDPOINT, OTEL_TIMEOUT, SECRET,
};
use super::*;
use expect_test::{Expect, expect};
use settings::{InvalidVariable, Reader, Source, Table, Warning};
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

const TABLE: Table = Table::new(&[DESTINATION, O2_DESTINATION, settings::PROXY]);

fn variables(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn mistakes(reader: Reader<'_>) -> Vec<String> {
    reader.finish().iter().map(InvalidVariable::to_string).collect()
}

/// Describes a destination for comparison: endpoints, headers with their values, the rest.
#[track_caller]
fn check(source: &dyn Source, expected: &Expect) {
    let mut reader = Reader::new(source, TABLE);
    let destination = DestinationConfig::read(&mut reader);
    let mut lines = Vec::new();
    if let Some(destination) = &destination {
        // The URL of all signals, or each.
        let one = destination.endpoints.of(SignalKind::Traces).as_str().replace("/traces", "/*");
        let of_signal = |kind: SignalKind| one.replace("/v1/*", kind.path());
        let is_one =
            |kind: &SignalKind| destination.endpoints.of(*kind).as_str() == of_signal(*kind);
        let each = destination.endpoints.iter().map(Url::to_string);
        if SignalKind::ALL.iter().all(is_one) {
            lines.push(one)
        } else {
            lines.extend(each)
        }
        lines.extend(
            destination.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())),
        );
        lines.extend(destination.stream.iter().map(|stream| format!("stream {stream}")));
        lines.push(format!(
            "{:?} {:?} {:?}",
            destination.profile, destination.request_timeout, destination.compression
        ));
    }
    lines.extend(reader.warnings().iter().map(Warning::to_string));
    lines.extend(mistakes(reader));
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn the_table_is_sound() {
    assert_eq!(TABLE.problems(), [""; 0]);
    // `DestinationConfig::new` repeats the defaults for callers without variables.
    let mut reader = Reader::new(&[("LAMBDA_OTLP_ENDPOINT", "http://localhost/")], TABLE);
    let base = Url::parse("http://localhost/").unwrap();
    assert_eq!(DestinationConfig::read(&mut reader), Some(DestinationConfig::new(&base)));
}

#[test]
fn signal_paths_are_appended_to_the_base_url() {
    check(
        &[
            ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default/"),
            ("LAMBDA_OTLP_HEADERS", "authorization=Basic cHJhYmhhdA=="),
            ("LAMBDA_OTLP_STREAM", "lambda"),
            ("LAMBDA_OTLP_BACKEND", "otlp"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ],
        &expect![[r"
            https://o2.example.com/api/default/v1/*
            authorization: Basic cHJhYmhhdA==
            stream lambda
            Otlp 10s None"]],
    );
    check(
        &[("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:4318?key=1")],
        &expect![[r"
            http://127.0.0.1:4318/v1/*?key=1
            OpenObserve 10s Gzip"]],
    );
}

#[test]
fn signal_specific_endpoints_are_used_unchanged() {
    check(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://localhost:9/custom"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x=%41"),
        ],
        &expect![[r"
            http://localhost:4318/v1/traces
            http://localhost:4318/v1/metrics
            http://localhost:9/custom
            x: A
            OpenObserve 10s Gzip"]],
    );
    check(
        &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://localhost:9/custom")],
        &expect![[r"
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: missing, and so is OTEL_EXPORTER_OTLP_ENDPOINT: traces have no endpoint
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: missing, and so is OTEL_EXPORTER_OTLP_ENDPOINT: metrics have no endpoint"]],
    );
    // Only what is wrong is said.
    check(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://localhost:9/custom"),
        ],
        &expect!["OTEL_EXPORTER_OTLP_ENDPOINT: not an absolute URL, expected http:// or https://"],
    );
}

#[test]
fn o2_variables_define_an_otlp_endpoint() {
    check(
        &[("O2_ORGANIZATION_ID", "my org"), ("O2_AUTHORIZATION_HEADER", "Basic cHJhYmhhdA==")],
        &expect![[r"
            https://api.openobserve.ai/api/my%20org/v1/*
            authorization: Basic cHJhYmhhdA==
            stream default
            OpenObserve 10s Gzip"]],
    );
    check(
        &[
            ("O2_ENDPOINT", "http://10.0.0.7:5080/o2/"),
            ("O2_ORGANIZATION_ID", "default"),
            ("O2_AUTHORIZATION_HEADER", "cHJhYmhhdA=="),
            ("O2_STREAM", "lambda"),
            ("O2_REQUEST_TIMEOUT_MS", "30000"),
        ],
        &expect![[r"
            http://10.0.0.7:5080/o2/api/default/v1/*
            authorization: Basic cHJhYmhhdA==
            stream lambda
            OpenObserve 30s Gzip
            O2_ENDPOINT: telemetry and credentials go to 10.0.0.7 without TLS"]],
    );
    check(
        &[
            ("O2_ENDPOINT", "https://o2.example.com/api/my%20org/"),
            ("O2_ORGANIZATION_ID", "my org"),
            ("O2_AUTHORIZATION_HEADER", "Basic cHJhYmhhdA=="),
        ],
        &expect![[r"
            https://o2.example.com/api/my%20org/v1/*
            authorization: Basic cHJhYmhhdA==
            stream default
            OpenObserve 10s Gzip"]],
    );
    let ours = |headers| {
        [
            ("LAMBDA_OTLP_HEADERS", headers),
            ("O2_ORGANIZATION_ID", "default"),
            ("O2_AUTHORIZATION_HEADER", "cHJhYmhhdA=="),
        ]
    };
    check(
        &ours("x-team=shop"),
        &expect![[r"
        https://api.openobserve.ai/api/default/v1/*
        x-team: shop
        authorization: Basic cHJhYmhhdA==
        stream default
        OpenObserve 10s Gzip"]],
    );
    check(
        &ours("authorization=Bearer t0ken"),
        &expect![[r"
        https://api.openobserve.ai/api/default/v1/*
        authorization: Bearer t0ken
        stream default
        OpenObserve 10s Gzip"]],
    );
}

#[test]
fn credentials_never_go_to_an_endpoint_of_another_family() {
    check(
        &[
            ("LAMBDA_OTLP_ENDPOINT", "https://ours.example.com"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://vendor.example.com"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
            ("O2_ORGANIZATION_ID", "default"),
            ("O2_AUTHORIZATION_HEADER", "hunter2"),
            ("O2_STREAM", "theirs"),
        ],
        &expect![[r"
            https://ours.example.com/v1/*
            OpenObserve 10s Gzip
            OTEL_EXPORTER_OTLP_HEADERS: not sent to LAMBDA_OTLP_ENDPOINT; set LAMBDA_OTLP_HEADERS for it"]],
    );
}

#[test]
fn a_missing_endpoint_error_names_all_three_options() {
    check(
        &[],
        &expect![
            "LAMBDA_OTLP_ENDPOINT: missing; set it, or OTEL_EXPORTER_OTLP_ENDPOINT, or O2_ORGANIZATION_ID with O2_AUTHORIZATION_HEADER"
        ],
    );
}

#[test]
fn all_invalid_variables_are_reported_together() {
    check(
        &[
            ("LAMBDA_OTLP_ENDPOINT", "o2.example.com"),
            ("LAMBDA_OTLP_HEADERS", "Content-Type=text/plain"),
            ("LAMBDA_OTLP_STREAM", "a\nb"),
            ("LAMBDA_OTLP_BACKEND", "o2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ],
        &expect![[r#"
            LAMBDA_OTLP_BACKEND: "o2" is not `openobserve` or `otlp`
            OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" is not `gzip` or `none`
            OTEL_EXPORTER_OTLP_TIMEOUT: must be longer than 0
            LAMBDA_OTLP_HEADERS: content-type cannot be set, it follows from how the body is sent
            LAMBDA_OTLP_STREAM: contains characters that a header cannot
            LAMBDA_OTLP_ENDPOINT: not an absolute URL, expected http:// or https://"#]],
    );
    check(
        &[("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default/v1/traces/")],
        &expect![
            "LAMBDA_OTLP_ENDPOINT: ends in /v1/traces, which is appended; give the URL without it"
        ],
    );
}

#[test]
fn a_cloud_url_without_an_organization_is_rejected() {
    let problem = "the URL of OpenObserve Cloud names no organization";
    let check = |variables: &[(&str, &str)], expected: Option<&str>| {
        let source = self::variables(variables);
        let mut reader = Reader::new(&source, TABLE);
        let is_read = DestinationConfig::read(&mut reader).is_some();
        let mistakes = mistakes(reader);
        let is_expected = match (expected, mistakes.as_slice()) {
            (Some(name), [mistake]) => mistake.starts_with(&format!("{name}: {problem}")),
            (None, []) => true,
            _ => false,
        };
        assert!(is_expected && is_read == expected.is_none(), "{variables:?}: {mistakes:?}");
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
        check(&[(ENDPOINT, url)], Some(ENDPOINT));
    }
    // Other hosts are not checked.
    for url in [whole, "https://notopenobserve.ai", "https://openobserve.ai.example.com"] {
        check(&[(ENDPOINT, url)], None);
    }
    check(&[(ENDPOINT, base), (BACKEND, "otlp")], Some(ENDPOINT));
    check(&[(OTEL_ENDPOINT, base)], Some(OTEL_ENDPOINT));
    for logs in ["https://api.openobserve.ai/v1/logs", "https://api.openobserve.ai/api/v1/logs"] {
        check(&[(OTEL_ENDPOINT, whole), (OTEL_LOGS_ENDPOINT, logs)], Some(OTEL_LOGS_ENDPOINT));
    }
    check(&[(ENDPOINT, whole), (OTEL_LOGS_ENDPOINT, base)], None);
    // Over gRPC, a header names the organization.
    check(&[(OTEL_ENDPOINT, base), (OTEL_HEADERS, "organization=shop")], None);
}

#[test]
fn a_small_timeout_means_seconds_only_with_o2_variables() {
    let check = |others: &[(&str, &str)], millis, remark: String| {
        let source = variables(&[&[(ENDPOINT, "http://localhost")], others].concat());
        let mut reader = Reader::new(&source, TABLE);
        let timeout = DestinationConfig::read(&mut reader).unwrap().request_timeout;
        assert_eq!(timeout, Duration::from_millis(millis), "{others:?}");
        let mut remarks: Vec<String> = reader.warnings().iter().map(Warning::to_string).collect();
        remarks.extend(mistakes(reader));
        assert_eq!(remarks.join("; "), remark);
    };
    check(&[(OTEL_TIMEOUT, "30")], 30, String::new());
    check(&[(OTEL_TIMEOUT, "500"), (O2_ENDPOINT, "http://x")], 500, String::new());
    check(&[(OTEL_TIMEOUT, "30ms"), (O2_ENDPOINT, "http://x")], 30, String::new());
    check(&[(OTEL_TIMEOUT, "3s"), (O2_TIMEOUT, "30000")], 3000, String::new());
    check(&[(O2_TIMEOUT, "30000")], 30_000, String::new());
    let text = "read as 30 seconds because O2 variables are set; write 30s or 30ms";
    let warning = format!("{OTEL_TIMEOUT}: {text}");
    check(&[(OTEL_TIMEOUT, "30"), (O2_ENDPOINT, "http://x")], 30_000, warning);
    for name in [OTEL_TIMEOUT, O2_TIMEOUT] {
        check(&[(name, "0")], 10_000, format!("{name}: must be longer than 0"));
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
    let secret = |source: &dyn Source| {
        let mut reader = Reader::new(source, TABLE);
        let destination = DestinationConfig::read(&mut reader).unwrap();
        let warnings: Vec<String> = reader.warnings().iter().map(Warning::to_string).collect();
        assert_eq!(reader.finish(), []);
        (destination.secret.unwrap().to_string(), warnings)
    };
    let endpoint = ("LAMBDA_OTLP_ENDPOINT", "http://localhost");
    assert_eq!(secret(&[endpoint, (SECRET, arn)]), (arn.to_owned(), vec![]));
    // The secret provides the settings of OpenObserve's extension.
    let organization = (O2_ORGANIZATION, "default");
    assert_eq!(secret(&[organization, (SECRET, "ssm:/o2#auth")]).0, "ssm:/o2#auth");
    let headers = (HEADERS, "x-scope=a,authorization=Basic c2VjcmV0");
    assert_eq!(
        secret(&[endpoint, headers, (SECRET, arn)]).1,
        [format!("{HEADERS}: its authorization is ignored: {SECRET} replaces it")]
    );
}

#[test]
fn a_secret_pasted_as_a_reference_is_not_printed() {
    check(
        &[("LAMBDA_OTLP_ENDPOINT", "http://localhost"), ("LAMBDA_OTLP_SECRET", "Basic c2VjcmV0")],
        &expect![[r"
            http://localhost/v1/*
            OpenObserve 10s Gzip
            LAMBDA_OTLP_SECRET: not an ARN of Secrets Manager or Systems Manager, or ssm:NAME"]],
    );
}

#[test]
fn an_invalid_certificate_file_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("empty.pem", "");
    write("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let root = folder.path().to_str().unwrap().to_owned();
    let check = |file: &str, problem: &str| {
        let source =
            variables(&[(ENDPOINT, "https://h"), (CA_FILE, file), ("LAMBDA_TASK_ROOT", &root)]);
        let mut reader = Reader::new(&source, TABLE);
        drop(DestinationConfig::read(&mut reader));
        let path = folder.path().join(file);
        assert_eq!(mistakes(reader), [format!("{CA_FILE}: {}: {problem}", path.display())]);
    };
    check("missing.pem", "cannot be read: entity not found");
    let none = "contains no PEM certificate (-----BEGIN CERTIFICATE-----)";
    check("empty.pem", none);
    check("key.pem", none);
    check("broken.pem", "certificate 1 is broken or of an unknown kind");
    check("cut.pem", "certificate 1 is not valid PEM");
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
