//! The effects of rules on items, among them the examples of docs/rules.md. `UPDATE_EXPECT=1` writes them behind `=>`.
//!
//! A case is a name, rules (or `docs` and a text of an example), an optional `origin`, and requests: `logs`, `traces` or `metrics`
//! with the attributes of their resource, then items.

use super::docs::example;
use super::support::*;
use expect_test::expect_file;
use lambda_otlp_forwarder::{Origin, RuleSet};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::fmt::Write as _;
use wire::Request;

enum Items {
    Logs(Vec<LogRecord>),
    Traces(Vec<Span>),
    Metrics(Vec<Metric>),
}

/// A request that is read line by line.
struct Reading {
    scope: String,
    resource: String,
    items: Items,
}

impl Reading {
    fn request(self) -> Request {
        let Self { scope, resource, items } = self;
        match items {
            Items::Logs(records) => logs(&resource, &scope, records),
            Items::Traces(spans) => traces(&resource, &scope, spans),
            Items::Metrics(points) => metrics(&resource, points),
        }
    }

    /// Reads `KIND TEXT | ATTRIBUTES`.
    fn item(&mut self, line: &str) {
        let (head, attributes) = line.split_once(" |").unwrap_or((line, ""));
        let (kind, text) = head.split_once(' ').unwrap();
        let number = |text: &str| text.parse().unwrap();
        match (kind, &mut self.items) {
            ("log", Items::Logs(records)) => {
                let (severity, body) = text.split_once(' ').unwrap();
                let record = log(number(severity), body, attributes);
                records.push(in_trace(record, 1));
            }
            ("span", Items::Traces(spans)) => {
                let mut words = text.splitn(3, ' ');
                let (kind, status) = (words.next().unwrap(), words.next().unwrap());
                let name = words.next().unwrap();
                spans.push(span(1, name, number(kind), number(status), attributes));
            }
            ("event", Items::Traces(spans)) => {
                spans.last_mut().unwrap().events.push(event(text, attributes));
            }
            ("status", Items::Traces(spans)) => {
                text.clone_into(&mut spans.last_mut().unwrap().status.as_mut().unwrap().message);
            }
            ("point", Items::Metrics(points)) => points.push(point(text, attributes)),
            _ => panic!("{line}"),
        }
    }
}

/// Applies the rules of a case.
fn effect(case: &str) -> String {
    let (mut rules, mut place) = (String::new(), place());
    let mut docs = None;
    let mut requests: Vec<Reading> = Vec::new();
    for line in case.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (word, scope) = word.split_once('@').unwrap_or((word, ""));
        let items = match word {
            "logs" => Items::Logs(Vec::new()),
            "traces" => Items::Traces(Vec::new()),
            "metrics" => Items::Metrics(Vec::new()),
            "docs" => {
                docs = Some(example(rest));
                continue;
            }
            "origin" => {
                let parts: Vec<&str> = rest.split(' ').collect();
                place = Origin::new(parts[0], parts[1], parts[2], "stream");
                continue;
            }
            _ => {
                match requests.last_mut() {
                    Some(request) => request.item(line),
                    None => writeln!(rules, "{line}").unwrap(),
                }
                continue;
            }
        };
        requests.push(Reading { scope: scope.to_owned(), resource: rest.to_owned(), items });
    }
    let rules = docs.unwrap_or_else(|| {
        RuleSet::parse(&rules).unwrap_or_else(|mistakes| panic!("{mistakes} in\n{rules}"))
    });
    applied(&rules, &place, requests.into_iter().map(Reading::request).collect())
}

#[test]
fn rules_change_items_as_described() {
    let cases = expect_file!["../../fixtures/rules-effects.txt"];
    let mut out = String::new();
    for case in cases.data().trim().split("\n\n") {
        let (name, case) = case.split_once('\n').unwrap();
        let is_input = |line: &&str| !line.starts_with("=>");
        let case: String = case.lines().filter(is_input).map(|line| format!("{line}\n")).collect();
        writeln!(
            out,
            "{name}\n{case}{}",
            effect(&case).lines().map(|line| format!("=> {line}\n")).collect::<String>()
        )
        .unwrap();
    }
    cases.assert_eq(&format!("{}\n", out.trim_end()));
}
