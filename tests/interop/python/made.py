"""Records the SDK's telemetry from memory, before any exporter sees it: one JSON object per line."""

import json
import os
import threading

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

_LOCK = threading.Lock()


def note(item):
    line = json.dumps(item, default=list) + "\n"
    with _LOCK, open(os.environ["INTEROP_MADE"], "a", encoding="utf-8") as file:
        file.write(line)


def _hex(number, digits):
    return format(number, f"0{digits}x") if number else ""


class Spans(SpanProcessor):
    def on_end(self, span):
        note(
            {
                "signal": "span",
                "service": span.resource.attributes["service.name"],
                "scope": span.instrumentation_scope.name,
                "trace_id": _hex(span.context.trace_id, 32),
                "span_id": _hex(span.context.span_id, 16),
                "parent_span_id": _hex(span.parent.span_id, 16) if span.parent else "",
                "name": span.name,
                "kind": span.kind.value + 1,
                "start": str(span.start_time),
                "end": str(span.end_time),
                "status": span.status.status_code.value,
                "message": span.status.description or "",
                "attributes": dict(span.attributes),
                "events": [
                    {"name": event.name, "time": str(event.timestamp), "attributes": dict(event.attributes)}
                    for event in span.events
                ],
                "links": [
                    {
                        "trace_id": _hex(link.context.trace_id, 32),
                        "span_id": _hex(link.context.span_id, 16),
                        "attributes": dict(link.attributes),
                    }
                    for link in span.links
                ],
            }
        )


class Logs(LogRecordProcessor):
    def on_emit(self, log_record):
        record = log_record.log_record
        note(
            {
                "signal": "log",
                "service": log_record.resource.attributes["service.name"],
                "scope": log_record.instrumentation_scope.name,
                "time": str(record.timestamp),
                "severity": record.severity_number.value,
                "text": record.severity_text,
                "body": record.body,
                "trace_id": _hex(record.trace_id, 32),
                "span_id": _hex(record.span_id, 16),
                "attributes": dict(record.attributes),
            }
        )

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30000):
        return True


def metrics(data):
    """Records the data points of one export."""
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = type(metric.data).__name__.lower()
                for point in metric.data.data_points:
                    item = {
                        "signal": "point",
                        "service": resource.resource.attributes["service.name"],
                        "scope": scope.scope.name,
                        "metric": metric.name,
                        "unit": metric.unit,
                        "kind": kind,
                        "attributes": dict(point.attributes),
                    }
                    if kind == "histogram":
                        item |= {"count": point.count, "sum": point.sum, "buckets": list(point.bucket_counts)}
                    else:
                        item["value"] = point.value
                    note(item)
