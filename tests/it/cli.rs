//! The command line as a process: output and exit codes.

use crate::program::{Ended, run_to_end};
use lambda_otlp_tests::{binary, fixture, workspace};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::io::Read as _;
use std::process::{Command, Stdio};
use test_support::openobserve::{FakeOpenObserve, StoredSpan};
use wire::Request;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("lambda-otlp"));
    let folder = workspace().join("tests/fixtures");
    command.current_dir(folder).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Fixtures are older than the window that a dry run applies.
    if arguments.contains(&"--dry-run") {
        command.env("LAMBDA_OTLP_INGEST_WINDOW", "1000000h");
    }
    command
}

fn run(arguments: &[&str]) -> Ended {
    output_of(&mut command(arguments))
}

fn output_of(command: &mut Command) -> Ended {
    run_to_end(command, "")
}

#[test]
fn the_decode_summary_counts_requests_and_spans() {
    let check = |file: &str, counts: [usize; 3]| {
        let Ended { code, stdout, stderr } =
            run(&["decode", "--summary", &format!("lines/{file}.jsonl")]);
        let [lines, requests, spans] = counts;
        let expected = format!(
            "{{\"file\":\"lines/{file}.jsonl\",\"lines\":{lines},\"requests\":{requests},\"spans\":{spans},\
             \"data_points\":0,\"log_records\":0,\"undecodable\":0}}\n"
        );
        assert_eq!((code, stdout, stderr.as_str()), (0, expected, ""));
    };
    for language in ["python", "node", "rust"] {
        check(&format!("{language}-1"), [1, 1, 1]);
        check(&format!("{language}-10"), [1, 1, 10]);
        check(&format!("{language}-500"), [1, 1, 500]);
    }
    for two in ["node-headers-level", "rust-headers-level", "python-bigattr", "rust-bigattr"] {
        check(two, [1, 1, 2]);
    }
    check("rust-empty", [4, 4, 0]);
    check("rust-lite-handler", [1, 1, 1]);
}

#[test]
fn a_line_split_in_two_is_joined() {
    let line = String::from_utf8(fixture("lines/python-10.jsonl")).unwrap();
    let (head, tail) = line.trim_end().split_at(1_100);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pieces");
    std::fs::write(&path, format!("text\n{head}\n{tail}\n{head}\ntext\n")).unwrap();
    let Ended { stdout, stderr, .. } = run(&["decode", "--summary", path.to_str().unwrap()]);
    assert!(stdout.contains("\"lines\":5,\"requests\":1,\"spans\":10"), "{stdout}");
    assert!(stdout.contains("\"undecodable\":1"), "{stdout}");
    assert!(stderr.contains(":4: "), "{stderr}");
}

#[test]
fn decoded_requests_are_otlp_json_without_header_values() {
    let Ended { stdout, .. } =
        run(&["decode", "lines/rust-headers-level.jsonl", "lines/node-headers-level.jsonl"]);
    assert_eq!(stdout.lines().count(), 2);
    for line in stdout.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(request["resourceSpans"].is_array());
    }
    assert!(!stdout.contains("secret"), "{stdout}");
}

