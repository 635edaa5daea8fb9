//! Holds finished spans until the end of the invocation.

use super::buffer::{self, Buffer};
use super::early_writes::EarlyWrites;
use crate::bounded::block_on;
use crate::config::{Config, DEFAULT_QUEUE_SIZE, MAX_QUEUE_SIZE};
use crate::export::WriteTimeout;
use crate::export::exporters::StdoutSpanExporter;
use crate::export::losses::{Loss, LossCounts};
use crate::integer_fields;
use crate::invocations::{CutOff, EndedSpan, InvocationNumber, Invocations};
use opentelemetry::trace::{Span as _, SpanId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use settings::Env;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wire::SignalKind;

/// Holds finished spans until [`force_flush`](SpanProcessor::force_flush), which the end of the invocation calls.
///
/// A full buffer is written early. If spans must be dropped nevertheless, they are counted.
#[derive(Debug)]
pub struct LambdaSpanProcessor<E = StdoutSpanExporter> {
    exporter: E,
    buffer: Buffer<SpanData>,
    write_timeout: WriteTimeout,
    /// `true` if a full buffer was not written: the next flush reports it, because the root may have been in it.
    has_failed: AtomicBool,
    losses: Arc<LossCounts>,
    /// `true` if the spans that are open at an interruption are written, and those that end after their invocation.
    writes_open: bool,
    early_writes: EarlyWrites,
}

impl LambdaSpanProcessor {
    pub(crate) fn with_open_spans(self) -> Self {
        Self { writes_open: true, ..self }
    }

    /// Writes the open spans of interrupted invocations as partial spans, and returns them.
    pub(crate) fn write_open(
        &self,
        is_cut_off: impl Fn(InvocationNumber) -> bool,
        cut_off: CutOff,
    ) -> Result<Vec<SpanId>, OTelSdkError> {
        let invocations = self.write_timeout.invocations();
        let spans = invocations.partial_spans(is_cut_off, cut_off);
        self.exporter.export_now(&spans)?;
        let written: Vec<SpanId> = spans.iter().map(|span| span.span_context.span_id()).collect();
        invocations.note_partial_spans_written(&written);
        Ok(written)
    }

    /// Creates a builder with a [`StdoutSpanExporter`].
    #[must_use]
    pub fn builder() -> LambdaSpanProcessorBuilder {
        LambdaSpanProcessorBuilder { exporter: StdoutSpanExporter::default(), max_queue_size: None }
    }
}

impl<E> LambdaSpanProcessor<E> {
    pub(crate) fn new(
        exporter: E,
        max_queue_size: usize,
        losses: Arc<LossCounts>,
        invocations: Arc<Invocations>,
    ) -> Self {
        let buffer = Buffer::new(
            SignalKind::Traces,
            max_queue_size.min(MAX_QUEUE_SIZE),
            buffer::size_of_span,
            Arc::clone(&losses),
        );
        let write_timeout = WriteTimeout::new(invocations);
        let has_failed = AtomicBool::new(false);
        Self {
            exporter,
            buffer,
            write_timeout,
            has_failed,
            losses,
            writes_open: false,
            early_writes: EarlyWrites::default(),
        }
    }
}

impl<E: SpanExporter> LambdaSpanProcessor<E> {
    /// A foreign exporter may never be ready: spans it has not accepted in time are lost.
    fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = block_on(self.exporter.export(batch), || self.write_timeout.get());
        self.write_timeout.note(exported.is_none());
        exported.unwrap_or_else(|| {
            self.losses.lose(SignalKind::Traces, Loss::ExporterNotReady, spans);
            Err(OTelSdkError::InternalFailure("the exporter was not ready in time".to_owned()))
        })
    }
}

