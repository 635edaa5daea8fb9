//! Keeps integers of `tracing` fields as integers: `tracing-opentelemetry` only supports `i64`, and converts `u64`, including all
//! unsigned arguments of `#[tracing::instrument]`, and 128-bit values to text.
//!
//! The layer below `tracing-opentelemetry` notes such values while a span is open, and passes them on when the span starts and
//! closes. The layer above removes them. In between, on the same thread, the layer of `tracing-opentelemetry` starts or ends the span
//! and thereby calls our processor, which restores the integers.

use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

type Integers = BTreeMap<&'static str, i64>;

thread_local! {
    /// Fields of the span that this thread starts or closes.
    static PASSED_ON: RefCell<Integers> = const { RefCell::new(Integers::new()) };
}

/// Replaces the texts of integers that were passed on by these integers.
pub(crate) fn restore(span: &mut SpanData) {
    let restore = |integers: &RefCell<Integers>| {
        let integers = integers.borrow();
        for attribute in &mut span.attributes {
            // Another value may have been set under the same key.
            if let Some(integer) = integers.get(attribute.key.as_str())
                && matches!(&attribute.value, Value::String(text) if text.as_str().parse() == Ok(*integer))
            {
                attribute.value = Value::I64(*integer);
            }
        }
    };
    // A terminating thread may have none.
    PASSED_ON.try_with(restore).ok();
}

fn pass_on(integers: Integers) {
    PASSED_ON.try_with(|passed_on| passed_on.replace(integers)).ok();
}

/// The layer below `tracing-opentelemetry`, which is called first.
pub(crate) struct NoteIntegers;

/// The layer above it.
pub(crate) struct ForgetIntegers;

/// Fields of an open span, in its extensions.
struct Noted {
    integers: Integers,
    has_started: bool,
}

impl<S> Layer<S> for NoteIntegers
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut found = FoundIntegers::default();
        attributes.record(&mut found);
        note(found, id, &context);
        // The layer of `tracing-opentelemetry` starts an explicit parent, and other spans as they are entered.
        if let Some(parent) = attributes.parent() {
            pass_on_at_start(parent, &context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        pass_on_at_start(id, &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut found = FoundIntegers::default();
        values.record(&mut found);
        note(found, id, &context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let noted = context.span(&id).and_then(|span| span.extensions_mut().remove::<Noted>());
        pass_on(noted.map(|noted| noted.integers).unwrap_or_default());
    }
}

impl<S: Subscriber> Layer<S> for ForgetIntegers {
    fn on_new_span(&self, _attributes: &Attributes<'_>, _id: &Id, _context: Context<'_, S>) {
        pass_on(Integers::new());
    }

    fn on_enter(&self, _id: &Id, _context: Context<'_, S>) {
        pass_on(Integers::new());
    }

    fn on_close(&self, _id: Id, _context: Context<'_, S>) {
        pass_on(Integers::new());
    }
}

/// Passes the fields of a span on as it starts, which is once.
fn pass_on_at_start<S>(id: &Id, context: &Context<'_, S>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let Some(span) = context.span(id) else { return };
    if let Some(noted) = span.extensions_mut().get_mut::<Noted>()
        && !noted.has_started
    {
        noted.has_started = true;
        pass_on(noted.integers.clone());
    }
}

fn note<S>(FoundIntegers(integers): FoundIntegers, id: &Id, context: &Context<'_, S>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if integers.is_empty() {
        return;
    }
    let Some(span) = context.span(id) else { return };
    let mut extensions = span.extensions_mut();
    match extensions.get_mut::<Noted>() {
        Some(noted) => noted.integers.extend(integers),
        None => extensions.insert(Noted { integers, has_started: false }),
    }
}

/// Integers that would become text; those beyond `i64`, which OTLP lacks, stay text.
#[derive(Default)]
struct FoundIntegers(Integers);

impl FoundIntegers {
    fn note(&mut self, field: &Field, value: impl TryInto<i64>) {
        if let Ok(integer) = value.try_into() {
            self.0.insert(field.name(), integer);
        }
    }
}

impl Visit for FoundIntegers {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.note(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.note(field, value);
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}
