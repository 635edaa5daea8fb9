"""Spans, log records and data points in the plain form of the `made` scripts, and their comparison."""

import json
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from local_lambda import value_of


def made(file):
    """Returns the items that an SDK made, as a script noted them: one a line."""
    items = [json.loads(line) for line in file.read_text().splitlines()]
    assert items, "the program made nothing"
    return items


def decoded(requests):
    """Returns the items of requests in OTLP/JSON, one a line, as `lambda-otlp decode` prints them."""
    items = []
    for request in map(json.loads, requests.splitlines()):
        for signal in SIGNALS:
            for resource in request.get(signal.resources, []):
                service = attributes(resource.get("resource", {})).get("service.name")
                for scope in resource[signal.scopes]:
                    origin = {"service": service, "scope": scope.get("scope", {}).get("name", "")}
                    items += [{**origin, **item} for each in scope[signal.items] for item in signal.items_of(each)]
    return items


def same(expected, found):
    """Fails unless both have the same items, each as often. The order may differ."""
    missing = counted(expected) - counted(found)
    not_made = counted(found) - counted(expected)
    assert not missing and not not_made, f"missing: {[*missing][:3]}; not made: {[*not_made][:3]}"


def counted(items):
    return Counter(json.dumps(item, sort_keys=True) for item in items)


def span_item(span):
    # Writers of JSON may leave out what is empty or 0.
    events = [
        {"name": event["name"], "time": event["timeUnixNano"], "attributes": attributes(event)}
        for event in span.get("events", [])
    ]
    links = [
        {"trace_id": link["traceId"], "span_id": link["spanId"], "attributes": attributes(link)} for link in span.get("links", [])
    ]
    return {
        "signal": "span",
        "trace_id": span["traceId"],
        "span_id": span["spanId"],
        "parent_span_id": span.get("parentSpanId", ""),
        "name": span["name"],
        "kind": span.get("kind", 0),
        "start": span["startTimeUnixNano"],
        "end": span["endTimeUnixNano"],
        "status": span.get("status", {}).get("code", 0),
        "message": span.get("status", {}).get("message", ""),
        "attributes": attributes(span),
        "events": events,
        "links": links,
    }


def log_item(record):
    return {
        "signal": "log",
        "time": record["timeUnixNano"],
        "severity": record.get("severityNumber", 0),
        "text": record.get("severityText", ""),
        "body": value_of(record.get("body")),
        "trace_id": record.get("traceId", ""),
        "span_id": record.get("spanId", ""),
        "attributes": attributes(record),
    }


def point_items(metric):
    for kind in ("sum", "gauge", "histogram"):
        for point in metric.get(kind, {}).get("dataPoints", []):
            item = {
                "signal": "point",
                "metric": metric["name"],
                "unit": metric.get("unit", ""),
                "kind": kind,
                "attributes": attributes(point),
            }
            if kind == "histogram":
                item |= {
                    "count": int(point["count"]),
                    "sum": point["sum"],
                    "buckets": [int(count) for count in point["bucketCounts"]],
                }
            else:
                item["value"] = int(point["asInt"]) if "asInt" in point else point["asDouble"]
            yield item


def attributes(item):
    return {each["key"]: value_of(each["value"]) for each in item.get("attributes", [])}


class Signal(NamedTuple):
    """The names of lists in OTLP/JSON, and a function that returns the items of an element of the last one."""

    resources: str
    scopes: str
    items: str
    items_of: Callable


SIGNALS = [
    Signal("resourceSpans", "scopeSpans", "spans", lambda span: [span_item(span)]),
    Signal("resourceLogs", "scopeLogs", "logRecords", lambda record: [log_item(record)]),
    Signal("resourceMetrics", "scopeMetrics", "metrics", point_items),
]
