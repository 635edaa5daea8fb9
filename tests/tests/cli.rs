//! The command line as a process: what it prints, and with which exit code it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lambda_otlp_tests::{binary, fixture, workspace};
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
fn the_summary_counts_what_the_samples_hold() {
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
fn a_line_in_pieces_is_joined() {
    let line = String::from_utf8(fixture("lines/python-10.jsonl")).unwrap();
    let (head, tail) = line.trim_end().split_at(600);
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
fn decoded_requests_are_otlp_json_without_any_header_value() {
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
fn an_undecodable_line_is_named_and_fails_the_command() {
    let output = run(&["decode", "--summary", "lines/bombs.jsonl"]);
    // Each row of that file is an object of its own whose `line` is no top-level line.
    assert_eq!(output.status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    std::fs::write(&path, "{\"__otel_otlp_stdout\":\"1\",\"headers\":{\"k\":\"s3cret\"},\"payload\":\"AAAA\"}\ntext\n").unwrap();
    let output = run(&["decode", "--summary", "--json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"lines\":2,\"requests\":0"));
    assert!(text(&output.stdout).contains("\"undecodable\":1"));
    let said = text(&output.stderr);
    assert!(said.contains(":1: payload is no OTLP request") && said.contains("SHA-256"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_dry_run_prints_the_ledger_and_succeeds() {
    let output = run(&["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"]);
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let keys: Vec<&str> = ledger.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "events",
        "consumed",
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
fn what_the_backend_did_not_take_fails_the_command() {
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
}

#[test]
fn a_file_that_is_no_event_does_not_stop_the_others() {
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
fn an_undecodable_line_in_an_event_is_dead_lettered_with_its_reason() {
    let output = run(&["forward", "events/awslogs-one-garbage.json", "--dry-run", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\"dead_lettered\":1"));
    let said = text(&output.stderr);
    assert!(
        said.contains("dead-lettered: event 3193571716593115") && said.contains("no OTLP request"),
        "{said}"
    );
}

#[test]
fn wrong_arguments_are_all_named() {
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
    assert!(said.contains("LAMBDA_OTLP_ENDPOINT") && said.contains("LAMBDA_OTLP_STREAM"), "{said}");
}
