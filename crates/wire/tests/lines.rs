//! Lines of other people's exporters, whole and broken: what is read from each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use lambda_otlp_wire::{Limits, LineReading, SignalKind, read_line};
use std::fmt::Write as _;
use std::path::PathBuf;

fn fixture(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lines").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(line: &str) -> LineReading {
    read_line(line, &Limits::default()).unwrap_or_default()
}

#[track_caller]
fn check(file: &str, lines: usize, spans: usize) {
    let text = fixture(file);
    let readings: Vec<_> = text.lines().map(read).collect();
    let decoded: Vec<_> = readings.iter().flat_map(|reading| &reading.decoded).collect();
    assert_eq!(decoded.len(), lines, "{file}: lines");
    assert!(decoded.iter().all(|line| line.request.kind() == SignalKind::Traces), "{file}: signal");
    assert_eq!(
        decoded.iter().map(|line| line.request.items()).sum::<usize>(),
        spans,
        "{file}: spans"
    );
    assert!(readings.iter().all(|reading| reading.undecodable.is_empty()), "{file}: undecodable");
    assert!(readings.iter().all(|reading| reading.text.is_none()), "{file}: text around");
}

#[test]
fn lines_of_the_peers_current_exporters_are_read() {
    for language in ["python", "node", "rust"] {
        check(&format!("{language}-1.jsonl"), 1, 1);
        check(&format!("{language}-10.jsonl"), 1, 10);
        check(&format!("{language}-500.jsonl"), 1, 500);
    }
    check("node-headers-level.jsonl", 1, 2);
    check("rust-headers-level.jsonl", 1, 2);
    check("python-bigattr.jsonl", 1, 2);
    check("rust-bigattr.jsonl", 1, 2);
    check("rust-empty.jsonl", 4, 0);
    check("rust-lite-handler.jsonl", 1, 1);
}

/// `spans` of all lines found, then what is undecodable, then the text around.
fn outcome(line: &str) -> String {
    let Some(reading) = read_line(line, &Limits::default()) else { return "no OTLP line".into() };
    let mut outcome = String::new();
    for decoded in &reading.decoded {
        write!(outcome, "{} spans; ", decoded.request.items()).unwrap();
    }
    for undecodable in &reading.undecodable {
        write!(outcome, "refused: {}; ", undecodable.reason).unwrap();
    }
    if let Some(text) = &reading.text {
        write!(outcome, "text: {text:?}; ").unwrap();
    }
    outcome.trim_end_matches("; ").to_owned()
}

/// Why a case that could go both ways went this one.
const WHY: &[(&str, &str)] = &[
    (
        "bad-gzip-crc",
        "the checksum says that bytes changed: a wrong span is worse than a reported one",
    ),
    ("bad-gzip-isize", "as bad-gzip-crc"),
    ("gzip-multi-member", "all members are read, as gzip(1) does"),
    ("base64-no-padding", "missing padding loses nothing"),
    ("base64-urlsafe", "the other alphabet loses nothing"),
    ("base64-mime-wrapped", "line breaks lose nothing"),
    ("empty-payload", "no writer writes an empty payload: something was cut off"),
    ("empty-request", "a request without spans is no mistake; it is counted as consumed"),
    (
        "logs-endpoint-traces-body",
        "the bytes have the structure of traces; the endpoint is only a label",
    ),
    ("wrong-content-type", "the bytes are protobuf; the content type is only a label"),
    ("content-type-missing", "protobuf is assumed, and checked"),
    ("content-encoding-missing-but-gzip", "gzip is told by its magic number 1f8b"),
    ("content-encoding-gzip-but-raw", "no magic number, so not gzip; the structural check decides"),
    ("content-encoding-zstd-label", "the bytes are gzip; the label is only a label"),
    ("base64-flag-missing", "a payload of text is base64, or it is refused"),
    ("base64-flag-false-but-encoded", "as base64-flag-missing"),
    ("base64-flag-string", "as base64-flag-missing"),
    ("version-number-type", "the version is a package version and decides nothing"),
    ("minimal-fields", "only the marker and the payload are needed"),
    ("endpoint-null", "the bytes tell the signal"),
    ("bom-prefixed", "a byte order mark is no content"),
    ("two-objects-one-line", "both objects are read"),
    ("prefix-text-same-line", "the text before the object becomes a log record of its own"),
    ("suffix-text-same-line", "the text behind the object becomes a log record of its own"),
    (
        "bad-trace-id-length",
        "the structure is right; such a span is left out, and counted, before OpenObserve would reject it",
    ),
    ("empty-trace-id", "as bad-trace-id-length"),
    (
        "invalid-utf8-string",
        "one such string makes a backend refuse the whole request, neighbours included",
    ),
    ("deep-anyvalue-90", "other protobuf readers stop at 100 messages; ours at 64"),
    ("dup-keys", "which of two payloads is meant nobody can know"),
];

