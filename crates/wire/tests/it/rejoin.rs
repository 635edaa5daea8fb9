//! Lines that were cut into several log events.

use crate::{bare, fixture};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_wire::compact::Context;
use lambda_otlp_wire::protobuf::Writer;
use lambda_otlp_wire::{Joined, Limits, LineReading, Rejoin, read_line};

/// Passes events as the forwarder does; returns the result of each, `+` for a piece, and all items.
fn events(texts: &[&str]) -> (String, usize) {
    let limits = Limits::default();
    let mut rejoin = Rejoin::default();
    let mut log = String::new();
    let mut items = 0;
    let mut count = |reading: &LineReading| {
        items += reading.decoded.iter().map(lambda_otlp_wire::Request::items).sum::<usize>();
    };
    for text in texts {
        if rejoin.is_waiting() {
            match rejoin.go_on(text, &Context::default(), &limits) {
                Joined::More => {
                    log.push('+');
                    continue;
                }
                Joined::Whole(reading) => {
                    count(&reading);
                    log.push('!');
                    continue;
                }
                Joined::Broken { .. } => log.push('x'),
            }
        }
        match read_line(text, &limits) {
            Some(reading) if rejoin.begin(text, &reading) => log.push('('),
            Some(reading) => {
                count(&reading);
                log.push(if reading.undecodable.is_empty() { 'l' } else { 'u' });
            }
            None => log.push('t'),
        }
    }
    (log, items)
}

