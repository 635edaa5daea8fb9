// Writes each item of the SDK to a file before an exporter gets it: one JSON object per line.

const fs = require("node:fs");

const nanoseconds = ([seconds, nanos]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(nanos));

function note(item) {
  fs.appendFileSync(process.env.INTEROP_MADE, JSON.stringify(item) + "\n");
}

class Spans {
  onStart() {}
  onEnd(span) {
    const context = span.spanContext();
    note({
      signal: "span",
      service: span.resource.attributes["service.name"],
      scope: span.instrumentationScope.name,
      trace_id: context.traceId,
      span_id: context.spanId,
      parent_span_id: span.parentSpanContext?.spanId ?? "",
      name: span.name,
      kind: span.kind + 1,
      start: nanoseconds(span.startTime),
      end: nanoseconds(span.endTime),
      status: span.status.code,
      message: span.status.message ?? "",
      attributes: span.attributes,
      events: span.events.map((event) => ({
        name: event.name,
        time: nanoseconds(event.time),
        attributes: event.attributes ?? {},
      })),
      links: span.links.map((link) => ({
        trace_id: link.context.traceId,
        span_id: link.context.spanId,
        attributes: link.attributes ?? {},
      })),
    });
  }
  async forceFlush() {}
  async shutdown() {}
}

class Logs {
  onEmit(record) {
    note({
      signal: "log",
      service: record.resource.attributes["service.name"],
      scope: record.instrumentationScope.name,
      time: nanoseconds(record.hrTime),
      severity: record.severityNumber,
      text: record.severityText,
      body: record.body,
      trace_id: record.spanContext?.traceId ?? "",
      span_id: record.spanContext?.spanId ?? "",
      attributes: record.attributes,
    });
  }
  async forceFlush() {}
  async shutdown() {}
}

const KINDS = ["histogram", "exponentialhistogram", "gauge", "sum"];

// Writes the data points of one export.
function metrics({ resource, scopeMetrics }) {
  for (const { scope, metrics } of scopeMetrics) {
    for (const { descriptor, dataPointType, dataPoints } of metrics) {
      const kind = KINDS[dataPointType];
      for (const { attributes, value } of dataPoints) {
        const measured = kind === "histogram" ? { count: value.count, sum: value.sum, buckets: value.buckets.counts } : { value };
        note({
          signal: "point",
          service: resource.attributes["service.name"],
          scope: scope.name,
          metric: descriptor.name,
          unit: descriptor.unit,
          kind,
          attributes,
          ...measured,
        });
      }
    }
  }
}

module.exports = { Spans, Logs, metrics };