#[test]
fn each_broken_line_has_the_outcome_of_the_table() {
    let mut table = String::from(
        "# Broken and unusual lines: what is read from each\n\n\
         Each case is one line of `tests/fixtures/lines/corrupted.jsonl` or `bombs.jsonl`, read alone. \
         A test writes and checks this table.\n\n| case | outcome | why, where both ways were possible |\n|---|---|---|\n",
    );
    for file in ["corrupted.jsonl", "bombs.jsonl"] {
        for row in fixture(file).lines() {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            let case = row["case"].as_str().unwrap();
            let why = WHY.iter().find(|(of, _)| *of == case).map_or("", |(_, why)| why);
            let outcome = outcome(row["line"].as_str().unwrap());
            writeln!(table, "| {case} | {outcome} | {why} |").unwrap();
        }
    }
    expect_test::expect_file!["../../../docs/broken-lines.md"].assert_eq(&table);
}

#[test]
fn no_header_value_survives_in_an_undecodable_line() {
    let line = fixture("rust-headers-level.jsonl").replace("\"payload\":\"", "\"payload\":\"!");
    assert!(line.contains("secret=123"), "the sample holds a secret");
    let reading = read(&line);
    let [undecodable] = reading.undecodable.as_slice() else { panic!("{reading:?}") };
    assert!(!undecodable.line.contains("secret"), "{}", undecodable.line);
    assert!(undecodable.line.contains("\"payload\":\"!"));
    assert!(!format!("{}", undecodable.reason).contains("secret"));
}

#[test]
fn headers_are_removed_from_text_that_is_no_json() {
    let check = |line: &str, expected: &str| {
        assert_eq!(lambda_otlp_wire::without_headers(line), expected);
    };
    check(r#"{"headers":{"a":"}\""},"payload":1}"#, r#"{"headers":null,"payload":1}"#);
    check(r#"{"headers" : ["x,]", {"k":"v"}] ,"b":2}"#, r#"{"headers":null ,"b":2}"#);
    check(r#"{"headers":"x","b":2}"#, r#"{"headers":null,"b":2}"#);
    check(r#"{"headers":12,"b":2}"#, r#"{"headers":null,"b":2}"#);
    check(r#"{"b":2,"headers":{"authorization":"Basic c2Vj"#, r#"{"b":2,"headers":null"#);
    check(r#"{"b":"headers"}"#, r#"{"b":"headers"}"#);
    check("no headers", "no headers");
}

#[test]
fn ordinary_lines_claim_nothing() {
    for line in [
        "",
        "text",
        "{}",
        "{\"message\":\"x\"}",
        "[1]",
        "__otel_otlp_stdout",
        "\"__otel_otlp_stdout\"",
    ] {
        assert!(read_line(line, &Limits::default()).is_none(), "{line}");
    }
    // The key inside another key's value claims nothing either.
    assert!(read_line(r#"{"a":{"b":1,"__otel_otlp_stdout":"x"}}"#, &Limits::default()).is_none());
}
