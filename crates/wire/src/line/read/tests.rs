//! The number of times that each byte of a hostile text is read.

use super::*;
use serde_json::json;

/// Bytes that searches and parsers read, for each byte of the text.
fn readings_of_each_byte(text: &str) -> f64 {
    let context = Context::default();
    let mut reader = LineReader::new(&context, &Limits::default());
    reader.read(text, 0);
    f64::from(u32::try_from(reader.bytes_read).unwrap())
        / f64::from(u32::try_from(text.len()).unwrap())
}

#[test]
fn reading_effort_is_linear_for_hostile_text() {
    let units = [
        "{",
        "{{\"",
        r#"{"a":"#,
        r#"{"a":1}"#,
        r#"{"message":{"#,
        r#"{"message":{"_otel":1}}"#,
        r#"{"resourceSpans":[]}"#,
        r#"{"resourceSpans":["#,
        r#"{"__otel_otlp_stdout":"#,
        r#"{"__otel_otlp_stdout":1}"#,
        r#"{"__otel_otlp_stdout":1}{"#,
        r#"x {"__otel_otlp_stdout":1} "#,
        r#"x {"__otel_otlp_stdout":1}{"__otel_otlp_stdout":1}{"#,
        r#"{"message":"x","user":{"__otel_otlp_stdout":1}} "#,
        r#"{"a":{"__otel_otlp_stdout":1}{"a":"#,
        r#"{"a":[{"__otel_otlp_stdout":1},"#,
        r#"{"_otel"   "#,
        r#""__otel_otlp_stdout""#,
        r"\\\__otel_otlp_stdout",
        "[INFO]\t2026Z\t\t{",
        "                ",
    ];
    // One of these gives the text everything that the searches look for.
    let ends = [r#"{"__otel_otlp_stdout":1}"#, r#" {"resourceSpans": "_otel"#, ""];
    for unit in units {
        let hostile = unit.repeat(40_000 / unit.len());
        for end in ends {
            for text in [format!("{hostile}{end}"), format!("{end}{hostile}")] {
                let times = readings_of_each_byte(&text);
                assert!(times <= 6.0, "{unit} {end}: {times} times");
            }
        }
        // Each wrapping reads its content once more.
        let wrapped = (0..3).fold(hostile, |text, _| json!({"message": text}).to_string());
        let times = readings_of_each_byte(&wrapped);
        assert!(times <= 24.0, "{unit}, wrapped: {times} times");
    }
    // The largest event that Lambda delivers.
    let braces = r#"{"__otel_otlp_stdout" {"#.repeat(6_000_000 / 23);
    // Two searches, the parser, and the search for a key that makes the broken object a line.
    assert!((4.0..=6.0).contains(&readings_of_each_byte(&braces)));
}
