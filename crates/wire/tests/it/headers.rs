//! `headers` of lines, in which older exporters leak credentials, are removed from all stored text.

use crate::read;
use lambda_otlp_wire::{Limits, read_line, without_headers};

#[test]
fn headers_are_removed_from_valid_quoted_and_truncated_json() {
    let check = |line: &str, expected: &str| {
        assert_eq!(without_headers(line), expected);
    };
    check(r#"{"headers":{"a":"}\""},"payload":1}"#, r#"{"headers":null,"payload":1}"#);
    check(r#"{"headers":{"a":"x\\\"}s3cret"},"b":2}"#, r#"{"headers":null,"b":2}"#);
    check(r#"{"headers" : ["x,]", {"k":"v"}] ,"b":2}"#, r#"{"headers":null ,"b":2}"#);
    check(r#"{"headers":"x","b":2}"#, r#"{"headers":null,"b":2}"#);
    check(r#"{"headers":12,"b":2}"#, r#"{"headers":null,"b":2}"#);
    check(r#"{"b":2,"headers":{"authorization":"Basic c2Vj"#, r#"{"b":2,"headers":null"#);
    check(r#"{"b":"headers"}"#, r#"{"b":"headers"}"#);
    check("no headers", "no headers");
    check(
        r#"{"m":"{\"headers\": {\"k\":\"secret\"},\"a\":1}"}"#,
        r#"{"m":"{\"headers\":null,\"a\":1}"}"#,
    );
    check(
        r#"{"m":"{\"headers\":{\"k}\":\"a\\\"}b\\\\\"},\"a\":1}"}"#,
        r#"{"m":"{\"headers\":null,\"a\":1}"}"#,
    );
    check(
        r#"{"m":"{\"m\":\"{\\\"headers\\\":\\\"s3cret\\\"}\"}"}"#,
        r#"{"m":"{\"m\":\"{\\\"headers\\\":null}\"}"}"#,
    );
    // The enclosing string ends before the value.
    check(r#"{"m":"{\"headers\":{\"k\":\"sec","t":"ret"}"#, r#"{"m":"{\"headers\":null"#);
    check(r#"{"m":"{\"headers\":{\"k\":\"sec","t":"\"}ret"}"#, r#"{"m":"{\"headers\":null"#);
    check(r#"{"m":"{\"headers\":12","t":"ret"}"#, r#"{"m":"{\"headers\":null"#);
    check(
        r#"{"m":"{\u0022headers\u0022:{\u0022k\u0022:1}}","n":1}"#,
        r#"{"m":"{\u0022headers\u0022:null"#,
    );
    check(r#"{"m":"\"headers\" are"}"#, r#"{"m":"\"headers\" are"}"#);
}

#[test]
fn header_values_are_removed_from_remaining_text() {
    let line = r#"{"__otel_otlp_stdout":"1","payload":"","headers":{"authorization":"s3cret"}}"#;
    let quoted = |line: &str| serde_json::to_string(line).unwrap();
    let wrap = |levels: usize| {
        (0..levels).fold(line.to_owned(), |line, _| format!(r#"{{"message":{}}}"#, quoted(&line)))
    };
    for text in [
        wrap(4),
        wrap(5),
        format!(r#"{{"text":{}}}"#, quoted(line)),
        format!("sending {}", quoted(line)),
        line.replace(r#"{"__otel_otlp_stdout":"1","#, r#"{"a":1,"b":"_otel","#),
        format!("{line} {}", wrap(4)),
        format!(r#"{{"message":{}}}"#, quoted(&format!("{line} {{\"headers\":\"s3cret\"}} _otel"))),
        format!(r#"{{"text":"{}"}}"#, line.replace('"', r"\u0022")),
    ] {
        let text_left = read(&text).text.unwrap_or_default();
        assert!(text_left.contains("headers"), "{text}: {text_left}");
        assert!(!text_left.contains("s3cret"), "{text}: {text_left}");
        assert!(!text_left.contains("authorization"), "{text}: {text_left}");
    }
    // Nothing to remove, or not a line.
    for text in [wrap(4).replace("headers", "header"), r#"{"headers":{"a":"b"}}"#.to_owned()] {
        assert!(read_line(&text, &Limits::default()).is_none(), "{text}");
    }
    // The rest is JSON if the original was.
    let left = read(&wrap(4)).text.unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&left).is_ok(), "{left}");
}
