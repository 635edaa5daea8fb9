//! Files and names of version 0.1, which every later version must read.
//!
//! The fixtures are what the programs of 0.1 wrote, and change only before its release. `cargo xtask stack` updates a stack of
//! the frozen template.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use forwarder::{Content, LogBatch, LogEvent, LogEventRange, MessageType, Origin, Parked};
use lambda_otlp_tests::{fixture, workspace};
use settings::Table;
use wire::invocation_record::{self, RootSpan};
use wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces, read_line};

fn text(name: &str) -> String {
    String::from_utf8(fixture(&format!("0.1/{name}"))).unwrap()
}

/// The request that the lines and messages hold.
fn sample(kind: SignalKind) -> Request {
    let json = text(&format!("{kind}.json"));
    Request::from_json(kind, json.as_bytes(), &Limits::default()).unwrap()
}

#[track_caller]
fn assert_same(read: &Request, expected: &Request) {
    fn decoded<S: Signal>(request: &Request) -> S::Request {
        request.decode::<S>().unwrap().unwrap()
    }
    assert_eq!(read.kind(), expected.kind());
    match read.kind() {
        SignalKind::Traces => assert_eq!(decoded::<Traces>(read), decoded::<Traces>(expected)),
        SignalKind::Metrics => assert_eq!(decoded::<Metrics>(read), decoded::<Metrics>(expected)),
        SignalKind::Logs => assert_eq!(decoded::<Logs>(read), decoded::<Logs>(expected)),
    }
}

#[test]
fn otlp_lines_of_older_versions_are_read() {
    use SignalKind::{Logs, Metrics, Traces};
    // The last two are partial spans, and spilled logs in Lambda's JSON log format.
    let expected =
        [(Traces, false), (Metrics, false), (Logs, false), (Traces, true), (Logs, false)];
    let lines = text("lines.jsonl");
    assert_eq!(lines.lines().count(), expected.len());
    for (line, (kind, is_partial)) in lines.lines().zip(expected) {
        let reading = read_line(line, &Limits::default()).unwrap();
        assert_eq!((reading.text, reading.undecodable.len()), (None, 0), "{line}");
        let [decoded] = reading.decoded.as_slice() else { panic!("{line}") };
        assert_eq!(decoded.is_partial, is_partial, "{line}");
        assert_same(&decoded.request, &sample(kind));
    }
}

/// The messages of the retry queue and the dead-letter queue, in the order of the fixture.
fn messages() -> Vec<Parked> {
    let origin =
        Origin::new("123456789012", "eu-west-1", "/aws/lambda/orders", "2026/09/21/[$LATEST]abc");
    let of = |content, items| Parked {
        destination: "default".to_owned(),
        stream: None,
        content,
        items,
        oldest_unix_nano: 1_790_000_000_000_000_000,
        newest_unix_nano: 1_790_000_000_000_000_001,
        first_seen_unix_nano: 1_790_000_100_000_000_000,
        reason: "answered 503 Service Unavailable".to_owned(),
        partial: false,
        log_events: LogEventRange {
            origin: origin.clone(),
            first_event_id: "1".to_owned(),
            last_event_id: "2".to_owned(),
        },
    };
    let requests = SignalKind::ALL.map(sample).map(|request| {
        let items = request.items();
        of(Content::Request(request), items)
    });
    let mut messages = requests.to_vec();
    let logs = sample(SignalKind::Logs);
    let stream = Some("lambda".to_owned());
    messages.push(Parked { partial: true, stream, ..of(Content::Request(logs), 1) });
    messages.push(of(
        Content::Line {
            event_id: "1".to_owned(),
            timestamp_ms: 1_790_000_000_000,
            line: r#"{"__otel_otlp_stdout":"0.1.0","payload":"!"}"#.to_owned(),
        },
        1,
    ));
    let events = vec![LogEvent {
        id: "1".to_owned(),
        timestamp_ms: 1_790_000_000_000,
        message: "a line\n".to_owned(),
    }];
    let batch = LogBatch { message_type: MessageType::Data, origin: origin.clone(), events };
    messages.push(of(Content::Events(batch), 1));
    let unknown_time =
        Parked { oldest_unix_nano: 0, newest_unix_nano: 0, ..of(Content::Raw(vec![0xff, 0]), 1) };
    messages.push(unknown_time);
    messages
}

#[test]
fn queued_messages_of_older_versions_are_read() {
    let frozen = text("messages.jsonl");
    let read: Vec<Parked> = frozen.lines().map(|body| Parked::from_body(body).unwrap()).collect();
    assert_eq!(read, messages());
}

#[test]
fn root_spans_recorded_by_older_versions_are_found() {
    assert_eq!(
        invocation_record::path("127.0.0.1:9001"),
        "/tmp/.lambda-otlp-invocations-127.0.0.1-9001"
    );
    let file = fixture("0.1/invocations");
    let found = |request_id| invocation_record::find(&file, request_id).collect::<Vec<_>>();
    let root =
        |number: u8, is_open| RootSpan { trace_id: [number; 16], span_id: [number; 8], is_open };
    assert_eq!(found("3da1f2dc-3222-475e-9205-e2e6c6318895"), [root(1, true)]);
    assert_eq!(found("3da1f2dc-3222-475e-9205-e2e6c6318896"), [root(2, false), root(3, true)]);
}

#[test]
fn names_of_released_settings_and_parameters_are_kept() {
    let tables: [(&str, Table); 5] = [
        ("exporter", exporter::TABLE),
        ("extension", extension::TABLE),
        ("wrapper", extension::WRAPPER),
        ("forwarder", forwarder::TABLE),
        ("subscriber", subscriber::TABLE),
    ];
    let mut names: Vec<String> = tables
        .iter()
        .flat_map(|(program, table)| {
            table.variables().map(move |row| format!("{program} {}", row.name))
        })
        .collect();
    let template = std::fs::read_to_string(workspace().join("deploy/stack/template.yaml")).unwrap();
    names.extend(parameters(&template).map(|parameter| format!("template {parameter}")));
    let frozen = text("names.txt");
    let missing: Vec<&str> =
        frozen.lines().filter(|name| !names.iter().any(|it| it == name)).collect();
    assert!(missing.is_empty(), "users set {missing:?}: keep them, as aliases of the new names");
}

/// The names in a template's section `Parameters`.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    let lines = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let section = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    section.filter_map(|line| {
        line.strip_prefix("  ")?.strip_suffix(':').filter(|name| !name.starts_with(' '))
    })
}
