//! The SDK's providers of the three signals with our processors.

use super::telemetry_config::{Logs, Metrics, Traces};
use crate::config::{Config, DEFAULT_QUEUE_SIZE};
use crate::export::exporters::{StdoutLogExporter, StdoutMetricExporter, StdoutSpanExporter};
use crate::export::line::LineExporter;
use crate::processors::logs::LambdaLogProcessor;
use crate::processors::metrics::FlushReader;
use crate::processors::spans::{LambdaSpanProcessor, SharedProcessor};
use crate::state::id_generator::{InvocationIdGenerator, SequentialIdGenerator};
#[cfg(feature = "log")]
use crate::state::log_crate::AddKeyValues;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, ShouldSample, SpanExporter};
use std::sync::Arc;

/// The inputs of the providers, independent of the signal.
pub(super) struct ProviderParts<'a> {
    pub(super) environment: &'a Config,
    pub(super) line: &'a Arc<LineExporter>,
    pub(super) resource: &'a Resource,
}

/// The provider of spans with its parts.
pub(super) struct TraceParts {
    pub(super) provider: SdkTracerProvider,
    /// Our own processor, unless the application replaced it.
    pub(super) spans: Option<Arc<LambdaSpanProcessor>>,
    /// The provider's sampler; `None` if the application brought the provider.
    pub(super) sampler: Option<Box<dyn ShouldSample>>,
}

impl ProviderParts<'_> {
    pub(super) fn traces(&self, traces: Traces) -> TraceParts {
        if let Some(provider) = traces.provider {
            return TraceParts { provider, spans: None, sampler: None };
        }
        let sampler = self.sampler(traces.sampler);
        let ids = traces.id_generator.unwrap_or_else(|| Box::new(SequentialIdGenerator::default()));
        let mut builder = SdkTracerProvider::builder()
            .with_resource(self.resource.clone())
            .with_id_generator(InvocationIdGenerator(ids))
            .with_sampler(sampler.clone())
            .with_span_limits(self.environment.span_limits);
        if self.environment.disabled {
            return TraceParts { provider: builder.build(), spans: None, sampler: Some(sampler) };
        }
        let writes_lines = traces.processors.is_empty() && self.environment.writes.traces;
        let processors = traces.additional_processors.into_iter().chain(traces.processors);
        builder = processors.fold(builder, |builder, add| add(builder, self));
        let mut spans = None;
        if writes_lines {
            let mut exporter = StdoutSpanExporter::over(Arc::clone(self.line), self.environment);
            exporter.set_resource(self.resource);
            let processor = Arc::new(self.span_processor(exporter).with_open_spans());
            builder = builder.with_span_processor(SharedProcessor(Arc::clone(&processor)));
            spans = Some(processor);
        }
        TraceParts { provider: builder.build(), spans, sampler: Some(sampler) }
    }

    pub(super) fn logs(&self, logs: Logs) -> SdkLoggerProvider {
        if let Some(provider) = logs.provider {
            return provider;
        }
        let mut builder = SdkLoggerProvider::builder().with_resource(self.resource.clone());
        if self.environment.disabled {
            return builder.build();
        }
        #[cfg(feature = "log")]
        {
            builder = builder.with_log_processor(AddKeyValues);
        }
        let writes_lines = logs.processors.is_empty() && self.environment.writes.logs;
        let processors = logs.additional_processors.into_iter().chain(logs.processors);
        builder = processors.fold(builder, |builder, add| add(builder));
        if writes_lines {
            let exporter = StdoutLogExporter::over(Arc::clone(self.line), self.environment);
            builder =
                builder.with_log_processor(LambdaLogProcessor::new(exporter, self.queue_size()));
        }
        builder.build()
    }

    pub(super) fn metrics(&self, metrics: Metrics) -> SdkMeterProvider {
        if let Some(provider) = metrics.provider {
            return provider;
        }
        let mut builder = SdkMeterProvider::builder().with_resource(self.resource.clone());
        if self.environment.disabled {
            return builder.build();
        }
        let writes_lines = metrics.readers.is_empty() && self.environment.writes.metrics;
        let parts = metrics.views.into_iter().chain(metrics.readers);
        builder = parts.fold(builder, |builder, add| add(builder));
        if writes_lines {
            let exporter = StdoutMetricExporter::over(Arc::clone(self.line), self.environment);
            builder = builder.with_reader(FlushReader::new(exporter));
        }
        builder.build()
    }

    pub(super) fn span_processor<E: SpanExporter>(&self, exporter: E) -> LambdaSpanProcessor<E> {
        let losses = Arc::clone(&self.line.losses);
        let invocations = Arc::clone(self.line.invocations());
        LambdaSpanProcessor::new(exporter, self.queue_size(), losses, invocations)
    }

    fn queue_size(&self) -> usize {
        self.environment.queue_size.unwrap_or(DEFAULT_QUEUE_SIZE)
    }

    fn sampler(&self, from_code: Option<Box<dyn ShouldSample>>) -> Box<dyn ShouldSample> {
        if self.environment.disabled {
            return Box::new(Sampler::AlwaysOff);
        }
        match (&self.environment.sampler, from_code) {
            (Some(sampler), _) => Box::new(sampler.clone()),
            (None, Some(sampler)) => sampler,
            (None, None) => Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))),
        }
    }
}
