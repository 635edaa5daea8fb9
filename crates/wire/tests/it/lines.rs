//! Lines of other exporters, whole and broken, and the result of reading them.

use crate::{bare, fixture, in_scope, read};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_wire::compact::{Context, Encoder};
use lambda_otlp_wire::{Limits, read_line};
use std::collections::BTreeMap;

#[test]
fn damaged_lines_have_the_documented_results() {
    let fixtures = ["corrupted.jsonl", "bombs.jsonl", "wrapped.jsonl"].map(fixture).concat();
    let cases: BTreeMap<String, String> = fixtures
        .lines()
        .map(|row| {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            ["case", "line"].map(|key| row[key].as_str().unwrap().to_owned()).into()
        })
        .collect();
    let table = expect_test::expect_file!["damaged-lines.txt"];
    crate::check_table(&table, |case| shown_line(&cases[case]));
    let missing = cases.keys().filter(|case| !table.data().lines().any(|row| row == *case));
    assert_eq!(missing.count(), 0);
}

/// Items and signals of all requests in a line, the reason of its refusal, and other text.
fn shown_line(line: &str) -> String {
    let Some(reading) = read_line(line, &Limits::default()) else { return "-".to_owned() };
    let mut found: Vec<_> = reading
        .decoded
        .iter()
        .map(|request| format!("{} {}", request.items(), request.kind()))
        .collect();
    found.extend(reading.undecodable.iter().map(|line| format!("refused: {}", line.reason)));
    found.extend(reading.text.map(|text| format!("text: {text:?}")));
    found.join(", ")
}

#[test]
fn texts_of_log_events_are_read() {
    let line = fixture("python-1.jsonl").trim_end().to_owned();
    let bare = bare("python-1.jsonl");
    let empty = r#"{"__otel_otlp_stdout":"1","payload":{}}"#;
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let base64 = |bytes: &[u8]| format!("\"{}\"", STANDARD.encode(bytes));
    let gzip = lambda_otlp_wire::gzip::compress(6, bare.as_bytes());
    let spans = read(&line).decoded;
    let compact = Encoder::default().text(&Context::default(), &[&spans[0]]);
    let parts = [
        ("{compact}", compact),
        ("{line}", line.clone()),
        ("{quoted}", text(&line)),
        ("{bare}", bare.clone()),
        ("{bare text}", text(&bare)),
        ("{bare base64}", base64(bare.as_bytes())),
        ("{gzip base64}", base64(&gzip)),
        ("{empty}", empty.to_owned()),
        ("{empty text}", text(empty)),
    ];
    crate::check_table(&expect_test::expect_file!["line-cases.txt"], |row| {
        let unescaped = row.replace(r"\t", "\t").replace(r"\n", "\n");
        let text = parts.iter().fold(unescaped, |text, (name, part)| text.replace(name, part));
        shown_line(&text)
    });
}

/// Protobuf may begin like JSON after a newline, by its field number and its length.
#[test]
fn protobuf_of_any_length_is_not_mistaken_for_json() {
    for name in 0..300 {
        let bytes = in_scope(|scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[2; 8]);
                span.string(5, &"x".repeat(name));
            });
        });
        let payload = STANDARD.encode(&bytes);
        let line = format!(
            r#"{{"__otel_otlp_stdout":"x","endpoint":"/v1/traces","payload":"{payload}","base64":true}}"#
        );
        assert_eq!(shown_line(&line), "1 traces", "{} bytes", bytes.len());
    }
    let payload = STANDARD.encode("\n{\"resourceSpans\":[]}");
    let line = format!(r#"{{"__otel_otlp_stdout":"x","payload":"{payload}","base64":true}}"#);
    assert_eq!(shown_line(&line), "0 traces");
}

#[test]
fn a_broken_line_is_rejected_in_every_wrapping() {
    let line = r#"{"__otel_otlp_stdout":"1","payload":"!","headers":{"k":"s3cret"}}"#;
    let quoted = serde_json::to_string(line).unwrap();
    let refused = "refused: payload is not base64";
    for text in [
        line.to_owned(),
        format!(r#"{{"message":{line}}}"#),
        format!(r#"{{"message":{quoted}}}"#),
        format!(r#"{{"type":"function","record":{{"message":{quoted}}}}}"#),
    ] {
        let reading = read(&text);
        assert_eq!(shown_line(&text), refused);
        assert_eq!(reading.undecodable[0].bytes, line.len());
        assert!(!reading.undecodable[0].line.contains("s3cret"));
    }
    // A truncated record claims its content; its headers have more quoting.
    let record = format!(r#"{{"level":"INFO","message":{quoted}"#);
    let reading = read(&record);
    assert_eq!(reading.undecodable[0].bytes, record.len());
    assert!(!reading.undecodable[0].line.contains("s3cret"), "{:?}", reading.undecodable[0].line);
    assert_eq!(reading.unfinished_at, Some(0));
}

#[test]
fn more_than_100_items_need_12_bytes_each() {
    let read_all = |bodies: &[&str]| {
        let record = |body: &&str| format!(r#"{{"body":{{"stringValue":"{body}"}}}}"#);
        let records = bodies.iter().map(record).collect::<Vec<_>>().join(",");
        let reading = read_line(
            &format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}],"x":1}}"#
            ),
            &Limits::default(),
        );
        let reading = reading.unwrap();
        (reading.decoded.len(), reading.undecodable.len())
    };
    let read = |items: usize, body: &str| read_all(&vec![body; items]);
    assert_eq!(read(100, ""), (1, 0));
    assert_eq!(read(101, ""), (0, 1));
    assert_eq!(read(101, "a body"), (1, 0));
    // A record has 6 bytes in addition to its body, and the request 6 in addition to its records.
    let with_short =
        |short: usize| read_all(&[vec!["a body"; 101 - short], vec!["short"; short]].concat());
    assert_eq!(with_short(6), (1, 0));
    assert_eq!(with_short(7), (0, 1));
}

#[test]
fn the_lines_of_one_log_event_share_one_inflation_limit() {
    let bombs = fixture("bombs.jsonl");
    let row: serde_json::Value = serde_json::from_str(bombs.lines().nth(1).unwrap()).unwrap();
    let bomb = row["line"].as_str().unwrap();
    let limits = Limits { inflated_bytes: 100_000_000, ..Limits::default() };
    let reading = read_line(&bomb.repeat(3), &limits).unwrap();
    assert_eq!((reading.decoded.len(), reading.undecodable.len()), (1, 2));
}
