use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use local_lambda::HttpServer;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::collections::HashMap;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse, Signal};
use test_support::tls::{Authority, TlsFront};
use wire::Request;

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    arguments: DoctorArguments,
}

const USER: (&str, &str) = ("root@example.com", "pass");
/// `root@example.com:pass`
const GOOD: &str = "authorization=Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz";
/// `root@example.com:wrong`
const WRONG: &str = "authorization=Basic cm9vdEBleGFtcGxlLmNvbTp3cm9uZw==";

async fn backend() -> FakeOpenObserve {
    FakeOpenObserve::builder().user(USER.0, USER.1).start().await.unwrap()
}

/// Runs the checks with these variables and arguments. Returns them as `verdict name: text`.
async fn checks(variables: &[(&str, &str)], words: &[&str]) -> Vec<String> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let line = CommandLine::try_parse_from(["doctor"].iter().chain(words)).unwrap();
    let checks = destinations::check(&line.arguments, &variables, None).await;
    checks.iter().map(|it| format!("{} {}: {}", it.verdict.as_str(), it.name, it.text)).collect()
}

#[track_caller]
fn expect(found: &[String], expected: &[&str]) {
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(same, "found {found:#?}\nexpected {expected:#?}");
}

#[tokio::test]
async fn doctor_passes_and_finds_its_canary() {
    let backend = backend().await;
    let variables = [("LAMBDA_OTLP_ENDPOINT", backend.base()), ("LAMBDA_OTLP_HEADERS", GOOD)];
    expect(
        &checks(&variables, &["--canary"]).await,
        &[
            "ok settings",
            "ok endpoint: 127.0.0.1",
            "ok connection: HTTP 200",
            "ok credentials",
            "ok organization: exists",
            "ok rights: the password of root@example.com",
            "ok canary: logs: accepted, and found in stream default",
            "ok canary: traces: accepted, and found in stream default",
            "ok canary: metrics: accepted, and found in stream lambda_otlp_doctor_canary",
        ],
    );
    let counts = backend.counts();
    assert_eq!((counts.log_records, counts.spans, counts.data_points), (1, 1, 1));
    let record = &backend.log_records()[0].item;
    let span = &backend.spans()[0].item;
    assert_eq!((&record.trace_id, &record.span_id), (&span.trace_id, &span.span_id));
}

#[tokio::test]
async fn doctor_warns_of_a_stream_with_many_columns() {
    let backend = backend().await;
    let variables = [
        ("LAMBDA_OTLP_ENDPOINT", backend.base()),
        ("LAMBDA_OTLP_HEADERS", GOOD),
        ("LAMBDA_OTLP_STREAM", "My-Stream"),
    ];
    let warnings = async || {
        let mut checks = checks(&variables, &[]).await;
        checks.retain(|check| check.contains("columns"));
        checks
    };
    assert_eq!(warnings().await, [""; 0]);
    let attribute = |n| platform::string_attribute(&format!("order.{n}"), "x");
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        start_time_unix_nano: console::time_arguments::now_unix_nano(),
        attributes: (0..900).map(attribute).collect(),
        ..Span::default()
    };
    let request = Request::of_spans(None, vec![span]);
    let line = CommandLine::try_parse_from(["doctor"]).unwrap();
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let reach = reach_of(&line.arguments.aws, &HashMap::from(owned)).await.unwrap();
    let client = backend::Client::new(&reach.destination).unwrap();
    let outcome =
        client.export(None, request, tokio::time::Instant::now() + Duration::from_secs(9)).await;
    assert_eq!(outcome.accepted, 1);
    let found = warnings().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("warning columns: traces: stream my_stream has 91"), "{found:?}");
}

#[tokio::test]
async fn a_canary_lost_after_acceptance_fails() {
    let backend = backend().await;
    let variables = [
        ("LAMBDA_OTLP_ENDPOINT", backend.base()),
        ("LAMBDA_OTLP_HEADERS", GOOD),
        ("LAMBDA_OTLP_STREAM", "My-Stream"),
    ];
    // Creates the streams, so that a search without results returns 200.
    checks(&variables, &["--canary"]).await;
    backend.lose(1);
    let found = checks(&variables, &["--canary", "--within", "1s"]).await;
    let canaries: Vec<String> =
        found.into_iter().filter(|check| check.contains("canary:")).collect();
    assert!(canaries[0].starts_with("failed canary: logs: accepted, but"), "{canaries:?}");
    assert!(canaries[1].starts_with("ok canary: traces: accepted, and found in stream my_stream"));
}

