//! The command line as a process: output and exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lambda_otlp_tests::{binary, fixture, workspace};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    Command::new(binary("lambda-otlp"))
        .current_dir(workspace().join("tests/fixtures"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_decode_summary_counts_requests_and_spans() {
    let check = |file: &str, counts: [usize; 3]| {
        let output = run(&["decode", "--summary", "--json", &format!("lines/{file}.jsonl")]);
        let [lines, requests, spans] = counts;
        let expected = format!(
            "{{\"file\":\"lines/{file}.jsonl\",\"lines\":{lines},\"requests\":{requests},\"spans\":{spans},\
             \"data_points\":0,\"log_records\":0,\"undecodable\":0}}\n"
        );
        assert_eq!(text(&output.stdout), expected);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
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
    let output = run(&["decode", "--summary", "--json", path.to_str().unwrap()]);
    let out = text(&output.stdout);
    assert!(out.contains("\"lines\":5,\"requests\":1,\"spans\":10"), "{out}");
    assert!(out.contains("\"undecodable\":1"), "{out}");
    assert!(text(&output.stderr).contains(":4: "), "{}", text(&output.stderr));
}

#[test]
fn decoded_requests_are_otlp_json_without_header_values() {
    let output =
        run(&["decode", "lines/rust-headers-level.jsonl", "lines/node-headers-level.jsonl"]);
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 2);
    for line in out.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(request["resourceSpans"].is_array());
    }
    assert!(!out.contains("secret"), "{out}");
}

#[test]
fn an_undecodable_line_is_reported_and_fails_decode() {
    let output = run(&["decode", "--summary", "lines/bombs.jsonl"]);
    // Each row of that file is an object with a `line` that is not at the top level.
    assert_eq!(output.status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    std::fs::write(&path, "{\"__otel_otlp_stdout\":\"1\",\"headers\":{\"k\":\"s3cret\"},\"payload\":\"AAAA\"}\ntext\n").unwrap();
    let output = run(&["decode", "--summary", "--json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"lines\":2,\"requests\":0"));
    assert!(text(&output.stdout).contains("\"undecodable\":1"));
    let said = text(&output.stderr);
    assert!(
        said.contains(":1: payload is not an OTLP request") && said.contains("SHA-256"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn decode_and_tail_read_compact_lines_with_given_names() {
    let mut request = Vec::new();
    wire::protobuf::Writer::new(&mut request).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[2; 8]);
                span.string(5, "orders of 123456789012 in 2026/11/22/[$LATEST]abc");
            });
        });
    });
    let request = wire::Request::trusted(wire::SignalKind::Traces, request);
    let stream = "2026/11/22/[$LATEST]abc";
    let names = wire::compact::Names::of_function("orders", "", "/aws/lambda/orders", stream);
    let names = names.with_account("123456789012");
    let mut encoder = wire::LineEncoder::compact(names, wire::LineLimits::default());
    let mut line = Vec::new();
    assert_eq!(encoder.encode(&wire::Envelope::default(), request, &mut line).lines, 1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    std::fs::write(&path, line).unwrap();
    let path = path.to_str().unwrap();
    let flags = ["--function", "orders", "--account", "123456789012", "--log-stream", stream];
    for command in ["decode", "tail"] {
        let output = run(&[command, path]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        let expected = "name its writer with --function NAME --account ID --log-stream NAME";
        assert!(said.contains(expected), "{said}");
        let output = run(&[[command, path].as_slice(), &flags].concat());
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        // The waterfall shortens names.
        assert!(out.contains("orders of 123456789012 in 2026/11/22/["), "{out}{said}");
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    let output = run(&["tail", "--log-group", "/aws/lambda/orders", "--function", "orders"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
}

#[test]
fn a_trained_dictionary_shortens_compact_lines() {
    let request = |number: u64| {
        let mut request = Vec::new();
        wire::protobuf::Writer::new(&mut request).message(1, |container| {
            container.message(2, |scope| {
                scope.message(2, |span| {
                    span.bytes(1, &[7; 16]);
                    span.bytes(2, &(number + 1).to_be_bytes());
                    span.fixed64(7, 1_790_000_000_000_000_000 + number * 1_000_000_007);
                    span.string(5, "settle ledger");
                    for key in ["acme.ledger.customer", "acme.ledger.currency", "acme.ledger.page"]
                    {
                        span.message(9, |attribute| {
                            attribute.string(1, key);
                            attribute
                                .message(2, |value| value.string(1, &format!("{key} {number}")));
                        });
                    }
                });
            });
        });
        wire::Request::trusted(wire::SignalKind::Traces, request)
    };
    let directory = tempfile::tempdir().unwrap();
    let in_directory = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (log, dictionary, compact) = (
        in_directory("log"),
        in_directory("dictionaries/dictionary-70.bin"),
        in_directory("compact"),
    );
    let write = |path: &str, mut encoder: wire::LineEncoder, numbers: std::ops::Range<u64>| {
        let mut lines = b"START RequestId: 1\n".to_vec();
        for number in numbers {
            let written = encoder.encode(&wire::Envelope::default(), request(number), &mut lines);
            assert_eq!(written.items, 1);
        }
        std::fs::write(path, &lines).unwrap();
        lines.len()
    };
    let names = wire::compact::Names::of_function("", "", "", "");
    let limits = wire::LineLimits::default();
    write(&log, wire::LineEncoder::new(6, limits), 0..40);
    let train = |log: &str, output: &str| run(&["dictionary", "train", log, "--output", output]);
    for (output, status, expected) in [
        (&dictionary, 0, "made from 40 requests"),
        (&dictionary, 64, "choose another number"),
        (&in_directory("own.bin"), 64, "a number from 64 to 127"),
    ] {
        let output = train(&log, output);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.code() == Some(status) && said.contains(expected), "{said}");
    }

    let file = std::fs::read(&dictionary);
    let own = wire::compact::OwnDictionary::of_file(Path::new(&dictionary), file).unwrap();
    let encoder = || wire::LineEncoder::compact(names.clone(), limits);
    let standard_bytes = write(&compact, encoder(), 100..140);
    let own_bytes = write(&compact, encoder().with_dictionary(Some(own)), 100..140);
    assert!(own_bytes * 3 < standard_bytes * 2, "{own_bytes} of {standard_bytes} bytes");
    let output = run(&["decode", &compact]);
    assert!(text(&output.stderr).contains("dictionary 70"), "{}", text(&output.stderr));
    let run_beside = |arguments: &[&str]| {
        let mut command = Command::new(binary("lambda-otlp"));
        command.current_dir(directory.path()).args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    for command in ["decode", "tail"] {
        let output = run_beside(&[command, "compact"]);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(out.matches("settle ledger").count(), 40, "{out}{said}");
    }
    // Lines with that dictionary can train the next one.
    let next = ["dictionary", "train", "compact", "--output", "dictionaries/dictionary-71.bin"];
    let output = run_beside(&next);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_dry_run_prints_the_ledger_and_succeeds() {
    let output = run(&["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"]);
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let keys: Vec<&str> = ledger.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "events",
        "consumed",
        "consumed_by",
        "items",
        "accepted",
        "parked",
        "dead_lettered",
        "dropped",
        "returned",
        "lost",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(ledger["events"], 18);
    assert_eq!(ledger["items"]["spans"], 30);
    assert_eq!(ledger["lost"], 0);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn exit_codes_match_the_documentation() {
    let page = std::fs::read_to_string(workspace().join("docs/command-line.md")).unwrap();
    let check = |code: i32, arguments: &[&str]| {
        assert!(page.contains(&format!("\n| {code} | ")), "{code}");
        let output = run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        // Errors are printed, and only errors.
        assert_eq!(said.is_empty(), code == 0, "{arguments:?}: {said}");
    };
    check(0, &["--help"]);
    check(0, &["help", "decode"]);
    check(0, &["--version"]);
    check(0, &["decode", "lines/rust-1.jsonl"]);
    check(0, &["forward", "--dry-run", "events/awslogs-text-mixed.json"]);
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.jsonl");
    std::fs::write(&broken, r#"{"__otel_otlp_stdout":"0.1.0","payload":"!"}"#).unwrap();
    check(1, &["decode", broken.to_str().unwrap()]);
    check(64, &["nonsense"]);
    check(64, &["decode", "--nonsense"]);
    check(64, &["decode", "no-such-file"]);
    check(64, &["rules", "check", "no-such-file"]);
    check(64, &["forward", "events/awslogs-text-mixed.json"]);
    check(64, &["redrive"]);
}

#[test]
fn a_wrong_input_file_suggests_the_matching_command() {
    let event = "events/awslogs-text-mixed.json";
    let output = run(&["decode", event]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&format!("`lambda-otlp forward --dry-run {event}`")), "{said}");

    // A single line is also a JSON object.
    for lines in ["lines/python-10.jsonl", "lines/rust-1.jsonl"] {
        let output = run(&["forward", lines, "--dry-run"]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("`lambda-otlp decode {lines}`")), "{said}");
    }

    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.log");
    std::fs::write(&plain, "one\n\ntwo\n").unwrap();
    let output = run(&["decode", plain.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.ends_with("plain.log: no OTLP line among 2\n"), "{said}");
    // A file with OTLP lines needs no hint.
    assert_eq!(text(&run(&["decode", "lines/python-10.jsonl"]).stderr), "");
}

#[test]
fn forward_applies_the_rules_of_the_forwarder() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nname = \"no logs\"\nmatch.signal = \"logs\"\ndrop = true\n")
        .unwrap();
    let forward = || {
        Command::new(binary("lambda-otlp"))
            .args(["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"])
            .current_dir(workspace().join("tests/fixtures"))
            .env("LAMBDA_OTLP_RULES", &rules)
            .output()
            .unwrap()
    };
    let output = forward();
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((&ledger["dropped"], &ledger["lost"]), (&8.into(), &0.into()));
    std::fs::write(&rules, "[[rule]]\nname = \"x\"\nmatch.signal = \"smoke\"\ndrop = true\n")
        .unwrap();
    let output = forward();
    let said = text(&output.stderr);
    assert!(said.contains("rules.toml") && said.contains("smoke"), "{said}");
    assert!(!output.status.success(), "what may have to be redacted is not sent without the rules");
}

#[test]
fn undelivered_telemetry_fails_the_forward_command() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let event = "events/awslogs-otlp-only.json";
    let output = run(&[
        "forward",
        event,
        "--endpoint",
        &endpoint,
        "--header",
        "authorization=Basic s3cret",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((&ledger["returned"], &ledger["lost"]), (&530.into(), &0.into()));
    let said = text(&output.stderr);
    assert!(said.contains("returned: 530 spans of traces") && said.contains("refused"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");

    // All three signals fail for the same reason, which is printed once.
    let output = run(&["forward", "events/awslogs-text-mixed.json", "--endpoint", &endpoint]);
    let said = text(&output.stderr);
    assert_eq!(said.matches("connection refused").count(), 1, "{said}");
    for signal in ["spans of traces", "data points of metrics", "log records of logs"] {
        assert!(said.contains(signal), "{said}");
    }
}

#[test]
fn an_invalid_event_file_does_not_stop_the_others() {
    let output = run(&[
        "forward",
        "lines/python-1.jsonl",
        "events/awslogs-otlp-only.json",
        "--dry-run",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"spans\":530"));
    assert!(text(&output.stderr).contains("python-1.jsonl"), "{}", text(&output.stderr));
}

#[test]
fn an_undecodable_line_in_an_event_is_reported_and_dropped() {
    let output = run(&["forward", "events/awslogs-one-garbage.json", "--dry-run", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\"dropped\":1"));
    let said = text(&output.stderr);
    assert!(
        said.contains("not decoded: event 3193571716593115")
            && said.contains("not an OTLP request"),
        "{said}"
    );
}

#[test]
fn forward_reports_all_wrong_arguments() {
    let output = run(&[
        "forward",
        "events/awslogs-empty.json",
        "--endpoint",
        "nowhere",
        "--stream",
        "a b\n",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    assert!(said.contains("--endpoint") && said.contains("--stream"), "{said}");
}

fn event_file(directory: &Path, messages: &[&str]) -> std::path::PathBuf {
    use base64::Engine as _;
    let events: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, message)| {
            serde_json::json!({"id": n.to_string(), "timestamp": 1_790_000_000_000_u64, "message": message})
        })
        .collect();
    let delivery = serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/lambda/orders",
        "logStream": "s", "subscriptionFilters": ["f"], "logEvents": events,
    });
    let data = wire::gzip::compress(6, delivery.to_string().as_bytes());
    let data = base64::engine::general_purpose::STANDARD.encode(data);
    let path = directory.join("event.json");
    let event = serde_json::json!({"awslogs": {"data": data}});
    std::fs::write(&path, event.to_string()).unwrap();
    path
}

#[test]
fn telemetry_outside_the_window_after_a_time_shift_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let line = |seconds: u64| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"work","startTimeUnixNano":"{seconds}000000000","endTimeUnixNano":"{seconds}000000001"}}]}}]}}]}}"#
        )
    };
    let said = |seconds: u64| {
        let path = event_file(directory.path(), &[&line(seconds), "a line"]);
        let output = run(&["forward", "--dry-run", "--shift-time", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    assert_eq!(said(1_790_000_000 - 60), "");
    let warning = said(1_790_000_000 - 86_400);
    assert!(warning.contains("1 item outside the backend's ingest window"), "{warning}");
}

#[test]
fn a_closed_output_pipe_does_not_change_the_exit_code() {
    let check = |code: i32, arguments: &[&str]| {
        // The pipes are closed before the program writes.
        let closed = |out: bool| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = Command::new(binary("lambda-otlp"));
            command.current_dir(workspace().join("tests/fixtures")).args(arguments);
            command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
            if out {
                command.stdout(writer)
            } else {
                command.stderr(writer)
            };
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}, stdout: {out}");
            text(&output.stderr)
        };
        let said = closed(true);
        assert!(!said.contains("ipe"), "{arguments:?}: {said}");
        closed(false);
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
        let mut command = Command::new(binary("lambda-otlp"));
        command.args(["doctor", "--endpoint", "http://127.0.0.1:1"]).stdin(Stdio::null());
        text(&command.envs(variables.iter().copied()).output().unwrap().stdout)
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
