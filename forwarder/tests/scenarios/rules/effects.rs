//! The effects of rules on items, among them the examples of docs/rules.md. `UPDATE_EXPECT=1` writes them after `=>`.
//!
//! A case is a name, rules (or `docs` and a text of an example), an optional `origin`, and requests: `logs`, `traces` or `metrics`
//! with the attributes of their resource, then items. `span@2:1500` is a span of trace 2 that takes 1,500 ms, `span@2:-1500` one
//! that began 1,500 ms before the others and has no end, `log@2` a record of trace 2, and `log@0` one without a trace; the others are of
//! trace 1.

use super::docs::example;
use super::support::*;
use expect_test::expect_file;
use lambda_otlp_forwarder::{Origin, RuleSet};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::fmt::Write as _;
use wire::Request;

/// Reads `KIND TEXT | ATTRIBUTES`.
fn parts(line: &str) -> (&str, &str, &str) {
    let (head, attributes) = line.split_once(" |").unwrap_or((line, ""));
    let (kind, text) = head.split_once(' ').unwrap();
    (kind, text, attributes)
}

/// The kind of an item, its trace, and its duration in milliseconds: negative for a span without an end.
struct Place<'a> {
    kind: &'a str,
    trace: u8,
    millis: i64,
}

impl<'a> Place<'a> {
    /// Reads `KIND`, `KIND@TRACE` or `KIND@TRACE:MILLISECONDS`.
    fn read(word: &'a str) -> Self {
        let (kind, place) = word.split_once('@').unwrap_or((word, "1"));
        let (trace, millis) = place.split_once(':').unwrap_or((place, "0"));
        Self { kind, trace: trace.parse().unwrap(), millis: millis.parse().unwrap() }
    }
}

/// Reads spans, each followed by its events and the message of its status.
fn spans(lines: &[&str]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for line in lines {
        let (kind, text, attributes) = parts(line);
        let Place { kind, trace, millis } = Place::read(kind);
        if kind == "span" {
            let words: Vec<&str> = text.splitn(3, ' ').collect();
            let [kind, status] = [words[0], words[1]].map(|number| number.parse().unwrap());
            let mut span = span(trace, words[2], kind, status, attributes);
            let nanos = millis.unsigned_abs() * 1_000_000;
            span.start_time_unix_nano = 1_790_000_000_000_000_000;
            if millis < 0 {
                span.start_time_unix_nano -= nanos;
            } else {
                span.end_time_unix_nano = span.start_time_unix_nano + nanos;
            }
            spans.push(span);
            continue;
        }
        let span = spans.last_mut().unwrap();
        match kind {
            "event" => span.events.push(event(text, attributes)),
            "status" => text.clone_into(&mut span.status.as_mut().unwrap().message),
            _ => panic!("{line}"),
        }
    }
    spans
}

/// The signal, if this is the first line of a request.
fn signal(line: &str) -> Option<&str> {
    let word = line.split([' ', '@']).next().unwrap();
    ["logs", "traces", "metrics"].contains(&word).then_some(word)
}

/// Reads `SIGNAL@SCOPE RESOURCE`, followed by items.
fn request(lines: &[&str]) -> Request {
    let (head, resource) = lines[0].split_once(' ').unwrap_or((lines[0], ""));
    let (_, scope) = head.split_once('@').unwrap_or_default();
    let record = |line: &&str| {
        let (kind, text, attributes) = parts(line);
        let (severity, body) = text.split_once(' ').unwrap();
        let record = log(severity.parse().unwrap(), body, attributes);
        in_trace(record, Place::read(kind).trace)
    };
    let point = |line: &&str| {
        let (_, name, attributes) = parts(line);
        point(name, attributes)
    };
    let items = &lines[1..];
    match signal(lines[0]) {
        Some("logs") => logs(resource, scope, items.iter().map(record).collect()),
        Some("metrics") => metrics(resource, items.iter().map(point).collect()),
        _ => traces(resource, scope, spans(items)),
    }
}

/// Applies the rules of a case.
fn effect(case: &str) -> String {
    let lines: Vec<&str> = case.lines().collect();
    let first_request = lines.iter().position(|line| signal(line).is_some()).unwrap();
    let mut head = lines[..first_request].to_vec();
    let requests = &lines[first_request..];
    let mut place = place();
    if let Some(at) = head.iter().position(|line| line.starts_with("origin ")) {
        let words: Vec<&str> = head.remove(at).split(' ').collect();
        place = Origin::new(words[1], words[2], words[3], "stream");
    }
    let rules = match head.first().and_then(|line| line.strip_prefix("docs ")) {
        Some(text) => example(text),
        None => RuleSet::parse(&head.join("\n")).unwrap_or_else(|mistakes| panic!("{mistakes}")),
    };
    let requests = requests.chunk_by(|_, next| signal(next).is_none());
    applied(&rules, &place, requests.map(request).collect())
}

#[test]
fn rules_change_items_as_described() {
    let cases = expect_file!["../../fixtures/rules-effects.txt"];
    let mut out = String::new();
    for case in cases.data().trim().split("\n\n") {
        let (name, case) = case.split_once('\n').unwrap();
        let is_input = |line: &&str| !line.starts_with("=>");
        let case: String = case.lines().filter(is_input).map(|line| format!("{line}\n")).collect();
        writeln!(out, "{name}\n{case}=> {}\n", effect(&case).trim_end().replace('\n', "\n=> "))
            .unwrap();
    }
    cases.assert_eq(&format!("{}\n", out.trim_end()));
}
