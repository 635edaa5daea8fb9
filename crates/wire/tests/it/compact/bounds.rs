//! Lines of other functions or dictionaries, and lines that inflate to much.

use super::{CONTEXT, named, requests, text};
use crate::in_scope;
use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};
use lambda_otlp_wire::compact::{CompactError, Context, Encoder, decode};
use lambda_otlp_wire::{Limits, Malformed, Request, SignalKind, read_line_of};

#[test]
fn a_line_of_another_function_or_dictionary_is_rejected() {
    let request = named("orders-api in eu-west-1");
    let text = text(&[&request]);
    let read = |context: &Context<'_>| decode(&text, context, &Limits::default());
    assert_eq!(read(&CONTEXT), Ok(vec![request.clone()]));
    // The line states its region, and uses neither account nor log stream.
    assert_eq!(
        read(&Context { region: "", account: "", log_stream: "x", ..CONTEXT }),
        Ok(vec![request.clone()])
    );
    let other = Context { function: "payments-api", ..CONTEXT };
    assert_eq!(read(&other), Err(CompactError::OtherContext("function".to_owned())));
    let mut encoder = Encoder::new(100);
    let text = encoder.text(&CONTEXT, &[&request]);
    assert_eq!(requests(&text), Err(CompactError::UnknownDictionary(100)));
}

#[test]
fn attributes_with_unusual_fields_round_trip() {
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| {
            resource.message(1, |pair| {
                pair.string(1, "an unknown field");
                pair.message(2, |value| value.string(1, "a"));
                pair.varint(9, 1);
            });
        });
        container.message(2, |scope| scope.message(2, |span| span.string(5, "x")));
    });
    let request = Request::trusted(SignalKind::Traces, bytes);
    assert_eq!(requests(&text(&[&request])), Ok(vec![request]));
}

#[test]
fn a_line_that_expands_beyond_a_limit_is_rejected() {
    let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
    let with_name = |name: &str| text(&[&named(name)]);
    let large = with_name(&"x".repeat(2 << 20));
    assert!(large.len() < 10_000);
    assert!(matches!(decode(&large, &CONTEXT, &limits), Err(CompactError::Inflate(_))));
    let line = format!("{{\"_otelc\":\"{large}\"}}\n");
    let reading = read_line_of(&line, &CONTEXT, &limits).unwrap();
    assert!(reading.decoded.is_empty() && reading.refused_bytes >= 1 << 20);
    // Each byte of this skeleton stands for a log stream.
    let many = with_name(&format!("{}/", CONTEXT.log_stream).repeat(30_000));
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    // Each item after the first is two bytes of the skeleton.
    let large = named(&"x".repeat(60_000));
    let many = text(&vec![&large; 100]);
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    // A request without bytes takes memory, too.
    let empty = Request::trusted(SignalKind::Traces, Vec::new());
    let many = text(&vec![&empty; 100_000]);
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    let deep = Limits { nesting: 2, ..Limits::default() };
    assert_eq!(
        decode(&with_name("x"), &CONTEXT, &deep).err(),
        Some(CompactError::Malformed(Malformed::TooDeep(2)))
    );
}

/// Lines that inflate to many bytes and then fail use up the limit for failing lines, not the limit for good lines.
#[test]
fn undecodable_lines_inflate_to_a_bounded_number_of_bytes() {
    const MIB: usize = 1 << 20;
    let name = [vec![b'x'; MIB], vec![0xff]].concat();
    let bytes = in_scope(|scope| scope.message(2, |span| span.bytes(5, &name)));
    let standard = |request: &Request| {
        let payload = STANDARD.encode(lambda_otlp_wire::gzip::compress(6, request.bytes()));
        format!("{{\"__otel_otlp_stdout\":\"1\",\"payload\":\"{payload}\"}}\n")
    };
    let compact = |request: &Request| format!("{{\"_otelc\":\"{}\"}}\n", text(&[request]));
    let good = named("work");
    let bad = Request::counted(SignalKind::Traces, bytes, 0);
    for (good, bad) in [(compact(&good), compact(&bad)), (standard(&good), standard(&bad))] {
        assert!(bad.len() < 2_500, "{}", bad.len());
        let many = 20;
        let limits = Limits { refused_bytes: 2 * MIB, ..Limits::default() };
        let reading = read_line_of(&(bad.repeat(many) + &good), &CONTEXT, &limits).unwrap();
        assert_eq!((reading.decoded.len(), reading.undecodable.len()), (1, many));
        // The limit, the line that exceeds it, and then for skeleton and request 64 times the size of each line.
        let most = 4 * MIB + many * 2 * 65 * bad.len();
        assert!(reading.refused_bytes >= 2 * MIB && reading.refused_bytes < most);
        // The next log event of the same event.
        let limits = Limits { refused_bytes: 0, ..Limits::default() };
        let reading = read_line_of(&(bad.clone() + &good), &CONTEXT, &limits).unwrap();
        assert_eq!((reading.decoded.len(), reading.undecodable.len()), (1, 1));
        assert!(reading.refused_bytes < 2 * 65 * bad.len(), "{}", reading.refused_bytes);
    }
}
