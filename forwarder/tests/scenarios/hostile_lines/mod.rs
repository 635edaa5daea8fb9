//! An attacker who controls text in a function's log cannot change the records around it, as `docs/security.md` promises.

pub(crate) mod bombs;
mod wiped;

use crate::support::{attribute, body, deliver, line_fixture, line_of, pairs};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wire::protobuf::Writer;

#[test]
fn an_otlp_line_within_text_creates_no_span() {
    let line = line_fixture("python-1");
    for (text, spans) in [
        (format!("working...{line}"), 1),
        (format!("{line} text after"), 1),
        // It may come from anybody.
        (format!("user {line} logged in"), 0),
    ] {
        let delivered = deliver(&[&text]);
        let bodies: Vec<&str> = delivered.records().map(body).collect();
        assert_eq!((bodies.len(), delivered.spans().count()), (1, spans), "{text}");
        assert_eq!(bodies[0] == text, spans == 0, "{text}");
    }
}

/// Protobuf merges a value in two pieces, and the last member of a `oneof` replaces the others.
#[test]
fn a_protobuf_value_in_two_pieces_is_checked_as_a_whole() {
    let list = |value: &mut Writer<'_>, text: &str| {
        value.message(5, |list| list.message(1, |element| element.string(1, text)));
    };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| {
            resource.message(1, |attribute| {
                attribute.string(1, "aws.log.group.names");
                attribute.message(2, |value| list(value, "/aws/lambda/payments"));
                attribute.message(2, |value| list(value, "/aws/lambda/orders"));
            });
            resource.message(1, |attribute| {
                attribute.string(1, "faas");
                attribute.message(2, |value| {
                    value.message(6, |map| map.message(1, |inner| inner.string(1, "name")));
                });
                attribute.message(2, |value| value.always_string(1, ""));
            });
        });
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[1; 8]);
            });
        });
    });
    let delivered = deliver(&[&line_of(&bytes, "traces")]);
    let [of] = delivered.traces.as_slice() else { panic!("{} resources", delivered.traces.len()) };
    let found = pairs(&of.resource.as_ref().unwrap().attributes);
    let expected = " aws.log.group.names=/aws/lambda/orders faas=";
    assert!(found.starts_with(expected), "{found}");
}

/// Crafted lines, whole or cut anywhere.
fn hostile() -> impl Strategy<Value = String> {
    let long = "A".repeat(70_000);
    let whole = prop::sample::select(vec![
        r#"{"__otel_otlp_stdout":"1","payload":{}}"#.to_owned(),
        r#"x {"__otel_otlp_stdout":"1","source":"x","z":"y"}"#.to_owned(),
        r#"{"__otel_otlp_stdout":"1","source":"x","payload":"H4sIAAAA","base64":true}"#.to_owned(),
        r#"{"message":"{\"__otel_otlp_stdout\":\"1\",\"payload\":{}}"}"#.to_owned(),
        r#"{"resourceSpans":[],"z":{"a":["b","c"]}}"#.to_owned(),
        r#"{"_otel":"1","payload":"AAAA"}"#.to_owned(),
        r#"INFO: {"resource":{},"scopeSpans":[],"z":""#.to_owned(),
        r#"{"resource":{"attributes":[]},"scopeLogs":[]}"#.to_owned(),
        format!(r#"x OtlpJsonLoggingSpanExporter - {{"resource":{{}},"scopeSpans":[],"z":"{long}"#),
        r#"{"type":"function","record":{"message":{"__otel_otlp_stdout":"1"}}}"#.to_owned(),
        format!(r#"{{"__otel_otlp_stdout":"1","payload":"{long}","base64":true}}"#),
        format!(r#"{{"resourceLogs":[],"z":"{long}"}}"#),
        line_fixture("python-1"),
        r#"{"__otel_otlp_stdout":"1","payload":{},"z":""#.to_owned(),
        format!(r#"x {{"resourceSpans":[],"z":"{long}"#),
        r#""}"#.to_owned(),
    ]);
    (whole, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8).prop_map(
        |(line, from, to, cut)| {
            let at =
                |index: prop::sample::Index| line.floor_char_boundary(index.index(line.len() + 1));
            let one = at(from);
            let other = at(to);
            let from = one.min(other);
            let to = one.max(other);
            let part = match cut {
                0 => Some(line.as_str()),
                1 => line.get(..to),
                2 => line.get(from..),
                _ => line.get(from..to),
            };
            part.unwrap_or_default().to_owned()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn every_ordinary_record_arrives_whole(
        lines in prop::collection::vec(prop_oneof![
            2 => hostile().prop_map(Err),
            3 => prop::bool::ANY.prop_map(Ok),
        ], 1..40),
    ) {
        let messages: Vec<String> = lines.iter().enumerate().map(|(n, line)| match line {
            Err(hostile) => hostile.clone(),
            Ok(false) => format!("user {n} logged in"),
            Ok(true) => format!(r#"{{"level":"WARN","message":"user {n} failed","user":"u{n}"}}"#),
        }).collect();
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let delivered = deliver(&messages);
        let records: Vec<_> = delivered.records().collect();
        let ledger = delivered.report.ledger();
        let spans = delivered.spans().count();
        prop_assert_eq!(ledger.events, messages.len());
        // Each log event that no rule consumed is a log record, or a line with a delivered span.
        let kept: BTreeSet<_> =
            records.iter().filter_map(|record| attribute(&record.attributes, "log.record.uid")).collect();
        prop_assert!(ledger.events - ledger.consumed.total() <= kept.len() + spans, "{ledger:?}");
        for (n, line) in lines.iter().enumerate() {
            let Ok(is_json) = line else { continue };
            let id = format!("{n:056}");
            let own: Vec<_> =
                records.iter().filter(|record| attribute(&record.attributes, "log.record.uid") == Some(&id)).collect();
            prop_assert_eq!(own.len(), 1, "line {}", n);
            if *is_json {
                prop_assert_eq!(body(own[0]), format!("user {n} failed"));
                let user = format!("u{n}");
                prop_assert_eq!(attribute(&own[0].attributes, "user"), Some(user.as_str()));
                prop_assert_eq!(own[0].severity_text.as_str(), "WARN");
            } else {
                prop_assert_eq!(body(own[0]), messages[n]);
            }
        }
    }
}