#[tokio::test]
async fn a_canary_is_not_read_back_from_another_backend() {
    let backend = FakeOpenObserve::start().await.unwrap();
    let variables = [("LAMBDA_OTLP_ENDPOINT", backend.url()), ("LAMBDA_OTLP_BACKEND", "otlp")];
    let found = checks(&variables, &["--canary"]).await;
    assert!(found.iter().any(|check| check.starts_with("ok organization: this backend has none")));
    assert_eq!(found.iter().filter(|check| check.contains("cannot read it back")).count(), 3);
}

#[tokio::test]
async fn the_canary_finds_a_backend_that_refuses_deltas() {
    let backend = FakeOpenObserve::start().await.unwrap();
    let of_backend = [("LAMBDA_OTLP_ENDPOINT", backend.url()), ("LAMBDA_OTLP_BACKEND", "otlp")];
    // It takes an empty request.
    backend.script_for(Signal::Metrics, [ScriptedResponse::Ok, ScriptedResponse::Status(400)]);
    let found = remarks(checks(&of_backend, &["--canary"]).await).join("\n");
    let remedy = "if the backend refuses delta metrics, name cumulative_metrics in the place of metrics in LAMBDA_OTLP_SIGNALS";
    assert!(found.starts_with("failed canary: metrics: not accepted: answered 400"), "{found}");
    assert!(found.contains(remedy), "{found}");
    let totals = [("LAMBDA_OTLP_SIGNALS", "cumulative_metrics")];
    checks(&[&of_backend[..], &totals].concat(), &["--canary"]).await;
    let is_gauge = |data: Option<Data>| matches!(data, Some(Data::Gauge(_)));
    let stored: Vec<bool> =
        backend.metrics().into_iter().map(|stored| is_gauge(stored.item.data)).collect();
    assert_eq!(stored, [true]);
}

#[tokio::test]
async fn doctor_names_the_signals_that_a_backend_lacks() {
    let backend = FakeOpenObserve::start().await.unwrap();
    let of_backend = [("LAMBDA_OTLP_ENDPOINT", backend.url()), ("LAMBDA_OTLP_BACKEND", "otlp")];
    backend.script_for(Signal::Logs, [ScriptedResponse::Status(404)]);
    let found = checks(&of_backend, &[]).await;
    expect(
        &found,
        &[
            "ok settings",
            "ok endpoint",
            "ok connection: HTTP 200",
            "ok credentials",
            "failed signals: the backend takes traces and metrics, but no logs, unless the endpoint is wrong: leave them out of LAMBDA_OTLP_SIGNALS (logs: answered 404",
            "ok organization",
        ],
    );
    backend.script_for(Signal::Traces, [ScriptedResponse::Status(403)]);
    let found = remarks(checks(&of_backend, &[]).await);
    expect(
        &found,
        &[
            "failed signals: the backend takes metrics and logs, but no traces, unless the credentials lack a right: leave them out of LAMBDA_OTLP_SIGNALS (answered 403",
        ],
    );
    let stated = [&of_backend[..], &[("LAMBDA_OTLP_SIGNALS", "traces,cumulative_metrics")]];
    let found = checks(&stated.concat(), &["--canary"]).await;
    expect(
        &found,
        &[
            "ok settings",
            "ok endpoint",
            "ok connection: HTTP 200",
            "ok credentials",
            "ok organization",
            "ok canary: traces: accepted",
            "ok canary: metrics: accepted",
            "warning signals: delta metrics, logs: not sent, because LAMBDA_OTLP_SIGNALS leaves",
        ],
    );
    // With nothing at any of the URLs, the endpoint is wrong.
    backend.script([404, 404, 404].map(ScriptedResponse::Status));
    let found = checks(&of_backend, &[]).await;
    assert!(
        found.last().is_some_and(|check| check.contains("/v1/traces is appended")),
        "{found:?}"
    );
}

/// Checks a backend that takes the signals of `own`, and a rules file with the destination `collector`. Returns the checks after
/// the settings.
async fn checks_of_rules(own: &str, collector: &FakeOpenObserve, rules: &str) -> Vec<String> {
    let backend = FakeOpenObserve::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules.replace("COLLECTOR", collector.url())).unwrap();
    let variables = [
        ("LAMBDA_OTLP_ENDPOINT", backend.url()),
        ("LAMBDA_OTLP_BACKEND", "otlp"),
        ("LAMBDA_OTLP_SIGNALS", own),
        ("LAMBDA_OTLP_RULES", file.path().to_str().unwrap()),
    ];
    let mut found = checks(&variables, &["--canary"]).await;
    expect(&found[..1], &["ok settings"]);
    found.split_off(1)
}

const COLLECTOR: &str = r#"
[destination.collector]
endpoint = "COLLECTOR/"
profile = "otlp"
signals = ["metrics"]
headers = { "x-tenant" = "shop" }
"#;