#[test]
fn an_undecodable_line_is_reported_and_fails_decode() {
    // Each row of this file is an object with a `line` that is not at the top level.
    assert_eq!(run(&["decode", "--summary", "lines/bombs.jsonl"]).code, 0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    std::fs::write(&path, "{\"__otel_otlp_stdout\":\"1\",\"headers\":{\"k\":\"s3cret\"},\"payload\":\"AAAA\"}\ntext\n").unwrap();
    let Ended { code, stdout, stderr } = run(&["decode", "--summary", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("\"lines\":2,\"requests\":0") && stdout.contains("\"undecodable\":1"),
        "{stdout}"
    );
    assert!(
        stderr.contains(":1: payload is not an OTLP request") && stderr.contains("SHA-256"),
        "{stderr}"
    );
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn decode_and_tail_read_compact_lines_with_the_names_of_their_writer() {
    let account = "123456789012";
    let stream = "2026/11/22/[$LATEST]abc";
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: format!("orders of {account} in {stream}"),
        ..Span::default()
    };
    let writer =
        wire::compact::OwnedContext::of_function("orders", "", "/aws/lambda/orders", stream)
            .with_account(account);
    let mut encoder = wire::LineEncoder::compact(writer, wire::LineLimits::default());
    let mut bytes = Vec::new();
    let request = Request::of_spans(None, vec![span]);
    assert_eq!(encoder.encode(&wire::Envelope::default(), request, &mut bytes).lines, 1);
    let line = String::from_utf8(bytes).unwrap().trim_end().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let path = file.to_str().unwrap();
    let names = ["--function", "orders", "--account", account];
    let all_names = [&names[..], &["--log-stream", stream]].concat();
    // Lines of `aws logs tail` name their log stream.
    let tailed = format!("2026-11-22T14:13:20.123000+00:00 {stream} {line}");
    for (text, flags) in [(line.clone(), &all_names[..]), (tailed, &names)] {
        std::fs::write(path, text).unwrap();
        for command in ["decode", "tail"] {
            let Ended { code, stdout, stderr } = run(&[&[command, path], flags].concat());
            // The waterfall shortens names.
            assert!(stdout.contains("orders of 123456789012 in 2026/11/22/["), "{stdout}{stderr}");
            assert_eq!(code, 0, "{stderr}");
        }
    }
    std::fs::write(path, line).unwrap();
    for command in ["decode", "tail"] {
        let Ended { code, stderr, .. } = run(&[command, path]);
        assert_eq!(code, 1);
        let expected = "name its writer with --function, --account and --log-stream";
        assert!(stderr.contains(expected), "{stderr}");
    }
    let Ended { code, stderr, .. } =
        run(&["tail", "--log-group", "/aws/lambda/orders", "--function", "orders"]);
    assert_eq!(code, 64, "{stderr}");
}

#[test]
fn rules_test_applies_the_forwarders_variables() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(&rules, "").unwrap();
    let records = |platform_logs: &str| {
        let event = "events/awslogs-text-mixed.json";
        let mut test = command(&["rules", "test", rules.to_str().unwrap(), event]);
        let Ended { stdout, stderr, .. } =
            output_of(test.env("LAMBDA_OTLP_PLATFORM_LOGS", platform_logs));
        let before = stdout.lines().find(|line| line.starts_with("before")).expect(&stderr);
        before.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((records("reports"), records("all")), ("8".to_owned(), "15".to_owned()));
}

#[test]
fn forward_reads_log_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.log");
    let stream = "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef";
    let tailed = |text: &str| format!("2026-11-22T14:13:20.123000+00:00 {stream} {text}");
    let trace = tailed("Traceback (most recent call last):\n  File \"app.py\", line 1");
    let otlp = String::from_utf8(fixture("lines/python-10.jsonl")).unwrap();
    // Each file has its number of log records and spans.
    for (text, records, spans) in [
        ("paid 1\n\npaid 2\n".to_owned(), 2, 0),
        (format!("paid\n{otlp}"), 1, 10),
        (otlp.clone(), 0, 10),
        (r#"{"level":"info","message":"paid"}"#.to_owned(), 1, 0),
        ([tailed("one"), trace, tailed(&otlp)].join("\n"), 2, 10),
    ] {
        std::fs::write(&path, &text).unwrap();
        let Ended { code, stdout, stderr } =
            run(&["forward", path.to_str().unwrap(), "--dry-run", "--json"]);
        let ledger: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let items = |kind: &str| ledger["items"][kind].as_u64();
        assert_eq!(
            (code, items("log_records"), items("spans")),
            (0, Some(records), Some(spans)),
            "{text}: {stderr}"
        );
    }
}

#[test]
fn log_lines_keep_their_group_stream_and_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let fake = runtime.block_on(FakeOpenObserve::builder().no_window().start()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.log");
    let stream = "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef";
    std::fs::write(&file, format!("2026-11-22T14:13:20.123000+00:00 {stream} paid\n")).unwrap();
    let path = file.to_str().unwrap();
    for (group, function) in
        [(&[][..], "shop"), (&["--log-group", "/aws/lambda/orders"][..], "orders")]
    {
        let arguments = [&["forward", path, "--endpoint", fake.base()], group].concat();
        let Ended { code, stderr, .. } = run(&arguments);
        assert_eq!(code, 0, "{stderr}");
        let records = fake.log_records();
        let record = records.last().unwrap();
        assert_eq!(record.item.time_unix_nano, 1_795_356_800_123_000_000);
        let text = format!("{record:?}");
        assert!(
            text.contains(stream) && text.contains(&format!("/aws/lambda/{function}")),
            "{text}"
        );
    }
}

#[test]
fn forward_reads_an_event_from_standard_input() {
    let event = workspace().join("tests/fixtures/events/awslogs-otlp-only.json");
    let mut forward = command(&["forward", "-", "--dry-run", "--json"]);
    let Ended { code, stdout, stderr } =
        output_of(forward.stdin(std::fs::File::open(event).unwrap()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("\"spans\":530"), "{stdout}");
}

#[test]
fn a_given_profile_takes_precedence_over_credentials_of_the_environment() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    let profile = "[other]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s3cret\n";
    std::fs::write(&credentials, profile).unwrap();
    let request_of = |profile: &[&str]| {
        let replay = ["replay", "/g", "--from", "1h", "--dry-run", "--region", "eu-west-1"];
        let mut command = command(&[&replay, profile].concat());
        command.env("AWS_SHARED_CREDENTIALS_FILE", &credentials).env("AWS_ENDPOINT_URL", &endpoint);
        command.env("AWS_ACCESS_KEY_ID", "AKIDSHELL").env("AWS_SECRET_ACCESS_KEY", "s3cret");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut request = [0; 8192];
        let read = listener.accept().unwrap().0.read(&mut request).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let by_shell = request_of(&[]);
    assert!(by_shell.contains("Credential=AKIDSHELL/"), "{by_shell}");
    let by_profile = request_of(&["--profile", "other"]);
    assert!(by_profile.contains("Credential=AKIDPROFILE/"), "{by_profile}");
}

#[test]
fn forward_applies_the_rules_of_the_forwarder() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nname = \"no logs\"\nmatch.signal = \"logs\"\ndrop = true\n")
        .unwrap();
    let forward = || {
        let arguments = ["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"];
        output_of(command(&arguments).env("LAMBDA_OTLP_RULES", &rules))
    };
    let Ended { stdout, .. } = forward();
    let ledger: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&ledger["dropped"], &ledger["lost"]), (&8.into(), &0.into()));
    std::fs::write(&rules, "[[rule]]\nname = \"x\"\nmatch.signal = \"smoke\"\ndrop = true\n")
        .unwrap();
    let Ended { code, stderr, .. } = forward();
    assert!(stderr.contains("rules.toml") && stderr.contains("smoke"), "{stderr}");
    assert_ne!(code, 0, "what may have to be redacted is not sent without the rules");
}