fn pieces(line: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > size {
        let end = (1..=size).rev().find(|end| rest.is_char_boundary(*end)).unwrap();
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[test]
fn a_cut_line_is_rejoined_for_every_piece_size() {
    let big = fixture("big-line.jsonl");
    for (size, log) in
        [(262_144, "(!"), (65_536, "(++++++!"), (16_384, "(++++++++++++++++++++++++++++!")]
    {
        assert_eq!(events(&pieces(big.trim_end(), size)), (log.to_owned(), 10), "{size}");
    }
    // Each event ends with a newline, also at a cut.
    let ended: Vec<_> =
        pieces(big.trim_end(), 100_000).iter().map(|piece| format!("{piece}\n")).collect();
    let texts: Vec<_> = ended.iter().map(String::as_str).collect();
    assert_eq!(events(&texts), ("(+++!".to_owned(), 10));
}

#[test]
fn a_line_cut_after_its_payload_is_rejoined() {
    let big = fixture("big-line.jsonl");
    let line = big.trim_end();
    for cut in 2..=5 {
        for last_bytes in (1..30).filter(|last| (line.len() - last).is_multiple_of(cut)) {
            let log = format!("({}!", "+".repeat(cut - 1));
            let pieces = pieces(line, (line.len() - last_bytes) / cut);
            assert_eq!(events(&pieces), (log, 10), "{cut} pieces and {last_bytes} bytes");
        }
    }
}

#[test]
fn every_kind_of_line_is_rejoined() {
    let line = fixture("python-10.jsonl").trim_end().to_owned();
    let record = |text: &str| serde_json::json!({"level": "INFO", "message": text}).to_string();
    let check = |line: &str, size: usize| {
        let (log, items) = events(&pieces(line, size));
        assert!(log.starts_with('(') && log.ends_with('!'), "{size}: {log} {line:.80}");
        assert_eq!(items, 10, "{size}: {line:.80}");
    };
    for line in [
        line.clone(),
        record(&line),
        format!(r#"{{"type":"function","record":{}}}"#, record(&line)),
        format!("[INFO]\t2026-09-21T14:13:20.123Z\tid\t{line}\n"),
    ] {
        (1_000..1_500).for_each(|size| check(&line, size));
    }
    // A payload of JSON shows the cut only by its length.
    let bare = bare("big-line.jsonl");
    for line in [
        bare.clone(),
        record(&bare),
        format!("[INFO]\t2026-09-21T14:13:20.123Z\tid\t{bare}\n"),
        format!(r#"{{"__otel_otlp_stdout":"x","payload":{bare}}}"#),
    ] {
        for size in [65_536, 131_072, 262_118] {
            check(&line, size);
        }
    }
}

#[test]
fn an_unrelated_log_event_aborts_rejoining() {
    let line = fixture("python-10.jsonl").trim_end().to_owned();
    let (first, second) = line.split_at(1_100);
    let check = |texts: &[&str], log: &str, items: usize| {
        assert_eq!(events(texts), (log.to_owned(), items), "{texts:.80?}");
    };
    check(&[first, second], "(!", 10);
    check(&[first, &line], "(xl", 10);
    check(&[first, first, second], "(x(!", 10);
    check(&[first, &format!("2026-09-21T14:13:20.123Z\tid\tINFO\t{line}")], "(xl", 10);
    check(&[first, "REPORT RequestId: 1\tDuration: 1 ms\t\n", second], "(xtt", 0);
    check(&[first, r#"{"time":"2026","type":"platform.report"}"#, second], "(xtt", 0);
    check(&[first, "END RequestId: 1", second], "(xtt", 0);
    check(&[first, "done", second], "(xtt", 0);
    check(&[first], "(", 0);
    // Complete, and undecodable: unrelated to pieces.
    check(&[&line.replace("H4sI", "****")], "u", 0);
    check(&[r#"{"__otel_otlp_stdout":"1" nonsense"#, second], "ut", 0);
    check(&[&first.replacen(',', " nonsense,", 1), second], "ut", 0);
    // An ordinary text that ends the line would be lost in it.
    let open = format!(r#"{},"xpayload":"AAAA"#, line.trim_end_matches('}'));
    check(&[&open, r#"order stored"}"#], "(xt", 0);
    // A line cut after its payload must be as long as the other pieces.
    let (payload, _) = second.split_once('"').unwrap();
    check(&[first, &format!(r#"{payload}","z":""#), r#"user 17"}"#], "(xtt", 0);
}

/// The caller limits how much broken lines may inflate to.
#[test]
fn a_rejoined_line_without_items_reports_its_inflated_size() {
    let refused = |bytes: &[u8]| {
        let payload = STANDARD.encode(lambda_otlp_wire::gzip::compress(6, bytes));
        let line = format!(r#"{{"__otel_otlp_stdout":"1","base64":true,"payload":"{payload}"}}"#);
        let (first, last) = line.split_at(1_100);
        let limits = Limits::default();
        let mut rejoin = Rejoin::default();
        assert!(rejoin.begin(first, &read_line(first, &limits).unwrap()));
        match rejoin.go_on(last, &Context::default(), &limits) {
            Joined::Broken { refused_bytes } => refused_bytes,
            joined => panic!("{joined:?}"),
        }
    };
    let mut request = Vec::new();
    Writer::new(&mut request).message(1, |spans| spans.string(3, &"x".repeat(1_200_000)));
    let bytes = request.len();
    assert_eq!(refused(&request), bytes, "no items");
    request.push(0xff);
    assert_eq!(refused(&request), bytes + 1, "not a request");
}

#[test]
fn rejoining_is_limited_in_pieces_and_bytes() {
    let piece = "A".repeat(1_000);
    let first = format!("{:A<1000}", r#"{"__otel_otlp_stdout":"1","payload":""#);
    let mut texts = vec![first.as_str()];
    texts.resize(600, &piece);
    let (log, _) = events(&texts);
    assert_eq!(log.find('x'), Some(512), "pieces");
    let first = format!("{first:A<65535}A");
    let piece = "A".repeat(65_536);
    let mut texts = vec![first.as_str()];
    texts.resize(65, &piece);
    let (log, _) = events(&texts);
    assert_eq!(log.find('x'), Some(64), "bytes");
    // Too large from the start.
    assert_eq!(events(&[&format!("{first}{}", piece.repeat(64)), "x"]).0, "ut");
}
