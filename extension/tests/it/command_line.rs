//! The command line of the extension's binary.

use std::process::{Output, Stdio};
use tokio::process::Command;

/// The binary with these arguments and no other variables than these.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lambda-otlp-extension"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

#[tokio::test]
async fn the_command_prints_its_version_and_help() {
    let version = concat!("lambda-otlp-extension ", env!("CARGO_PKG_VERSION"), "\n");
    for argument in ["--version", "-v"] {
        assert_eq!(run(&[argument], &[]).await, (0, version.to_owned()));
    }
    let (code, help) = run(&["--help"], &[]).await;
    assert_eq!(code, 0);
    assert!(help.contains("--health-check, -h") && help.contains("--version, -v"), "{help}");
    let (code, text) = run(&["--helth-check"], &[]).await;
    assert_eq!(code, 2);
    assert!(text.starts_with("unknown argument \"--helth-check\"\n") && text.ends_with(&help));
}

#[tokio::test]
async fn without_an_endpoint_the_health_check_tests_only_settings() {
    let (code, text) = run(&["--health-check"], &[("LAMBDA_OTLP_LINE", "compact")]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(
        "ok      settings      all variables are valid\nok      output        stdout"
    ));
    let (code, text) = run(&["-h"], &[("LAMBDA_OTLP_LINE", "tiny")]).await;
    assert_eq!(code, 1);
    assert!(text.starts_with("failed  settings      LAMBDA_OTLP_LINE: "), "{text}");
}

mod backend {
    use super::run;
    use std::net::SocketAddr;
    use test_support::openobserve::grpc::GrpcFront;
    use test_support::openobserve::{ScriptedResponse, Sink};
    use test_support::proxy::{HttpProxy, ProxyAnswer};
    use test_support::secrets::{SecretAnswer, SecretServer};
    use test_support::tls::{Authority, TlsFront};
    use tokio::net::TcpListener;

    /// `root@example.com:pass`
    const GOOD: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz";
    /// `root@example.com:hunter2`
    const WRONG: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy";

    async fn sink() -> Sink {
        Sink::builder().user("root@example.com", "pass").start().await.unwrap()
    }

