// Creates spans with every field of a span.

const { SpanKind, SpanStatusCode, trace } = require("@opentelemetry/api");

const linked = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  isRemote: true,
};

// Creates the spans of one order below `parent`, an OpenTelemetry context.
function take(tracer, parent) {
  const attributes = {
    "order.id": "7",
    paid: true,
    items: 3,
    largest: Number.MAX_SAFE_INTEGER,
    total: 12.5,
    tags: ["a", "b"],
    weights: [1.5, 2.25],
    unicode: "größe\n\u0000 \u{1f980}",
    empty: "",
  };
  const links = [{ context: linked, attributes: { why: "retry" } }];
  const root = tracer.startSpan("POST /orders/{id}", { kind: SpanKind.SERVER, attributes, links }, parent);
  root.addEvent("order.received", { attempt: 1 });
  const below = trace.setSpan(parent, root);
  for (let child = 0; child < 3; child += 1) {
    const kind = child % 2 ? SpanKind.INTERNAL : SpanKind.CLIENT;
    tracer.startSpan(`reserve-${child}`, { kind, attributes: { child } }, below).end();
  }
  root.setStatus({ code: SpanStatusCode.ERROR, message: "db down" });
  root.end();
}

module.exports = { take };
