// OpenTelemetry's SDK and its instrumentations, as the function's variables want them.

"use strict";

const { BoundExporter, LONGEST_MS, agent } = require("./bound.cjs");
const { CutOffs } = require("./cut_off.cjs");

// So many spans are kept until the function lets the SDK export them, if its variables say nothing else. The SDK's own bound is for
// programs that do not wait for the export at the end of each request.
const QUEUE_SIZE = 16384;

// By the names that OTEL_NODE_DISABLED_INSTRUMENTATIONS has for them. Calls outside of an invocation have no trace to stand in,
// and those of a runtime client to Lambda are none of the function's. A call of AWS's SDK is one span.
const LIBRARIES = {
  "aws-sdk": ["AwsInstrumentation", { suppressInternalInstrumentation: true }],
  http: ["HttpInstrumentation", { requireParentforOutgoingSpans: true, disableIncomingRequestInstrumentation: true }],
  undici: ["UndiciInstrumentation", { requireParentforSpans: true }],
};

/// Has each instrumentation wait for its library.
function instrumentLibraries(load) {
  const disabled = names(process.env.OTEL_NODE_DISABLED_INSTRUMENTATIONS);
  const enabled = process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS;
  const isWanted = (name) => !disabled.includes(name) && (enabled === undefined || names(enabled).includes(name));
  for (const [name, [type, config]] of Object.entries(LIBRARIES)) {
    const instrumentation = `@opentelemetry/instrumentation-${name}`;
    if (isWanted(name) && isThere(load, instrumentation)) new (load(instrumentation)[type])(config);
  }
}

/// Starts the SDK, unless the function has one by now: the provider of its spans, and what watches the ends of invocations, where
/// there is somebody to export to then.
function startSdk(load) {
  const { context, propagation, trace } = load("@opentelemetry/api");
  const provider = trace.getTracerProvider();
  const delegate = provider.getDelegate?.() ?? provider;
  if (delegate.constructor.name !== "NoopTracerProvider") return undefined;

  const { AsyncLocalStorageContextManager } = load("@opentelemetry/context-async-hooks");
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = load("@opentelemetry/core");
  const { defaultResource, detectResources, envDetector } = load("@opentelemetry/resources");
  const { BasicTracerProvider } = load("@opentelemetry/sdk-trace-base");
  const isExported = process.env.OTEL_TRACES_EXPORTER !== "none";
  const cutOffs = isExported && isLocal() ? new CutOffs(load, () => partialExporter(load)) : undefined;
  const processors = [isExported && processor(load), cutOffs];
  const tracers = new BasicTracerProvider({
    resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: processors.filter(Boolean),
  });
  trace.setGlobalTracerProvider(tracers);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()];
  propagation.setGlobalPropagator(new CompositePropagator({ propagators }));
  return { tracers, cutOffs };
}

/// Whether spans are exported to the extension: what goes elsewhere it could not tell from what is complete.
function isLocal() {
  try {
    const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ofTraces, OTEL_EXPORTER_OTLP_ENDPOINT: ofAll } = process.env;
    return ["127.0.0.1", "localhost", "[::1]"].includes(new URL(ofTraces || ofAll).hostname);
  } catch {
    return false;
  }
}

/// The extension writes what has this header as spans that have not ended.
function partialExporter(load) {
  const { OTLPTraceExporter } = load("@opentelemetry/exporter-trace-otlp-http");
  const headers = { "lambda-otlp-partial": "true" };
  return new OTLPTraceExporter({ headers, timeoutMillis: LONGEST_MS, httpAgentOptions: agent });
}

function processor(load) {
  const { OTLPTraceExporter } = load("@opentelemetry/exporter-trace-otlp-http");
  const { BatchSpanProcessor } = load("@opentelemetry/sdk-trace-base");
  const { ExportResultCode } = load("@opentelemetry/core");
  const make = (timeoutMillis) => new OTLPTraceExporter({
    ...(timeoutMillis !== undefined && { timeoutMillis }),
    httpAgentOptions: agent,
    // A flush exports all batches of the queue at once.
    concurrencyLimit: QUEUE_SIZE,
  });
  const isBound = process.env.OTEL_BSP_MAX_QUEUE_SIZE !== undefined;
  const bound = new BoundExporter(make, ExportResultCode);
  return new BatchSpanProcessor(bound, isBound ? {} : { maxQueueSize: QUEUE_SIZE });
}

function names(list) {
  return (list ?? "").split(",").map((name) => name.trim());
}

function isThere(load, name) {
  try {
    return load.resolve(name) !== undefined;
  } catch {
    return false;
  }
}

module.exports = { instrumentLibraries, processor, startSdk };
