use super::*;
use crate::error::InvalidSettings;
use expect_test::expect;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Profile {
    OpenObserve,
    Otlp,
}
const PROFILES: &[(&str, Profile)] =
    &[("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];

const fn row(name: &'static str, default: Option<&'static str>, kind: Kind) -> Variable {
    Variable { name, default, kind, doc: "A variable." }
}

const TABLE: Table = Table::new(&[
    &[
        row("LAMBDA_OTLP_ENDPOINT", None, Kind::Url),
        row("LAMBDA_OTLP_HEADERS", None, Kind::Headers),
    ],
    &[
        row("OTEL_EXPORTER_OTLP_TIMEOUT", Some("10s"), Kind::Duration),
        row("LAMBDA_OTLP_BACKEND", Some("openobserve"), Kind::Choice(&["openobserve", "otlp"])),
        row("LAMBDA_OTLP_SECRET", None, Kind::SecretReference),
        row("O2_AUTHORIZATION_HEADER", None, Kind::Secret),
        row("LAMBDA_OTLP_MAX_REQUEST_BYTES", Some("4MiB"), Kind::Bytes),
        row("LAMBDA_OTLP_STREAM", None, Kind::Text),
    ],
])
.with_known_elsewhere(&["LAMBDA_OTLP_NAMES", "O2_STREAM"]);

fn read(source: &dyn Source) -> (Duration, Profile, usize, Headers, String) {
    let mut reader = Reader::new(source, TABLE);
    let timeout = reader.duration("OTEL_EXPORTER_OTLP_TIMEOUT");
    let profile = reader.choice("LAMBDA_OTLP_BACKEND", PROFILES, Profile::Otlp);
    let bytes = reader.bytes("LAMBDA_OTLP_MAX_REQUEST_BYTES");
    let headers = reader.headers("LAMBDA_OTLP_HEADERS");
    let _secret = reader.secret_reference("LAMBDA_OTLP_SECRET");
    #[cfg(feature = "url")]
    let _endpoint = reader.url("LAMBDA_OTLP_ENDPOINT");
    let error = InvalidSettings::check(reader.finish()).err().map(|error| error.to_string());
    (timeout, profile, bytes, headers, error.unwrap_or_default())
}

#[test]
fn defaults_come_from_the_table() {
    let (timeout, profile, bytes, headers, error) = read(&[]);
    assert_eq!((timeout, profile, bytes), (Duration::from_secs(10), Profile::OpenObserve, 4 << 20));
    assert!(headers.is_empty());
    assert_eq!(error, "");
}

#[test]
fn all_mistakes_are_reported_in_one_line_without_secrets() {
    let source = [
        ("LAMBDA_OTLP_HEADERS", "Basic hunter2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
        ("LAMBDA_OTLP_BACKEND", "open\nobserve"),
        ("LAMBDA_OTLP_SECRET", "Basic hunter2"),
        (
            "LAMBDA_OTLP_MAX_REQUEST_BYTES",
            "a very long value that nobody would ever want to see in full",
        ),
    ];
    let (timeout, profile, bytes, _, error) = read(&source);
    assert_eq!((timeout, profile, bytes), (Duration::from_secs(10), Profile::OpenObserve, 4 << 20));
    assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
    expect![[r#"
        OTEL_EXPORTER_OTLP_TIMEOUT: "ten" is not a duration (5s, 500ms, or milliseconds)
        LAMBDA_OTLP_BACKEND: "open\nobserve" is not `openobserve` or `otlp`
        LAMBDA_OTLP_MAX_REQUEST_BYTES: "a very long value that nobody would ever"… is not a size (900KiB, 10MB, or bytes)
        LAMBDA_OTLP_HEADERS: entry 1 has no `=`, expected name=value,name=value
        LAMBDA_OTLP_SECRET: not an ARN of Secrets Manager or Systems Manager, or ssm:NAME"#]]
    .assert_eq(&error.replace("; ", "\n"));
}

#[cfg(feature = "url")]
#[test]
fn a_wrong_endpoint_is_reported_with_a_wrong_timeout() {
    let source =
        [("LAMBDA_OTLP_ENDPOINT", "o2.example.com"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten")];
    expect![[r#"OTEL_EXPORTER_OTLP_TIMEOUT: "ten" is not a duration (5s, 500ms, or milliseconds); LAMBDA_OTLP_ENDPOINT: not an absolute URL, expected http:// or https://"#]]
        .assert_eq(&read(&source).4);
}

#[test]
fn a_mistake_in_a_variable_read_twice_is_reported_once() {
    let source = [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")];
    let mut reader = Reader::new(&source, TABLE);
    for _ in 0..2 {
        reader.duration("OTEL_EXPORTER_OTLP_TIMEOUT");
    }
    assert_eq!(reader.finish().len(), 1);
}

#[test]
fn choices_are_parsed_case_insensitively() {
    assert_eq!(read(&[("LAMBDA_OTLP_BACKEND", " OTLP")]).1, Profile::Otlp);
}

#[test]
fn a_misspelt_variable_is_reported_with_a_suggestion() {
    let source = [
        ("LAMBDA_OTLP_ENDPIONT", "x"),
        ("LAMBDA_OTLP_HEADER", "x"),
        ("LAMBDA_OTLP_WHATEVER", "x"),
        ("LAMBDA_OTLP_NAMES", "legacy"),
        ("LAMBDA_OTLP_STREAM", "x"),
        ("O2_STREEM", "x"),
        ("O2_SENSOR", "x"),
        ("PATH", "x"),
    ];
    let reader = Reader::new(&source, TABLE);
    let warnings: Vec<String> = reader.warnings().iter().map(Warning::to_string).collect();
    expect![[r"
        LAMBDA_OTLP_ENDPIONT: unknown; did you mean LAMBDA_OTLP_ENDPOINT?
        LAMBDA_OTLP_HEADER: unknown; did you mean LAMBDA_OTLP_HEADERS?
        LAMBDA_OTLP_WHATEVER: unknown; the nearest known name is LAMBDA_OTLP_HEADERS
        O2_STREEM: unknown; did you mean O2_STREAM?"]]
    .assert_eq(&warnings.join("\n"));
}

#[test]
fn reading_a_variable_contrary_to_the_table_is_reported() {
    let mut reader = Reader::new(&[("NOT_THERE", "1")], TABLE);
    assert_eq!(reader.string_if_set("NOT_THERE").as_deref(), Some("1"));
    assert_eq!(reader.count("LAMBDA_OTLP_MAX_REQUEST_BYTES"), 0);
    assert_eq!(reader.string("LAMBDA_OTLP_STREAM"), "");
    assert_eq!(reader.choice("LAMBDA_OTLP_BACKEND", &[("otlp", 1)], 7), 7);
    let mistakes: Vec<String> = reader.finish().iter().map(InvalidVariable::to_string).collect();
    expect![[r"
        NOT_THERE: read as another kind than in the table: please report this bug
        LAMBDA_OTLP_MAX_REQUEST_BYTES: read as another kind than in the table: please report this bug
        LAMBDA_OTLP_MAX_REQUEST_BYTES: has no default in the table: please report this bug
        LAMBDA_OTLP_STREAM: has no default in the table: please report this bug
        LAMBDA_OTLP_BACKEND: read as another kind than in the table: please report this bug
        LAMBDA_OTLP_BACKEND: has no default in the table: please report this bug"]]
    .assert_eq(&mistakes.join("\n"));
}

#[test]
fn the_configuration_is_printed_with_secrets_masked() {
    let source = [
        ("LAMBDA_OTLP_ENDPOINT", "https://me:hunter2@host/api/default"),
        ("LAMBDA_OTLP_HEADERS", "authorization=Basic hunter2"),
        ("O2_AUTHORIZATION_HEADER", "hunter2"),
        ("LAMBDA_OTLP_SECRET", "hunter2"),
        ("LAMBDA_OTLP_STREAM", "default"),
    ];
    let shown: Vec<String> =
        Reader::new(&source, TABLE).shown().iter().map(Shown::to_string).collect();
    expect![[r"
        LAMBDA_OTLP_ENDPOINT=https://****@host/api/default (from given)
        LAMBDA_OTLP_HEADERS=authorization=**** (from given)
        OTEL_EXPORTER_OTLP_TIMEOUT=10s (from default)
        LAMBDA_OTLP_BACKEND=openobserve (from default)
        LAMBDA_OTLP_SECRET=**** (from given)
        O2_AUTHORIZATION_HEADER=**** (from given)
        LAMBDA_OTLP_MAX_REQUEST_BYTES=4MiB (from default)
        LAMBDA_OTLP_STREAM=default (from given)"]]
    .assert_eq(&shown.join("\n"));
}
