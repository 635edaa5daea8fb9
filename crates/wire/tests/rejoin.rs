//! Lines that were cut into several log events.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use lambda_otlp_wire::{Joined, Limits, LineReading, Rejoin, SignalKind, Traces, read_line};
use std::path::PathBuf;

fn fixture(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lines").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Feeds events as the forwarder does; what became of each, `+` for a piece, and all items.
fn events(texts: &[&str]) -> (String, usize) {
    let limits = Limits::default();
    let mut rejoin = Rejoin::default();
    let mut story = String::new();
    let mut items = 0;
    let mut count = |reading: &LineReading| {
        items += reading.decoded.iter().map(|line| line.request.items()).sum::<usize>();
    };
    for text in texts {
        if rejoin.is_waiting() {
            match rejoin.go_on(text, &limits) {
                Joined::More => {
                    story.push('+');
                    continue;
                }
                Joined::Whole(reading) => {
                    count(&reading);
                    story.push('!');
                    continue;
                }
                Joined::Broken => story.push('x'),
            }
        }
        match read_line(text, &limits) {
            Some(reading) if rejoin.begin(text, &reading) => story.push('('),
            Some(reading) => {
                count(&reading);
                story.push(if reading.undecodable.is_empty() { 'l' } else { 'u' });
            }
            None => story.push('t'),
        }
    }
    (story, items)
}

fn pieces(line: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > size {
        let end = (1..=size).rev().find(|end| rest.is_char_boundary(*end)).unwrap();
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

#[test]
fn a_cut_line_is_joined_at_every_size_of_pieces() {
    let big = fixture("big-line.jsonl");
    for (size, story) in
        [(262_144, "(!"), (65_536, "(++++++!"), (16_384, "(++++++++++++++++++++++++++++!")]
    {
        assert_eq!(events(&pieces(big.trim_end(), size)), (story.to_owned(), 10), "{size}");
    }
    // Each event ends with a newline, also where the line was cut.
    let ended: Vec<_> =
        pieces(big.trim_end(), 100_000).iter().map(|piece| format!("{piece}\n")).collect();
    let ended: Vec<_> = ended.iter().map(String::as_str).collect();
    assert_eq!(events(&ended), ("(+++!".to_owned(), 10));
}

#[test]
fn every_kind_of_line_is_joined() {
    let line = fixture("python-10.jsonl").trim_end().to_owned();
    let spans = read_line(&line, &Limits::default()).unwrap().decoded.remove(0).request;
    assert_eq!(spans.kind(), SignalKind::Traces);
    let bare = serde_json::to_string(&spans.decode::<Traces>().unwrap().unwrap()).unwrap();
    let record = |text: &str| serde_json::json!({"level": "INFO", "message": text}).to_string();
    for line in [
        line.clone(),
        bare.clone(),
        record(&line),
        record(&bare),
        format!(r#"{{"type":"function","record":{}}}"#, record(&line)),
        format!("[INFO]\t2026-09-21T14:13:20.123Z\tid\t{bare}\n"),
        format!("text before {line} and behind"),
    ] {
        // The first piece has to show what it is.
        for size in 150..400 {
            let (story, items) = events(&pieces(&line, size));
            assert!(
                story.starts_with('(') && story.trim_end_matches('t').ends_with('!'),
                "{size}: {story} {line:.80}"
            );
            assert_eq!(items, 10, "{size}: {line:.80}");
        }
    }
}

#[test]
fn what_is_no_piece_ends_the_waiting() {
    let line = fixture("python-10.jsonl").trim_end().to_owned();
    let (first, second) = line.split_at(700);
    let check = |texts: &[&str], story: &str, items: usize| {
        assert_eq!(events(texts), (story.to_owned(), items), "{texts:.80?}");
    };
    check(&[first, second], "(!", 10);
    check(&[first, &line], "(xl", 10);
    check(&[first, first, second], "(x(!", 10);
    check(&[first, &format!("2026-09-21T14:13:20.123Z\tid\tINFO\t{line}")], "(xl", 10);
    check(&[first, "REPORT RequestId: 1\tDuration: 1 ms\t\n", second], "(xtt", 0);
    check(&[first, r#"{"time":"2026","type":"platform.report"}"#, second], "(xtt", 0);
    // What could be a piece is one until the line decodes, or does not.
    check(&[first, "END RequestId: 1", second], "(+xt", 0);
    check(&[first, "END RequestId: 1", "a\tb", &line], "(+xtl", 10);
    check(&[first], "(", 0);
    // Cut where JSON goes on with any object, so that only its key tells the next line.
    let bare = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"flags":1},{"flags":2}]}]}]}"#;
    let (bare_first, bare_second) = bare.split_at(bare.find(r#"{"flags":2"#).unwrap());
    check(&[bare_first, bare_second], "(!", 2);
    check(&[bare_first, bare_first, bare_second], "(x(!", 2);
    // Complete, and undecodable: that is no matter of pieces.
    check(&[&line.replace("H4sI", "****")], "u", 0);
    check(&[r#"{"__otel_otlp_stdout":"1" nonsense"#, second], "ut", 0);
}

#[test]
fn waiting_is_bounded() {
    let first = r#"{"__otel_otlp_stdout":"1","payload":""#;
    let mut texts = vec![first];
    texts.resize(600, "AAAA");
    let (story, _) = events(&texts);
    assert_eq!(story.find('x'), Some(512), "pieces");
    let large = "A".repeat(1_000_000);
    let texts = [first, &large, &large, &large, &large, &large];
    assert_eq!(events(&texts).0, "(++++xt", "bytes");
    // Too large from the beginning.
    assert_eq!(events(&[&format!("{first}{}", large.repeat(5)), "x"]).0, "ut");
}