impl<E: SpanExporter> SpanProcessor for LambdaSpanProcessor<E> {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        if self.writes_open && span.span_context().is_sampled() {
            self.write_timeout.invocations().span_started(span, parent);
        }
    }

    fn on_end(&self, mut span: SpanData) {
        if span.span_context.is_sampled() {
            let id = span.span_context.span_id();
            let invocations = self.write_timeout.invocations();
            let EndedSpan { root_end_keys, is_outside } = invocations.span_ended(id);
            keep_last(&mut span.attributes, root_end_keys.as_deref().unwrap_or_default());
            integer_fields::restore(&mut span);
            let timeout = || self.write_timeout.get();
            self.buffer.push(span, root_end_keys.is_some(), timeout, |batch| {
                if self.export(batch).is_err() {
                    self.has_failed.store(true, Ordering::Relaxed);
                }
            });
            // The span ended after its invocation, because the response or the error kept it open. The environment may be frozen for
            // hours.
            if self.writes_open && is_outside && self.early_writes.try_take(invocations.now()) {
                // Losses are counted where they occur.
                drop(self.force_flush());
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let timeout = self.write_timeout.get();
        let flushed = self.buffer.flush(timeout, |batch| self.export(batch)).unwrap_or(Ok(()));
        if self.has_failed.swap(false, Ordering::Relaxed) {
            let lost = "spans were lost before, when the buffer was full".to_owned();
            return flushed.and(Err(OTelSdkError::InternalFailure(lost)));
        }
        flushed
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.force_flush()?;
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Keeps each key once, as OTLP requires. Of a key that the end of the invocation has set, one of `end_keys`, it keeps the handler's
/// value; of any other key the last one.
///
/// The SDK's span does not reveal its attributes, and setting one again appends it. So the end sets its attributes, which every
/// processor receives, and our processor removes those that the handler has also set.
fn keep_last(attributes: &mut Vec<KeyValue>, end_keys: &[&'static str]) {
    for key in end_keys {
        let mut same_key =
            attributes.iter().enumerate().filter(|(_, attribute)| attribute.key.as_str() == *key);
        if let (Some(_), Some((last, _))) = (same_key.next(), same_key.next_back()) {
            attributes.remove(last);
        }
    }
    if has_duplicates(attributes) {
        let mut seen = HashSet::new();
        attributes.reverse();
        attributes.retain(|attribute| seen.insert(attribute.key.clone()));
        attributes.reverse();
    }
}

fn has_duplicates(attributes: &[KeyValue]) -> bool {
    /// Up to this number, comparing all pairs takes less time than hashing.
    const FEW: usize = 16;
    if attributes.len() <= FEW {
        let mut keys = attributes.iter().enumerate();
        return keys.any(|(at, own)| attributes.iter().take(at).any(|other| other.key == own.key));
    }
    let mut seen = HashSet::with_capacity(attributes.len());
    !attributes.iter().all(|attribute| seen.insert(attribute.key.as_str()))
}

/// The processor that [`init`](crate::init()) adds to the provider, shared with the signals, which flush it
/// themselves: the provider flushes its processors in turn, and one of the application's may panic. The exporter already has the
/// resource, so `set_resource` is not passed on.
#[derive(Debug)]
pub(crate) struct SharedProcessor(pub(crate) Arc<LambdaSpanProcessor>);

impl SpanProcessor for SharedProcessor {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        self.0.on_start(span, parent);
    }

    fn on_end(&self, span: SpanData) {
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}

/// Builds a [`LambdaSpanProcessor`].
#[derive(Debug)]
pub struct LambdaSpanProcessorBuilder<E = StdoutSpanExporter> {
    exporter: E,
    max_queue_size: Option<usize>,
}

impl<E: SpanExporter> LambdaSpanProcessorBuilder<E> {
    /// Sets the exporter.
    #[must_use]
    pub fn with_exporter<Other: SpanExporter + 'static>(
        self,
        exporter: Other,
    ) -> LambdaSpanProcessorBuilder<Other> {
        LambdaSpanProcessorBuilder { exporter, max_queue_size: self.max_queue_size }
    }

    /// Maximum number of waiting spans, 2048 by default and 65,536 at most; `LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE` overrides it. A
    /// buffer of about 1 MiB is full regardless of their number.
    #[must_use]
    pub fn with_max_queue_size(mut self, spans: usize) -> Self {
        self.max_queue_size = Some(spans);
        self
    }

    /// Reads the environment and builds the processor.
    #[must_use]
    pub fn build(self) -> LambdaSpanProcessor<E> {
        let config = Config::from_source(&Env);
        let queue_size = config.queue_size.or(self.max_queue_size).unwrap_or(DEFAULT_QUEUE_SIZE);
        let invocations = Invocations::of_process();
        LambdaSpanProcessor::new(self.exporter, queue_size, Arc::default(), invocations)
    }
}