#[tokio::test]
async fn each_destination_of_the_rules_is_checked_once_for_the_signals_it_takes() {
    let collector = FakeOpenObserve::start().await.unwrap();
    let rules = format!("{COLLECTOR}[[route]]\nto = [\"default\", \"collector\"]\n");
    expect(
        &checks_of_rules("traces,logs", &collector, &rules).await,
        &[
            "ok endpoint: 127.0.0.1",
            "ok connection: HTTP 200",
            "ok credentials: accepted",
            "ok organization",
            "ok canary: logs: accepted",
            "ok canary: traces: accepted",
            "ok endpoint: collector: 127.0.0.1",
            "ok connection: collector: HTTP 200",
            "ok credentials: collector: accepted",
            "ok organization: collector: ",
            "ok canary: collector: metrics: accepted",
        ],
    );
    let requests = collector.requests();
    assert_eq!(requests.len(), 2, "an empty request and the canary");
    assert!(requests.iter().all(|request| request.headers["x-tenant"] == "shop"), "{requests:?}");
}

/// Those that need a person's attention.
fn remarks(mut checks: Vec<String>) -> Vec<String> {
    checks.retain(|check| !check.starts_with("ok "));
    checks
}

#[tokio::test]
async fn doctor_names_signals_that_no_destination_of_a_route_takes() {
    let collector = FakeOpenObserve::start().await.unwrap();
    for (own, route, expected) in [
        ("traces,logs", r#"to = ["default", "collector"]"#, None),
        ("traces", r#"to = ["default", "collector"]"#, Some("logs: default and collector")),
        ("traces,logs", r#"to = ["collector"]"#, Some("traces, logs: collector")),
        // All other log groups go to the default alone.
        (
            "traces,logs",
            "log_group = \"/aws/lambda/shop\"\nto = [\"default\", \"collector\"]",
            Some("metrics: default"),
        ),
    ] {
        let rules = format!("{COLLECTOR}[[route]]\n{route}\n");
        let found = remarks(checks_of_rules(own, &collector, &rules).await);
        let warning = expected.and_then(|it| it.split_once(": ")).map(|(signals, names)| {
            format!("warning signals: {signals}: not sent from log groups that go to {names}, ")
        });
        expect(&found, &warning.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_remedy_for_a_destination_of_the_rules_names_its_table() {
    let found = async |collector: &FakeOpenObserve, rules: &str| {
        remarks(checks_of_rules("traces,metrics,logs", collector, rules).await).join("\n")
    };
    let refused = found(&backend().await, COLLECTOR).await;
    assert!(refused.starts_with("failed credentials: collector: answered 401"), "{refused}");
    assert!(refused.contains("in [destination.collector]: secret = \"ssm:NAME\""), "{refused}");
    let without_logs = FakeOpenObserve::start().await.unwrap();
    without_logs.script_for(Signal::Logs, [ScriptedResponse::Status(404)]);
    let all = COLLECTOR.replace("\"metrics\"", "\"metrics\", \"logs\"");
    let lacking = found(&without_logs, &all).await;
    assert!(lacking.contains("leave them out of signals in [destination.collector]"), "{lacking}");
    let invalid = found(&without_logs, "[destination.collector]\n").await;
    assert!(invalid.starts_with("failed rules: cannot apply the rules at "), "{invalid}");
}

#[tokio::test]
async fn doctor_reports_a_wrong_password() {
    let backend = backend().await;
    for headers in [WRONG, "x-other=1"] {
        let variables =
            [("LAMBDA_OTLP_ENDPOINT", backend.base()), ("LAMBDA_OTLP_HEADERS", headers)];
        expect(
            &checks(&variables, &["--canary"]).await,
            &[
                "ok settings",
                "ok endpoint",
                "ok connection: HTTP 401",
                "failed credentials: answered 401",
            ],
        );
    }
    assert_eq!(backend.counts().stored(), 0);
}

#[tokio::test]
async fn doctor_reports_a_missing_organization_without_creating_it() {
    let backend = backend().await;
    let base = format!("{}/api/other", backend.url());
    let variables = [("LAMBDA_OTLP_ENDPOINT", base.as_str()), ("LAMBDA_OTLP_HEADERS", GOOD)];
    expect(
        &checks(&variables, &[]).await,
        &[
            "ok settings",
            "ok endpoint",
            "ok connection: HTTP 404",
            "failed organization: answered 404",
        ],
    );
    assert!(
        backend.requests().iter().all(|request| request.signal.is_none()),
        "root would make it"
    );
}

#[tokio::test]
async fn doctor_reports_a_host_without_an_address() {
    let variables = [("LAMBDA_OTLP_ENDPOINT", "https://nowhere.invalid/api/default")];
    let failed = "failed endpoint: nowhere.invalid has no address";
    assert!(checks(&variables, &[]).await[1].starts_with(failed));
}

#[tokio::test]
async fn doctor_reports_an_expired_certificate() {
    let backend = backend().await;
    let authority = Authority::new("Shop CA");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    let check = async |until_year: i32, connection: &str| {
        let front = TlsFront::start(&backend, &authority, until_year).await;
        let base = format!("https://localhost:{}/api/default", front.port());
        let variables = [
            ("LAMBDA_OTLP_ENDPOINT", base.as_str()),
            ("LAMBDA_OTLP_HEADERS", GOOD),
            ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap()),
        ];
        let all = checks(&variables, &[]).await;
        let found = all.iter().find(|check| check.contains("connection")).unwrap();
        assert!(found.starts_with(connection), "{found}");
        found.clone()
    };
    check(2500, "ok connection: TLS, HTTP 200").await;
    let expired = check(2020, "failed connection: cannot reach localhost:").await;
    assert!(expired.contains("certificate expired"), "{expired}");
    assert!(expired.ends_with("renew the server's certificate"), "{expired}");
}

/// Runs the checks against a server with these answers, by the end of their path. All others are empty.
async fn checks_with(credentials: &str, answers: &[(&'static str, u16, Value)]) -> Vec<String> {
    let answers = answers.to_vec();
    let server = HttpServer::start(move |request| {
        let found = answers.iter().find(|(path, ..)| request.uri().path().ends_with(path));
        let (status, body) = match found {
            Some((_, status, body)) => (*status, body.to_string()),
            None => (200, String::new()),
        };
        let response = http::Response::builder().status(status);
        std::future::ready(response.body(http_body_util::Full::from(body)).unwrap())
    });
    let server = server.await.unwrap();
    let base = format!("http://{}/o2/api/shop", server.address());
    let header = format!("authorization=Basic {}", BASE64_STANDARD.encode(credentials));
    let variables =
        [("LAMBDA_OTLP_ENDPOINT", base.as_str()), ("LAMBDA_OTLP_HEADERS", header.as_str())];
    checks(&variables, &[]).await
}

#[tokio::test]
async fn doctor_names_the_kind_of_credentials() {
    let accounts = |status: u16, name: &str| {
        ("/o2/api/shop/service_accounts", status, json!({"data": [{"email": name}]}))
    };
    let of_service = accounts(200, "ci@example.com");
    let rows = [
        ("shop:o2oi_1234", accounts(401, ""), "an ingestion token: it may only write"),
        ("ci@example.com:secret", of_service.clone(), "the token of the service account ci@"),
        ("ada@example.com:secret", of_service, "the password of ada@example.com: it may do every"),
        ("ada@example.com:secret", accounts(404, ""), "the password of ada@example.com: it may do"),
        ("ada@example.com:code", accounts(401, ""), "a passcode, or a user without rights: it may"),
    ];
    for (credentials, answer, expected) in rows {
        let found = checks_with(credentials, &[answer]).await;
        let rights = found.iter().find(|check| check.starts_with("ok rights: "));
        let is_named = rights.is_some_and(|check| check.contains(expected));
        assert!(is_named, "{expected}: {found:#?}");
        assert!(!found.iter().any(|check| check.contains("secret")), "{found:#?}");
    }
}

#[tokio::test]
async fn doctor_knows_the_limits_of_user_defined_schemas() {
    let schema = |columns: usize, defined: usize| {
        let name = |number: usize| format!("field_{number}");
        let own = std::iter::once("_timestamp".to_owned());
        let all = own.chain((0..columns).map(name)).map(|name| json!({ "name": name }));
        let defined: Value = (0..defined).map(name).collect();
        let settings = json!({ "defined_schema_fields": defined });
        let body = json!({"schema": all.collect::<Value>(), "settings": settings});
        ("/o2/api/shop/streams/default/schema", 200, body)
    };
    let charts = |on: bool| ("/o2/config", 200, json!({ "user_defined_schemas_enabled": on }));
    let rows = [
        (schema(119, 0), charts(true), None),
        (schema(120, 0), charts(true), Some("has 120 columns: with OpenObserve's Helm charts")),
        (schema(120, 0), charts(false), None),
        (schema(150, 150), charts(true), None),
        (schema(151, 150), charts(true), Some("has a user-defined schema with 150 of its 151")),
        (schema(900, 0), charts(false), Some("has 900 columns, and a search shows 1000")),
    ];
    for (schema, config, expected) in rows {
        let found = checks_with("ada@example.com:secret", &[schema, config]).await;
        let warning = found.iter().find(|check| check.starts_with("warning columns: logs"));
        let is_expected = match (warning, expected) {
            (Some(warning), Some(expected)) => warning.contains(expected),
            (warning, expected) => warning.is_none() && expected.is_none(),
        };
        assert!(is_expected, "{expected:?}: {found:#?}");
    }
}
