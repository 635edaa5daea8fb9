"""Links messages with the layer's lambda_otlp_messages.py and a fake API that only reads `traceparent`. The first argument is the
module's folder. Prints the links, the consumer span and the waiting time of each event."""

import importlib.util
import json
import os
import sys
import time
import types


class Context:
    def __init__(self, parent=None):
        parts = (parent or "").split("-")
        self.is_valid = len(parts) == 4
        self.trace_id, self.span_id = parts[1:3] if self.is_valid else (0, 0)

    def get_span_context(self):
        return self


def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)
    return sys.modules[name]


module("opentelemetry.context", Context=Context)
propagate = module("opentelemetry.propagate", extract=lambda carrier, _: Context(carrier.get("traceparent")))
kinds = types.SimpleNamespace(SERVER="server", CONSUMER="consumer")
current = types.SimpleNamespace(kind="server")
tracer = types.SimpleNamespace(start_span=lambda name, kind, attributes: f"{kind} {name} {json.dumps(attributes)}")
trace = module(
    "opentelemetry.trace", get_current_span=lambda context=None: context or current, get_tracer=lambda _: tracer, SpanKind=kinds
)
module("opentelemetry", propagate=propagate, trace=trace)
spec = importlib.util.spec_from_file_location("lambda_otlp_messages", os.path.join(sys.argv[1], "lambda_otlp_messages.py"))
layer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layer)


class Span:
    def __init__(self, links=()):
        self.links = list(links)

    def add_link(self, context, attributes):
        self.links.append(types.SimpleNamespace(context=context, attributes=attributes))


def parent(span):
    return f"00-{'a' * 32}-{span:016}-01"


def queued(message, span=None, body="x"):
    attributes = {} if span is None else {"Traceparent": {"stringValue": parent(span), "dataType": "String"}}
    return {"eventSource": "aws:sqs", "messageId": message, "body": body, "messageAttributes": attributes}


def notified(message, span):
    return {"MessageId": message, "MessageAttributes": {"traceparent": {"Type": "String", "Value": parent(span)}}}


def check(form, records, links=()):
    span = Span(links)
    layer.link(records, span)
    told = [f"{link.attributes['messaging.message.id']} {int(link.context.span_id)}" for link in span.links]
    print(f"{form}: {', '.join(told) if len(told) < 9 else len(told)}")
    return span.links


check("a queue", [queued("1", 1), queued("2"), queued("3", 3)])
check("a queue that is linked", [queued("1", 1), queued("2", 2)], check("so far", [queued("1", 1)]))
check("of one sender", [queued("1", 1), queued("2", 1), queued("2", 1)])
check("a topic", [{"EventSource": "aws:sns", "Sns": notified("1", 1)}])
check("a topic's in a queue", [queued("1", body=json.dumps(notified("2", 2)))])
check("a sender of its own", [queued("1", 1, body=json.dumps(notified("2", 2)))])
odd = [5, {}, {"Sns": "x"}, {"Sns": {"MessageAttributes": 5}}, {"messageAttributes": {"traceparent": 5}}, queued("1", body='"MessageAttributes"[')]
odd += [queued("2", body='{"MessageAttributes":{"traceparent":{"Value":{}}}}'), queued("3", body='["MessageAttributes"]')]
check("beside odd ones", [*odd, queued(4, 4)])
check("no more than a span has", [queued(str(number), number) for number in range(10_000)])


def span(form, event):
    print(f"{form}: {layer.consumer(event)}")


def streamed(message):
    return {"eventSource": "aws:kinesis", "eventSourceARN": "arn:aws:kinesis:eu-west-1:1:stream/clicks", "eventID": message}


topic = {"Sns": {"TopicArn": "arn:aws:sns:eu-west-1:1:news", "MessageId": "n"}, "EventSource": "aws:sns"}
span("notification", {"Records": [topic]})
span("stream", {"Records": [streamed("1"), streamed("2")]})
span("two sources", {"Records": [streamed("1"), {"eventSource": "aws:kinesis", "eventSourceARN": 5}]})
span("kafka", {"eventSource": "SelfManagedKafka", "records": {"views-0": [{"topic": "views"}], "odd": 5}})
span("bucket", {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "uploads"}}}]})
span("bus", {"source": "shop.orders", "detail-type": "Order", "id": "e1"})
for event in ({"source": "aws.events", "detail-type": "Scheduled Event"}, {"Records": []}, {"Records": [5]}, {"Records": [{"eventSource": {}}]}, 5):
    span(json.dumps(event), event)
current.kind = "consumer"
span("of the instrumentation", {"Records": [topic]})

now = 1_790_000_000_000
time.time_ns = lambda: now * 1_000_000


def wait(form, event):
    waits = []

    def start_span(name, _context, start_time, attributes):
        return types.SimpleNamespace(end=lambda end: waits.append(f"{name}, {(end - start_time) // 1_000_000} ms"))

    tracer.start_span = start_span
    layer.wait(event)
    print(f"wait, {form}: {', '.join(waits)}")


def sent(*times, **more):
    more = {"eventSourceARN": "arn:aws:sqs:eu-west-1:1:orders", **more}
    return {"Records": [{**queued("m"), **more, "attributes": {"SentTimestamp": each}} for each in times]}


def requested(at):
    return {"requestContext": {"timeEpoch": at}}


def published(at):
    return {"source": "shop", "detail-type": "Order", "time": at}


current.kind, trace.set_span_in_context = "server", lambda span: span
wait("a batch", sent(*(str(now - seconds * 1000) for seconds in (3, 9, 1))))
wait("a batch with odd times", sent("", "x", None, {}, "-1", "\u0663", str(now - 1000)))
wait("a queue without a name", sent(str(now - 1000), eventSourceARN=5))
wait("digits beyond a number", sent("9" * 5000))
wait("a request", requested(now - 1000))
wait("an event", published("2026-09-21T14:13:19Z"))
for odd in (True, "x", [], None, -1, 1e300, float("nan"), float("inf"), 10**400, now + 10**6, now - 10**9):
    wait(f"a request at {type(odd).__name__}", requested(odd))
for odd in ("x", "Z", 5, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z"):
    wait(f"an event at {odd}", published(odd))
