//! Whole deliveries: an event in, and everything that arrives at the backend, the report, and the response out.
//!
//! `tests/fixtures/deliveries` has a table of cases for each topic, and their outcome in a text file beside it, which
//! `UPDATE_EXPECT=1` writes. A case has the `messages` of a log stream (optionally with their times), the text of a
//! `delivery`, the `data` of Kinesis records (text, `gzip:` and text, or `base64:`), or a whole `event`. `@name` stands for the OTLP
//! line of a fixture, `@file#number` for a line of a file, and `<NAME>` for a word of the table.

use crate::support::{
    body, default_options, deliver_within, event_of, gzip_base64, kinesis_event, line_fixture,
    pairs, payload, repository, sum,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect_file;
use lambda_otlp_forwarder::{
    Event, IngestPolicy, IngestWindow, OldRecords, PlatformSpans, ReportedLine, answer,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{read_dir, read_to_string};
use std::time::Duration;
use wire::ids::to_hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    /// Parts of the keys of attributes that are shown.
    #[serde(default)]
    show: Vec<String>,
    /// Resources and times are shown.
    #[serde(default)]
    resource: bool,
    /// Ids and parents of spans are shown.
    #[serde(default)]
    links: bool,
    #[serde(default)]
    words: BTreeMap<String, String>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    messages: Vec<Message>,
    group: Option<String>,
    stream: Option<String>,
    delivery: Option<String>,
    data: Option<Vec<String>>,
    event: Option<String>,
    /// Spans are made from Lambda's lines.
    #[serde(default)]
    spans: bool,
    /// The backend accepts records of five hours: `keep`, `drop` or `restamp`.
    old_records: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    At(u64, String),
}

impl Topic {
    fn event(&self, case: &Case) -> Event {
        let named = |text: &str| {
            let replace = |text: String, (name, word): (&String, &String)| {
                text.replace(&format!("<{name}>"), word)
            };
            self.words.iter().fold(text.to_owned(), replace)
        };
        let named = |text: &str| match text.strip_prefix('@') {
            Some(fixture) => match fixture.split_once('#') {
                Some((file, line)) => {
                    let text = read_to_string(repository(file)).unwrap();
                    text.lines().nth(line.parse().unwrap()).unwrap().to_owned()
                }
                None => line_fixture(fixture),
            },
            None => named(text),
        };
        if let Some(event) = &case.event {
            return serde_json::from_str(&named(event)).unwrap();
        }
        if let Some(delivery) = &case.delivery {
            return event_of(&named(delivery));
        }
        if let Some(data) = &case.data {
            let encoded = data.iter().map(|data| match data.split_once(':') {
                Some(("gzip", text)) => gzip_base64(text),
                Some(("base64", data)) => data.to_owned(),
                _ => STANDARD.encode(data),
            });
            return kinesis_event(encoded);
        }
        let own_text = |message: &Message| match message {
            Message::Text(text) | Message::At(_, text) => named(text),
        };
        let messages: Vec<String> = case.messages.iter().map(own_text).collect();
        let texts: Vec<&str> = messages.iter().map(String::as_str).collect();
        let mut delivery = payload(case.group.as_deref().unwrap_or("/aws/lambda/orders"), &texts);
        if let Some(stream) = &case.stream {
            delivery["logStream"] = stream.as_str().into();
        }
        for (event, message) in
            delivery["logEvents"].as_array_mut().unwrap().iter_mut().zip(&case.messages)
        {
            if let Message::At(time, _) = message {
                event["timestamp"] = (*time).into();
            }
        }
        event_of(&delivery.to_string())
    }

    fn shown(&self, attributes: &[KeyValue]) -> String {
        let is_shown = |it: &&KeyValue| {
            let key = it.key.to_lowercase();
            self.show.iter().any(|part| key.contains(part.as_str()))
        };
        pairs(attributes.iter().filter(is_shown))
    }

    fn begin(&self, resource: Option<&Resource>, out: &mut String) {
        if let Some(resource) = resource.filter(|_| self.resource) {
            writeln!(out, "resource{}", pairs(&resource.attributes)).unwrap();
        }
    }

    fn outcome(&self, case: &Case) -> String {
        let mut options = default_options();
        options.convert.platform_spans = case.spans.then(PlatformSpans::default);
        let old_records = case.old_records.as_ref().map(|name| match name.as_str() {
            "restamp" => OldRecords::Restamp,
            "drop" => OldRecords::Drop,
            _ => OldRecords::DeadLetter,
        });
        let policy = old_records.map_or(IngestPolicy::any_time(), |old_records| IngestPolicy {
            window: Some(IngestWindow { past: Duration::from_hours(5) }),
            old_records,
        });
        let delivered = deliver_within(self.event(case), options, policy);
        let mut out = String::new();
        for of in &delivered.traces {
            self.begin(of.resource.as_ref(), &mut out);
            for span in of.scope_spans.iter().flat_map(|scope| &scope.spans) {
                write!(out, "span {}{}", span.name, self.shown(&span.attributes)).unwrap();
                if self.links {
                    let [id, parent] = [&span.span_id, &span.parent_span_id].map(|id| to_hex(id));
                    write!(out, " {id} below {parent:?}").unwrap();
                }
                if self.resource {
                    let events = span.events.iter().map(|event| event.time_unix_nano);
                    let start = span.start_time_unix_nano;
                    let end = span.end_time_unix_nano;
                    write!(out, " @{start} to {end}, {:?}", events.collect::<Vec<_>>()).unwrap();
                }
                out.push('\n');
            }
        }
        for metric in delivered.metrics() {
            let data = format!("{:?}", metric.data);
            let parts = self.show.iter().filter(|part| data.contains(part.as_str()));
            let shown: String = parts.map(|part| format!(" {part}")).collect();
            writeln!(out, "metric {} {}{shown}", metric.name, sum(metric)).unwrap();
        }
        for of in &delivered.logs {
            self.begin(of.resource.as_ref(), &mut out);
            for record in of.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                let ids: String = [&record.trace_id, &record.span_id]
                    .iter()
                    .filter(|id| !id.is_empty())
                    .map(|id| format!("[{}] ", to_hex(id)))
                    .collect();
                let millis = record.time_unix_nano / 1_000_000;
                let time = if self.resource { format!("@{millis} ") } else { String::new() };
                let attributes = self.shown(&record.attributes);
                let beginning: String = body(record).chars().take(200).collect();
                let escaped = beginning.escape_debug().to_string();
                let body = escaped.replace("\\\"", "\"").replace("\\'", "'");
                writeln!(out, "{} {time}{ids}{body} |{attributes}", record.severity_text).unwrap();
            }
        }
        let report = delivered.report;
        let ledger = *report.ledger();
        let by_rule = ledger.consumed.by_cause().into_iter().filter(|(_, count)| *count > 0);
        let consumed: String = by_rule.map(|(rule, count)| format!(", {count} {rule}")).collect();
        write!(out, "{} events{consumed}, {} items", ledger.events, ledger.items.total()).unwrap();
        for (count, what) in [
            (report.dropped_figures, "invalid figures"),
            (report.dropped_for_time, "dropped for their time"),
            (report.restamped, "restamped"),
        ] {
            if count > 0 {
                write!(out, ", {count} {what}").unwrap();
            }
        }
        for part in &report.undelivered {
            write!(out, "\n{} items, {:?}: {}", part.items, part.kept_in, part.reason).unwrap();
        }
        for ReportedLine { event_id, line } in &report.undecodable {
            write!(out, "\nline {} {}", event_id.trim_start_matches('0'), line.reason).unwrap();
        }
        match answer(&report) {
            Ok(response) => {
                let response = serde_json::to_string(&response).unwrap();
                if response != "null" {
                    write!(out, "\n{response}").unwrap();
                }
            }
            Err(error) => write!(out, "\n{error}").unwrap(),
        }
        let back =
            |text: String, (name, word): (&String, &String)| text.replace(word.as_str(), name);
        self.words.iter().rev().fold(out, back)
    }
}

#[test]
fn every_delivery_has_the_shown_outcome() {
    let folder = repository("forwarder/tests/fixtures/deliveries");
    let files = read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let topics: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    assert!(topics.len() >= 8, "{topics:?}");
    for path in topics {
        let topic: Topic = toml::from_str(&read_to_string(&path).unwrap()).unwrap();
        let mut out = String::new();
        for case in &topic.case {
            writeln!(out, "== {}\n{}\n", case.name, topic.outcome(case)).unwrap();
        }
        expect_file![path.with_extension("txt")].assert_eq(&out);
    }
}
