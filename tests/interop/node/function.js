// A plain process as a function. OpenTelemetry's SDK sends three signals to the extension, in the encoding of INTEROP_ENCODING: `http`
// (JSON), `proto` or `grpc`. The loop replaces AWS's Node runtime client, which takes minutes to compile.

const { ROOT_CONTEXT, SpanKind, trace } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const made = require("./made.js");
const orders = require("./orders.js");

const encoding = process.env.INTEROP_ENCODING;
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${encoding}`);
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${encoding}`);
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${encoding}`);

class NotingMetricExporter extends OTLPMetricExporter {
  export(metrics, done) {
    made.metrics(metrics);
    super.export(metrics, done);
  }
}

const scope = "orders/node";
const resource = resourceFromAttributes({ "service.name": `orders-function-node-${encoding}` });
const tracers = new BasicTracerProvider({
  resource,
  spanProcessors: [new made.Spans(), new BatchSpanProcessor(new OTLPTraceExporter())],
});
const loggers = new LoggerProvider({
  resource,
  processors: [new made.Logs(), new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
});
// Exports metrics only at a flush: the interval is longer than the function's lifetime.
const reader = new PeriodicExportingMetricReader({
  exporter: new NotingMetricExporter(),
  exportIntervalMillis: 3_600_000,
});
const meters = new MeterProvider({ resource, readers: [reader] });

const tracer = tracers.getTracer(scope);
const logger = loggers.getLogger(scope);
const meter = meters.getMeter(scope);
const items = meter.createCounter("orders.items", { unit: "{item}", valueType: 0 });
const price = meter.createHistogram("orders.price", { unit: "EUR" });
const stock = meter.createGauge("orders.stock");

async function handle({ number }, requestId) {
  const attributes = { "faas.invocation_id": requestId, number };
  const root = tracer.startSpan("invocation", { kind: SpanKind.SERVER, attributes }, ROOT_CONTEXT);
  const context = trace.setSpan(ROOT_CONTEXT, root);
  orders.take(tracer, context);
  for (let line = 0; line < 5; line += 1) {
    logger.emit({
      timestamp: Date.now(),
      severityNumber: 13,
      severityText: "WARN",
      body: `order ${number} is late, line ${line}`,
      attributes: { line, ratio: 0.5 },
      context,
    });
  }
  items.add(number, { kind: "book" });
  price.record(9.125 + number, { kind: "book" });
  stock.record(100.25 - number);
  root.end();
  await Promise.all([tracers.forceFlush(), loggers.forceFlush(), meters.forceFlush()]);
  return { done: number };
}

async function main() {
  const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
  for (;;) {
    const next = await fetch(`${runtime}/next`);
    const requestId = next.headers.get("lambda-runtime-aws-request-id");
    const result = await handle(await next.json(), requestId);
    await fetch(`${runtime}/${requestId}/response`, { method: "POST", body: JSON.stringify(result) });
  }
}

main();
