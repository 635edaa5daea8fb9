//! Migrating from lambda-otel-lite only changes the dependency: typical functions compile with the old names at the old paths, also
//! mixed with today's names.

#![expect(clippy::unwrap_used, reason = "tests")]

use lambda_otlp_exporter as lambda_otel_lite;

use lambda_otel_lite::config::ProcessorMode;
use lambda_otel_lite::events::{EventLevel, event, record_event};
use lambda_otel_lite::export::InMemoryOutput;
use lambda_otel_lite::resource::get_lambda_resource;
use lambda_otel_lite::{
    LambdaSpanProcessor, OtlpStdoutSpanExporter,
    extractors::{SpanAttributes, SpanAttributesExtractor, TriggerType},
    handler::create_traced_handler,
    layer::OtelTracingLayer,
    logger::Logger,
    propagation::LambdaXrayPropagator,
    telemetry::{TelemetryCompletionHandler, TelemetryConfig, init_telemetry},
};
use lambda_runtime::tower::{Service as _, ServiceBuilder};
use lambda_runtime::{Context, Error, LambdaEvent, Runtime, service_fn};
use opentelemetry::{KeyValue, Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SimpleSpanProcessor};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use test_support::Logged;

/// A shelf's count, whose extractor returns a map of attributes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Counted {
    shelf: i64,
    caller: Option<String>,
}

impl SpanAttributesExtractor for Counted {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let mut attributes: HashMap<String, Value> = HashMap::new();
        attributes.insert("stock.shelf".to_string(), Value::I64(self.shelf));
        let mut carrier = HashMap::new();
        if let Some(caller) = &self.caller {
            carrier.insert("traceparent".to_string(), caller.clone());
        }
        SpanAttributes::builder()
            .span_name("count".to_string())
            .attributes(attributes)
            .carrier(carrier)
            .trigger(TriggerType::PubSub)
            .build()
    }
}

async fn count(request: LambdaEvent<Counted>) -> Result<serde_json::Value, Error> {
    static LOGGER: Logger = Logger::const_new("stock");
    LOGGER.info("counting");
    record_event(
        EventLevel::Warn,
        "few left",
        vec![KeyValue::new("left", 2)],
        Some(UNIX_EPOCH + Duration::from_secs(1_790_000_000)),
    );
    event().level(EventLevel::Debug).message("not recorded").call();
    event()
        .level(EventLevel::Error)
        .message("none left")
        .attribute("shelf", request.payload.shelf)
        .attribute("checked", true)
        .add_attributes(vec![KeyValue::new("by", "hand")])
        .call();
    Ok(serde_json::json!({ "statusCode": 200 }))
}

/// The id of the caller's span.
const SENDER: &str = "b7ad6b7169203331";

fn event_of(shelf: i64) -> LambdaEvent<Counted> {
    let caller = Some(format!("00-0af7651916cd43dd8448eb211c80319c-{SENDER}-01"));
    LambdaEvent::new(Counted { shelf, caller }, Context::default())
}

/// The span and the log records in the lines of one invocation.
fn written(output: &InMemoryOutput) -> (Span, Vec<LogRecord>) {
    let mut logged = Logged::default();
    for line in output.take_lines() {
        logged.add(&wire::read_line(&line, &wire::Limits::default()).unwrap().decoded);
    }
    assert_eq!(logged.spans.len(), 1);
    (logged.spans.remove(0).1, logged.records)
}

#[tokio::test]
async fn a_ported_function_writes_its_attributes_parent_and_events() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder()
        .resource(Resource::builder().with_attribute(KeyValue::new("team", "shop")).build())
        .with_named_propagator("tracecontext")
        .with_propagator(LambdaXrayPropagator::new())
        .with_sampler(Sampler::AlwaysOn)
        .enable_fmt_layer(false)
        .set_global_provider(true)
        .env_var_name("STOCK_LOG")
        .processor_mode(ProcessorMode::Sync)
        .with_output(output.clone());
    let started = init_telemetry(config.build()).await.unwrap();
    let (_tracer, completion_handler): (_, TelemetryCompletionHandler) = started;
    assert_eq!(ProcessorMode::resolve(None), ProcessorMode::Sync);
    assert_eq!(ProcessorMode::resolve(Some(ProcessorMode::Finalize)), ProcessorMode::Finalize);

    let mut handler = service_fn(create_traced_handler("stock", completion_handler.clone(), count));
    handler.call(event_of(7)).await.unwrap();
    let (span, records) = written(&output);
    assert_eq!((&*span.name, wire::ids::to_hex(&span.parent_span_id)), ("count", SENDER.into()));
    let shelf = span.attributes.iter().find(|own| own.key == "stock.shelf").unwrap();
    assert_eq!(shelf.value, Some(Value::I64(7).into()), "no text is made of it");
    assert!(format!("{:?}", records[0].body).contains("[stock] counting"), "{records:?}");
    let keys = |event: &Event| {
        let keys = event.attributes.iter().map(|attribute| attribute.key.as_str());
        format!("{} {}", event.name, keys.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(
        span.events.iter().map(keys).collect::<Vec<_>>(),
        [
            "event event.severity_text event.severity_number event.body left",
            "event event.severity_text event.severity_number event.body shelf checked by",
        ],
        "what is less severe than INFO is not recorded"
    );

    let layer = OtelTracingLayer::new(completion_handler).with_name("tower");
    let mut service = ServiceBuilder::new().layer(layer).service_fn(count);
    service.call(event_of(8)).await.unwrap();
    assert_eq!(written(&output).0.name, "count");
    drop(|| Runtime::new(service));
}

/// otlp-stdout-span-exporter's example sets headers, and lambda-otel-lite's getters have the prefix `get_`.
#[tokio::test]
#[expect(deprecated, reason = "the name of a port")]
async fn renamed_and_ineffective_options_still_compile() {
    let headers = HashMap::from([("authorization".to_string(), "Basic hunter2".to_string())]);
    let output = Arc::new(InMemoryOutput::default());
    let exporter =
        OtlpStdoutSpanExporter::builder().headers(headers).pipe(true).output(output.clone());
    let exporter = exporter.resource(Resource::builder_empty().build());
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_resource(get_lambda_resource())
        .with_batch_exporter(exporter.build())
        .build();
    let tracer = opentelemetry::trace::TracerProvider::tracer(&provider, "port");
    drop(opentelemetry::trace::Tracer::start(&tracer, "count"));
    provider.force_flush().unwrap();
    let lines = output.take_lines();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("headers") && !lines[0].contains("hunter2"), "{lines:?}");
    // A chain of custom processors from lambda-otel-lite's documentation.
    let exporter = OtlpStdoutSpanExporter::builder().compression_level(5).build();
    let processor = LambdaSpanProcessor::builder().exporter(exporter).max_queue_size(4096).build();
    let config = TelemetryConfig::builder()
        .with_span_processor(SimpleSpanProcessor::new(OtlpStdoutSpanExporter::default()))
        .with_span_processor(processor)
        .with_global_providers(false);
    let config = config.with_global_subscriber(false).with_output(output);
    let (_, completion_handler) = init_telemetry(config.build()).await.unwrap();
    let is_tracer = |_: &opentelemetry_sdk::trace::SdkTracer| ();
    is_tracer(completion_handler.get_tracer());
}
