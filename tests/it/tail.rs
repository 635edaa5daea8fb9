//! `lambda-otlp tail` as a process: its output for lines, and the time of the output.

use expect_test::expect_file;
use lambda_otlp_tests::{binary, fixture};
use platform::{EndedExecution, History, Home};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use wire::{Envelope, LineEncoder, LineLimits};

fn tail(arguments: &[&str]) -> Child {
    let mut command = Command::new(binary("lambda-otlp"));
    command.arg("tail").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn shown(arguments: &[&str], input: &[u8]) -> (String, String, Option<i32>) {
    let mut child = tail(arguments);
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

fn lines() -> Vec<u8> {
    [
        fixture("lines/node-10.jsonl"),
        b"hello from the function\n\n".to_vec(),
        fixture("lines/rust-lite-handler.jsonl"),
    ]
    .concat()
}

#[test]
fn tail_shows_traces_and_passes_other_lines_through() {
    let (out, said, code) = shown(&[], &lines());
    assert_eq!((said.as_str(), code), ("", Some(0)));
    assert!(out.starts_with("hello from the function\n"), "{out}");
    for expected in [
        "Trace dad19102a8bfb4f5b14aa986d2a0e596: without an invocation id",
        "POST /orders/{id}",
        "  child-9",
        "invocation 8f507cfc-req",
        "\n✗ ",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours in a pipe: {out}");
}

/// The OTLP lines of the trace of an execution in `tests/fixtures/executions`.
fn execution(name: &str) -> Vec<u8> {
    let fixture: Value =
        serde_json::from_slice(&fixture(&format!("executions/{name}.json"))).unwrap();
    let home = Home { account: "123456789012", region: "eu-west-1" };
    let execution = EndedExecution::from_event(&fixture["status"], home).unwrap();
    let mut history = History::new(execution);
    history.add_page(fixture["history"].to_string().as_bytes()).unwrap();
    assert!(history.is_complete() && history.left_out() == 0, "{name}");
    let mut lines = Vec::new();
    let mut encoder = LineEncoder::new(6, LineLimits::default());
    for request in history.into_requests(None) {
        assert_eq!(encoder.encode(&Envelope::default(), request, &mut lines).lines, 1);
    }
    lines
}

#[test]
fn tail_draws_executions_with_short_waits() {
    for name in ["machine", "durable"] {
        let (out, said, code) = shown(&[], &execution(name));
        assert_eq!((said.as_str(), code), ("", Some(0)));
        expect_file![format!("../fixtures/executions/{name}.txt")].assert_eq(&out);
    }
}

#[test]
fn tail_filters_traces_by_its_arguments() {
    let check = |arguments: &[&str], node: bool, rust: bool, text: bool| {
        let (out, _, code) = shown(arguments, &lines());
        assert_eq!(code, Some(0));
        assert_eq!(out.contains("POST /orders"), node, "{arguments:?}: {out}");
        assert_eq!(out.contains("my-handler"), rust, "{arguments:?}: {out}");
        assert_eq!(out.contains("hello"), text, "{arguments:?}: {out}");
    };
    check(&["--service", "orders-node"], true, false, true);
    check(&["--service", "nobody", "--telemetry-only"], false, false, false);
    check(&["--failed"], true, true, true);
    check(&["--attribute", "faas.invocation_id=8f507cfc-req"], false, true, true);
    check(&["--attribute", "faas.invocation_id"], false, true, true);
    check(&["--attribute", "faas.invocation_id=other", "--telemetry-only"], false, false, false);
}

#[test]
fn tail_reports_an_undecodable_line_and_shows_the_others() {
    let line = fixture("lines/node-1.jsonl");
    let cut = line.get(..200).unwrap();
    let input = [b"text\n", cut, b"\n", line.as_slice()].concat();
    let (out, said, code) = shown(&[], &input);
    assert!(said.starts_with("line 2: "), "{said}");
    assert!(out.contains("Trace "), "{out}");
    assert_eq!(code, Some(1));
}

#[test]
fn tail_shows_traces_while_its_input_is_open() {
    let mut child = tail(&[]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(&lines()).unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // The input stays open: without the pause after which it is shown this would wait for ever.
    let mut line = String::new();
    while !line.contains("my-handler") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended");
    }
    drop(input);
    output.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn tail_continues_after_an_unreadable_input() {
    let folder = tempfile::tempdir().unwrap();
    let [first, last] = ["node-10", "rust-lite-handler"].map(|name| {
        let path = folder.path().join(name);
        std::fs::write(&path, fixture(&format!("lines/{name}.jsonl"))).unwrap();
        path.to_str().unwrap().to_owned()
    });
    // This file can be opened, but its first page cannot be read.
    let (out, said, code) = shown(&[&first, "/proc/self/mem", &last], b"");
    assert!(out.contains("POST /orders/{id}") && out.contains("my-handler"), "{out}");
    assert!(said.starts_with("lambda-otlp: cannot read /") && said.lines().count() == 1, "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn tail_prints_one_json_object_per_line() {
    let (out, said, code) = shown(&["--json"], &lines());
    assert_eq!((said.as_str(), code), ("", Some(0)));
    let objects: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&String> =
        objects.iter().flat_map(|object| object.as_object().unwrap().keys()).collect();
    assert_eq!(kinds, ["line", "trace", "trace"]);
    let id = "dad19102a8bfb4f5b14aa986d2a0e596";
    let traces = objects.iter().filter_map(|object| object.get("trace"));
    let trace = traces.into_iter().find(|trace| trace["traceId"] == id).unwrap();
    let spans = trace["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 10);
    assert!(spans.iter().all(|span| span["traceId"] == id && span["service"] == "orders-node"));
}

#[test]
fn tail_removes_control_characters_and_shows_cyclic_spans() {
    let line = br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sh\u001bop"}}]},"scopeSpans":[{"spans":[
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","parentSpanId":"b7ad6b7169203332","name":"one\u001b[2Jgone","startTimeUnixNano":"1","endTimeUnixNano":"2","status":{"code":2,"message":"red\u001b[31m \u202ebad"}},
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203332","parentSpanId":"b7ad6b7169203331","name":"two","startTimeUnixNano":"1","endTimeUnixNano":"2"}
        ]}]}]}"#;
    let line: Vec<u8> = line.iter().copied().filter(|byte| *byte != b'\n').collect();
    let (out, said, code) = shown(&[], &line);
    assert_eq!((said.as_str(), code), ("", Some(0)));
    assert!(out.contains("one [2Jgone") && out.contains("  two"), "{out:?}");
    assert!(out.contains("sh op") && out.contains("ERROR red [31m  bad"), "{out:?}");
    assert!(out.contains("(its parents form a circle)"), "{out}");
}

/// Foreign text in JSON keeps its value, and in messages its other characters.
#[test]
fn no_command_prints_control_characters_of_telemetry() {
    let name = "a\u{9b}2J\u{202e}b\u{2066}c\u{7f}";
    let line = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"{name}","value":{{"stringValue":"{name}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"{name}","startTimeUnixNano":"1","endTimeUnixNano":"2"}}]}}]}}]}}"#
    );
    for arguments in [
        &["decode"][..],
        &["tail", "--json"],
        &["tail"],
        &["decode", "no-such-\u{9b}\u{202e}-file"],
    ] {
        let mut command = Command::new(binary("lambda-otlp"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads no input may have ended.
        drop(child.stdin.take().unwrap().write_all(line.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let moves =
            |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{2069}').contains(&c);
        assert!(!printed.is_empty() && !printed.contains(moves), "{arguments:?}: {printed:?}");
        for value in
            printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        {
            assert!(value.to_string().contains(name), "{value}");
        }
    }
}