#[test]
fn undelivered_telemetry_fails_the_forward_command() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let event = "events/awslogs-otlp-only.json";
    let header = "--header=authorization=Basic s3cret";
    let Ended { code, stdout, stderr } =
        run(&["forward", event, "--endpoint", &endpoint, header, "--json"]);
    assert_eq!(code, 1);
    let ledger: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&ledger["returned"], &ledger["lost"]), (&530.into(), &0.into()));
    assert!(
        stderr.contains("not delivered: 530 spans: ") && stderr.contains("refused"),
        "{stderr}"
    );
    assert!(!stderr.contains("s3cret"), "{stderr}");

    // All three signals fail for the same reason, which is printed once.
    let Ended { stderr, .. } =
        run(&["forward", "events/awslogs-text-mixed.json", "--endpoint", &endpoint]);
    assert_eq!(stderr.matches("connection refused").count(), 1, "{stderr}");
    for signal in ["spans", "data points", "log records"] {
        assert!(stderr.contains(signal), "{stderr}");
    }
}

#[test]
fn shift_time_sends_old_telemetry_with_the_current_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(FakeOpenObserve::start()).unwrap();
    let forward = |arguments: &[&str]| {
        let event = ["forward", "events/awslogs-otlp-only.json", "--endpoint", fake.base()];
        run(&[&event, arguments].concat());
        fake.spans()
    };
    assert_eq!(forward(&[]).len(), 0, "the backend's ingest window");
    let spans = forward(&["--shift-time"]);
    let is_moved = |span: &StoredSpan| {
        span.item.attributes.iter().any(|attribute| attribute.key == "lambda_otlp.original_time")
    };
    assert_eq!((spans.len(), spans.iter().all(is_moved)), (530, true));
}

#[test]
fn a_closed_output_pipe_does_not_change_the_exit_code() {
    let check = |code: i32, arguments: &[&str]| {
        // The pipes are closed before the program writes.
        let with_closed_pipe = |is_stdout: bool| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = command(arguments);
            if is_stdout {
                command.stdout(writer);
            } else {
                command.stderr(writer);
            }
            let Ended { code: found, stderr, .. } = output_of(&mut command);
            assert_eq!(found, code, "{arguments:?}, stdout: {is_stdout}");
            stderr
        };
        let stderr = with_closed_pipe(true);
        assert!(!stderr.contains("ipe"), "{arguments:?}: {stderr}");
        with_closed_pipe(false);
    };
    let event = "events/awslogs-text-mixed.json";
    check(0, &["forward", "--dry-run", event]);
    check(0, &["forward", "--dry-run", "--json", event]);
    check(1, &["forward", "--dry-run", event, "no-such-file"]);
    check(0, &["decode", "lines/rust-1.jsonl"]);
    check(0, &["tail", "lines/rust-1.jsonl"]);
    check(0, &["cost", "--invocations", "1M/d"]);
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(&rules, "").unwrap();
    check(0, &["rules", "test", "--requests", rules.to_str().unwrap(), event]);
    check(64, &["decode", "no-such-file"]);
}

#[test]
fn doctor_colours_its_verdicts_on_request() {
    let doctor = |variables: &[(&str, &str)]| {
        let mut command = command(&["doctor", "--endpoint", "http://127.0.0.1:1"]);
        output_of(command.envs(variables.iter().copied())).stdout
    };
    let coloured = doctor(&[("CLICOLOR_FORCE", "1")]);
    assert!(
        coloured.contains("\u{1b}[32mok") && coloured.contains("\u{1b}[31mfailed"),
        "{coloured}"
    );
    for plain in [doctor(&[]), doctor(&[("NO_COLOR", "1")])] {
        assert!(plain.contains("\nfailed  connection") && !plain.contains('\u{1b}'), "{plain}");
    }
}
