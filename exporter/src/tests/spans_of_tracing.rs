//! `tracing` spans as OpenTelemetry's: fields keep their types.

use super::driver::{Function, attribute};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Tracer as _};

#[tracing::instrument]
fn store(id: u64, small: u8, wide: i128, wider: u128, too_wide: u128, beyond: u64, text: &str) {
    tracing::info!(id, "stored");
}

#[test]
fn integer_fields_that_fit_otlp_are_exported_as_integers() {
    let function = Function::new();
    store(7, 8, -9, 10, u128::MAX, u64::MAX, "7");
    function.completion.complete();
    let span = function.span();
    let check = |key, expected: &str| assert_eq!(attribute(&span, key).unwrap(), expected, "{key}");
    check("id", "7");
    check("small", "8");
    check("wide", "-9");
    check("wider", "10");
    check("text", "\"7\"");
    check("beyond", "\"18446744073709551615\"");
    check("too_wide", &format!("{:?}", u128::MAX.to_string()));
}

#[test]
fn fields_recorded_later_or_on_a_parent_span_stay_integers() {
    let function = Function::new();
    let outer = tracing::info_span!("outer", items = 3_u64, left = tracing::field::Empty);
    outer.in_scope(|| {
        tracing::info_span!("inner", items = "3").in_scope(|| ());
        outer.record("left", 2_usize);
    });
    drop(outer);
    function.completion.complete();
    let written = function.written();
    let of = |span, key| attribute(written.span_named(span), key);
    assert_eq!(of("outer", "items").as_deref(), Some("3"));
    assert_eq!(of("outer", "left").as_deref(), Some("2"));
    assert_eq!(of("inner", "items").as_deref(), Some("\"3\""), "a text that was given stays one");
}

#[test]
fn a_field_recorded_again_appears_once_with_its_last_value() {
    let function = Function::new();
    let span = tracing::info_span!("store", id = 7_u64, done = 0_u64);
    span.record("id", "0x7");
    for done in 1..=100_u64 {
        span.record("done", done);
    }
    drop(span);
    function.completion.complete();
    let span = function.span();
    let mut keys: Vec<_> = span.attributes.iter().map(|own| own.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["done", "id"]);
    assert_eq!(attribute(&span, "done").as_deref(), Some("100"));
    assert_eq!(
        attribute(&span, "id").as_deref(),
        Some("\"0x7\""),
        "a text is not taken for the integer"
    );
}

#[test]
fn an_unsampled_spans_integer_does_not_change_another_spans_text() {
    let function = Function::with_variables(&[("OTEL_TRACES_SAMPLER", "always_off")]);
    let recorded = Function::without_subscriber(&[], |config| config);
    drop(tracing::info_span!("store", id = 7_u64));
    let mut span = recorded.completion.tracer().start("other");
    span.set_attribute(KeyValue::new("id", "7"));
    span.end();
    recorded.completion.complete();
    assert_eq!(attribute(&recorded.span(), "id").as_deref(), Some("\"7\""));
    drop(function);
}

#[test]
fn a_record_belongs_to_its_explicit_parent_or_else_to_the_current_span() {
    let function = Function::new();
    let (current, parent) = (tracing::info_span!("current"), tracing::info_span!("parent"));
    current.in_scope(|| {
        tracing::info!(parent: &parent, "explicit");
        tracing::info!("contextual");
        tracing::info!(parent: None, "none");
    });
    drop((current, parent));
    function.completion.complete();
    let written = function.written();
    let spans = written.logs.iter().map(|log| log.span_id.as_slice());
    let id = |name| written.span_named(name).span_id.as_slice();
    assert_eq!(spans.collect::<Vec<_>>(), [id("parent"), id("current"), id("current")]);
}
