//! Two forwarders in a chain, and queued telemetry: our own values stay, and those of content do not pass for them.

use super::support::*;
use crate::not_taken::parked;
use lambda_otlp_forwarder::{Content, MAX_MESSAGE_BYTES, QueuedTelemetry, RuleSet};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use wire::stored_key;
use wire::{Limits, Request};

fn rules(share: f64) -> RuleSet {
    let text = format!("[[rule]]\nname = \"s\"\nsample = {share}\n");
    RuleSet::parse(&text).unwrap()
}

/// Reads a request as content, as the next forwarder does.
fn read_as_content(request: &Request) -> Request {
    let bytes = request.bytes().to_vec();
    Request::check(request.kind(), bytes, &Limits::default()).unwrap().without_foreign_names()
}

/// Samples of spans and records with random ids. `trace_state` is that of every second span.
fn sampled(share: f64, trace_state: &str) -> Vec<Request> {
    let id = |n: u32| {
        let mut id = [n.to_be_bytes(); 4].concat();
        id[8..].fill(0xff);
        id
    };
    let spans = (0..2000).map(|n| Span {
        trace_id: id(n),
        trace_state: if n % 2 == 0 { trace_state.to_owned() } else { String::new() },
        ..span(1, "s", 1, 0, "")
    });
    let records = (0..2000).map(|n| match n % 3 {
        0 => LogRecord { trace_id: id(n), ..log(9, "r", "") },
        1 => log(9, "r", &format!("faas.invocation_id=id-{n} log.record.uid=u{n}")),
        _ => log(9, "r", &format!("log.record.uid=u{n}")),
    });
    let requests = vec![traces("", "", spans.collect()), logs("", "", records.collect())];
    apply(&rules(share), &place(), requests).0
}

#[test]
fn the_counts_of_an_earlier_forwarder_stay_and_are_not_counted_twice() {
    for share in [0.5, 0.05, 0.004] {
        for request in sampled(share, "") {
            assert!(request.items() > 0);
            assert!(read_as_content(&request) == request, "{share} {:?}", request.kind());
            let (again, _) = apply(&rules(share), &place(), vec![read_as_content(&request)]);
            assert!(again == [request], "{share}");
        }
        // An SDK kept a quarter before.
        for request in sampled(share, "ot=th:c") {
            assert!(read_as_content(&request) == request, "{share} {:?}", request.kind());
        }
    }
}

#[test]
fn queued_telemetry_keeps_our_values_when_it_is_read_again() {
    let request = traces("lambda_otlp.x=1", "", vec![span(1, "s", 1, 0, "lambda_otlp.new=1")]);
    assert_ne!(read_as_content(&request), request);
    let queued = parked("default", Content::Request(request.clone()), 1);
    for message in queued.into_messages(MAX_MESSAGE_BYTES) {
        let read = QueuedTelemetry::from_body(&message.body).unwrap();
        let Content::Request(read) = read.content else { panic!("{read:?}") };
        assert_eq!(read, request);
    }
}

/// Names in many spellings with values of many types, in each place.
#[test]
fn no_generated_name_of_content_passes_for_ours() {
    let names = [
        "lambda_otlp.adjusted_count",
        "lambda_otlp.exception.fingerprint",
        "lambda_otlp.fate",
        "lambda_otlp.undecodable.reason",
        "lambda_otlp.destination",
        "lambda_otlp.new",
        "lambda_otlp.original_time",
        "lambda_otlp.prefix",
        "lambda_otlp",
        "lambda_otlp.rule",
    ];
    let spelled = |name: &str, n: usize| match n % 5 {
        0 => name.to_owned(),
        1 => name.to_uppercase(),
        2 => name.replace(['_', '.'], "-"),
        3 => name.replace('_', "."),
        _ => name.replace('.', "名"),
    };
    let values = ["1e15", "true", "dead", "17"];
    let mut tried = 0;
    for name in names {
        for n in 0..20 {
            let pair = format!("{}={}", spelled(name, n), values[n % 4]);
            let requests = [
                traces(&pair, "shop", vec![span(1, "s", 1, 0, &pair)]),
                logs(&pair, "shop", vec![in_trace(log(9, "r", &pair), 1)]),
                metrics(&pair, vec![point("m", &pair)]),
            ];
            for request in requests {
                let kind = request.kind();
                let json = read_as_content(&request).to_json();
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                let mut keys = Vec::new();
                collect_keys(&json, &mut keys);
                assert!(!keys.is_empty());
                for key in keys {
                    let stored: Vec<u8> = stored_key(key.as_bytes()).collect();
                    assert!(!stored.starts_with(b"lambda_otlp"), "{kind} {pair}: {key}");
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 600);
}

fn collect_keys(json: &serde_json::Value, keys: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(object) => {
            keys.extend(object.get("key").and_then(|key| key.as_str()).map(str::to_owned));
            object.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(values) => {
            for value in values {
                collect_keys(value, keys);
            }
        }
        _ => {}
    }
}
