// Writes two lines with npm @dev7a/otlp-stdout-span-exporter: the spans of one order, and a single span.

const { ROOT_CONTEXT } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { OTLPStdoutSpanExporter } = require("@dev7a/otlp-stdout-span-exporter");
const made = require("./made.js");
const orders = require("./orders.js");

async function main() {
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": "orders-node" }),
    spanProcessors: [new made.Spans(), new BatchSpanProcessor(new OTLPStdoutSpanExporter())],
  });
  const tracer = provider.getTracer("orders/http", "1.2.3");
  orders.take(tracer, ROOT_CONTEXT);
  await provider.forceFlush();
  tracer.startSpan("alone", {}, ROOT_CONTEXT).end();
  await provider.shutdown();
}

main();