    /// Output, endpoint and authorization, as one sets them who sends OTLP.
    fn otlp(endpoint: &str, authorization: &str) -> [(&'static str, String); 3] {
        [
            ("LAMBDA_OTLP_OUTPUT", "otlp".to_owned()),
            ("LAMBDA_OTLP_ENDPOINT", endpoint.to_owned()),
            ("LAMBDA_OTLP_HEADERS", format!("authorization={authorization}")),
        ]
    }

    /// Returns the exit code, and the output without credentials.
    async fn checks<V: AsRef<str>>(variables: &[(&str, V)]) -> (i32, Vec<String>) {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let variables = variables.as_slice();
        let (code, text) = run(&["--health-check"], variables).await;
        for secret in ["hunter2", "pass\n", "cm9vdEBleGFtcGxlLmNvb"] {
            assert!(!text.contains(secret), "{text}");
        }
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        (code, lines.collect())
    }

    #[track_caller]
    fn expect((code, lines): (i32, Vec<String>), expected_code: i32, expected: &[&str]) {
        let same = lines.len() == expected.len()
            && lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
        assert!(same && code == expected_code, "{code}\n{lines:#?}\nexpected {expected:#?}");
    }

    #[tokio::test]
    async fn the_health_check_sends_a_record_to_the_backend() {
        let sink = sink().await;
        let variables = otlp(sink.base(), GOOD);
        expect(
            checks(&variables).await,
            0,
            &[
                "ok settings all variables are valid",
                "ok output otlp, since LAMBDA_OTLP_OUTPUT is set",
                "ok endpoint 127.0.0.1 is 127.0.0.1",
                "ok connection HTTP 200",
                "ok credentials accepted",
                "ok record accepted: a log record whose trace_id is ca",
            ],
        );
        let counts = sink.counts();
        assert_eq!((counts.log_records, counts.stored()), (1, 1));
    }

    #[tokio::test]
    async fn with_o2_variables_the_record_goes_to_the_json_stream() {
        let sink = sink().await;
        let endpoint = sink.url().to_owned();
        let variables = [
            ("O2_ENDPOINT", endpoint.as_str()),
            ("O2_ORGANIZATION_ID", "default"),
            ("O2_AUTHORIZATION_HEADER", GOOD),
            ("O2_STREAM", "orders"),
        ];
        let (code, lines) = checks(&variables).await;
        assert_eq!(code, 0, "{lines:#?}");
        assert_eq!(lines[1], "ok output json, since O2_ORGANIZATION_ID is set");
        let records = sink.json_records();
        assert_eq!((records.len(), sink.log_records().len()), (1, 0));
        let id = records[0].record["requestId"].as_str().unwrap().to_owned();
        assert!(lines[5].ends_with(&format!("whose requestId is {id}")), "{lines:#?}");
        let wrong = [variables[0], variables[1], ("O2_AUTHORIZATION_HEADER", WRONG)];
        let (code, lines) = checks(&wrong).await;
        assert_eq!(code, 1);
        assert!(lines[4].contains("401") && lines[4].contains("set O2_AUTHORIZATION_HEADER"));
    }

    #[tokio::test]
    async fn failed_checks_are_reported_with_their_remedy() {
        let sink = sink().await;
        let variables = otlp(sink.base(), WRONG);
        expect(
            checks(&variables).await,
            1,
            &[
                "ok settings",
                "ok output",
                "ok endpoint",
                "ok connection HTTP 401",
                "failed credentials answered 401: the credentials are wrong or missing; for OpenObserve set LAMBDA_OTLP_HEADERS",
                "skipped record",
            ],
        );
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        expect(
            checks(&[(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                &format!("http://localhost.invalid:{}", closed.port()),
            )])
            .await,
            1,
            &[
                "warning settings OTEL_EXPORTER_OTLP_ENDPOINT: telemetry and credentials go to localhost.invalid without TLS",
                "ok settings",
                "ok output otlp, since OTEL_EXPORTER_OTLP_ENDPOINT is set",
                "failed endpoint localhost.invalid has no address",
                "skipped connection",
                "skipped credentials",
                "skipped record",
            ],
        );
        expect(
            checks(&[
                ("LAMBDA_OTLP_OUTPUT", "otlp"),
                ("LAMBDA_OTLP_ENDPOINT", &format!("http://{closed}")),
            ])
            .await,
            1,
            &[
                "ok settings",
                "ok output otlp, since LAMBDA_OTLP_OUTPUT is set",
                "ok endpoint",
                &format!("failed connection cannot reach {closed}: connection refused"),
                "skipped credentials",
                "skipped record",
            ],
        );
        expect(
            checks(&[("LAMBDA_OTLP_ENDPOINT", "ftp://root:hunter2@o2.example.com")]).await,
            1,
            &[
                "warning settings LAMBDA_OTLP_OUTPUT: telemetry goes to stdout",
                "failed settings LAMBDA_OTLP_ENDPOINT",
                "ok output stdout, since LAMBDA_OTLP_ENDPOINT is set, but the destination is invalid",
            ],
        );
    }

    #[tokio::test]
    async fn a_stored_secret_is_read_before_the_backend_is_checked() {
        const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
        let sink = sink().await;
        let value = "root@example.com:pass".to_owned();
        let secrets = SecretServer::start(SecretAnswer::Value(value)).await.unwrap();
        // AWS's TLS uses the system's certificates.
        let authority = Authority::new("AWS");
        let port = TlsFront::before(secrets.address(), &authority, 2500).await.port();
        let system = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(system.path(), authority.pem()).unwrap();
        let system = system.path().to_str().unwrap();
        let of_aws = |endpoint: &str| {
            vec![
                ("LAMBDA_OTLP_ENDPOINT", sink.base().to_owned()),
                ("LAMBDA_OTLP_OUTPUT", "otlp".to_owned()),
                ("LAMBDA_OTLP_SECRET", ARN.to_owned()),
                ("AWS_ACCESS_KEY_ID", "AKID".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "simulated".to_owned()),
                ("AWS_ENDPOINT_URL", endpoint.to_owned()),
                ("SSL_CERT_FILE", system.to_owned()),
            ]
        };
        for endpoint in [secrets.endpoint(), format!("https://localhost:{port}")] {
            expect(
                checks(&of_aws(&endpoint)).await,
                0,
                &[
                    "ok settings",
                    "ok output",
                    &format!("ok secret {ARN} can be read"),
                    "ok endpoint",
                    "ok connection HTTP 200",
                    "ok credentials accepted",
                    "ok record accepted",
                ],
            );
        }
        secrets.answer(SecretAnswer::Denied);
        let denied = format!(
            "failed secret cannot read {ARN}: access denied; allow secretsmanager:GetSecretValue on {ARN}"
        );
        expect(
            checks(&of_aws(&secrets.endpoint())).await,
            1,
            &[
                "ok settings",
                "ok output",
                &denied,
                "skipped endpoint",
                "skipped connection",
                "skipped credentials",
                "skipped record",
            ],
        );
    }

    #[tokio::test]
    async fn backend_errors_and_warnings_are_printed_without_echoed_credentials() {
        let sink = sink().await;
        let variables = otlp(sink.base(), GOOD);
        let echo = format!("{{\"message\":\"the disk is full, {GOOD}\"}}");
        let full =
            ScriptedResponse::Response { status: 503, headers: Vec::new(), body: echo.into() };
        let empty = [ScriptedResponse::Ok, ScriptedResponse::Ok, ScriptedResponse::Ok];
        sink.script(empty.into_iter().chain([full]));
        let (code, lines) = checks(&variables).await;
        assert_eq!(code, 1);
        assert!(
            lines[5].starts_with("failed record answered 503 Service Unavailable"),
            "{lines:#?}"
        );
        assert!(lines[5].contains("the disk is full"), "{lines:#?}");

        // `partial_success` without rejected items.
        let body = b"\x0a\x05\x12\x03old".to_vec();
        let old = ScriptedResponse::Response { status: 200, headers: Vec::new(), body };
        let empty = [ScriptedResponse::Ok, ScriptedResponse::Ok, ScriptedResponse::Ok];
        sink.script(empty.into_iter().chain([old]));
        let (code, lines) = checks(&variables).await;
        assert_eq!((code, lines[5].as_str()), (0, "warning record accepted: old"), "{lines:#?}");
    }

    #[tokio::test]
    async fn the_health_check_supports_grpc_over_tls() {
        let (sink, authority) = (sink().await, Authority::new("Shop CA"));
        let server = GrpcFront::start(&sink).await.address();
        let trusted = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(trusted.path(), authority.pem()).unwrap();
        let path = trusted.path().to_str().unwrap().to_owned();
        let run = async |server: SocketAddr, protocol: &str, authorization: &str| {
            let front = TlsFront::speaking(server, &authority, 2500, &[protocol]).await;
            let endpoint = format!("https://localhost:{}", front.port());
            let of_grpc = [
                ("LAMBDA_OTLP_PROTOCOL", "grpc".to_owned()),
                ("LAMBDA_OTLP_CA_FILE", path.clone()),
            ];
            checks(&[&otlp(&endpoint, authorization)[..], &of_grpc].concat()).await
        };
        let begin = ["ok settings", "ok output", "ok endpoint localhost is "];
        let good =
            ["ok connection TLS, gRPC's status 0", "ok credentials accepted", "ok record accepted"];
        expect(run(server, "h2", GOOD).await, 0, &[begin, good].concat());
        assert_eq!(sink.log_records().len(), 1);
        let wrong = [
            "ok connection TLS, gRPC's status 16",
            "failed credentials answered gRPC's status 16: the credentials are wrong",
            "skipped record",
        ];
        expect(run(server, "h2", WRONG).await, 1, &[begin, wrong].concat());
        let (code, lines) = run(sink.address(), "http/1.1", GOOD).await;
        assert_eq!(code, 1, "{lines:#?}");
        assert!(lines[3].starts_with("failed connection cannot reach localhost"), "{lines:#?}");
        assert!(lines[3].contains("does not seem to speak HTTP/2"), "{lines:#?}");
    }

    #[tokio::test]
    async fn the_health_check_connects_through_the_proxy_and_reports_it() {
        let (sink, authority) = (sink().await, Authority::new("Shop CA"));
        let port = TlsFront::start(&sink, &authority, 2500).await.port();
        let trusted = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(trusted.path(), authority.pem()).unwrap();
        let run = async |proxy: &str| {
            let endpoint = format!("https://o2.internal:{port}/api/default");
            let more = [
                ("LAMBDA_OTLP_CA_FILE", trusted.path().to_str().unwrap().to_owned()),
                ("HTTPS_PROXY", proxy.to_owned()),
            ];
            checks(&[&otlp(&endpoint, GOOD)[..], &more].concat()).await
        };
        // `me:hunter22`
        let proxy = HttpProxy::start(ProxyAnswer::Asks("Basic bWU6aHVudGVyMjI=")).await;
        let at = proxy.address();
        let endpoint = format!("ok endpoint o2.internal is reached through the proxy {at}");
        expect(
            run(&format!("http://me:hunter22@{at}")).await,
            0,
            &[
                "ok settings",
                "ok output",
                &endpoint,
                "ok connection TLS, HTTP 200",
                "ok credentials accepted",
                "ok record accepted",
            ],
        );
        assert_eq!(sink.log_records().len(), 1);
        let hangs = HttpProxy::start(ProxyAnswer::Hangs).await.address();
        let late = format!(
            "failed connection cannot reach o2.internal:{port} through the proxy {hangs}: timed out"
        );
        expect(
            run(&format!("http://me:hunter2@{hangs}")).await,
            1,
            &["ok settings", "ok output", "ok endpoint", &late, "skipped", "skipped"],
        );
    }
}
