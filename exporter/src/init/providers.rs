//! The SDK's providers of the three signals, each with our processor.

use super::telemetry_config::AddProcessor;
use crate::config::{Config, DEFAULT_QUEUE_SIZE};
use crate::export::exporters::{StdoutLogExporter, StdoutMetricExporter, StdoutSpanExporter};
use crate::export::line::LineExporter;
use crate::processor::logs::LambdaLogProcessor;
use crate::processor::metrics::FlushReader;
use crate::processor::spans::{LambdaSpanProcessor, SharedProcessor};
use crate::telemetry::signals::Signals;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, ShouldSample, SpanExporter as _, TracerProviderBuilder};
use std::sync::Arc;

pub(super) fn signals(
    environment: &Config,
    line: &LineExporter,
    resource: &Resource,
    mut tracer_builder: TracerProviderBuilder,
    additional_processors: Vec<AddProcessor>,
    processors: Vec<AddProcessor>,
) -> Signals {
    let losses = Arc::clone(line.losses());
    let mut logger_builder = SdkLoggerProvider::builder().with_resource(resource.clone());
    let mut meter_builder = SdkMeterProvider::builder().with_resource(resource.clone());
    let mut spans = None;
    let has_processors_of_others = !(processors.is_empty() && additional_processors.is_empty());
    if !environment.disabled {
        let queue_size = environment.queue_size.unwrap_or(DEFAULT_QUEUE_SIZE);
        let has_own_processor = !processors.is_empty();
        for AddProcessor(add) in additional_processors.into_iter().chain(processors) {
            tracer_builder = add(tracer_builder);
        }
        if !has_own_processor {
            let mut exporter = StdoutSpanExporter::over(line.clone(), environment);
            exporter.set_resource(resource);
            let processor = LambdaSpanProcessor::new(exporter, queue_size, Arc::clone(&losses));
            let processor = Arc::clone(spans.insert(Arc::new(processor)));
            tracer_builder = tracer_builder.with_span_processor(SharedProcessor(processor));
        }
        let exporter = StdoutLogExporter::over(line.clone(), environment);
        let processor = LambdaLogProcessor::new(exporter, queue_size, Arc::clone(&losses));
        logger_builder = logger_builder.with_log_processor(processor);
        let exporter = StdoutMetricExporter::over(line.clone(), environment);
        meter_builder = meter_builder.with_reader(FlushReader::new(exporter));
    }
    Signals::new(
        spans,
        has_processors_of_others,
        tracer_builder.build(),
        logger_builder.build(),
        meter_builder.build(),
        line.clone(),
    )
}

pub(super) fn sampler(
    environment: &Config,
    from_code: Option<Box<dyn ShouldSample>>,
) -> Box<dyn ShouldSample> {
    let from_environment = || Some(Box::new(environment.sampler.clone()?) as Box<dyn ShouldSample>);
    if environment.disabled {
        return Box::new(Sampler::AlwaysOff);
    }
    from_environment()
        .or(from_code)
        .unwrap_or_else(|| Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))))
}
