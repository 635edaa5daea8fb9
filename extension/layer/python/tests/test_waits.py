"""The span of the time that a request or a message waited, for any value that its sender may choose."""

import json
import subprocess

from local_lambda import LAYER, function_python, packages

NOW = 1_790_000_000_000
PROGRAM = """
import json, sys, types
sys.path.append(sys.argv[2])
import lambda_otlp_load
import lambda_otlp_wrap
now = int(sys.argv[1])
lambda_otlp_load.time.time_ns = lambda: now * 1_000_000
found = []
class Tracer:
    def start_span(self, name, _context, attributes, start_time):
        return types.SimpleNamespace(end=lambda end: found.append([name, (end - start_time) // 1_000_000]))
for event in json.load(sys.stdin):
    found.append(None)
    lambda_otlp_wrap.record_wait(Tracer(), lambda_otlp_load.layer_module("lambda_otlp_events").describe(event), None)
json.dump(found, sys.stdout)
"""


def sent(*times, **more):
    record = {"messageId": "m", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:orders", **more}
    return {"Records": [{**record, "attributes": {"SentTimestamp": each}} for each in times]}


def requested(at):
    return {"requestContext": {"http": {"method": "GET"}, "timeEpoch": at}}


def published(at):
    return {"source": "shop", "detail-type": "Order", "time": at}


WAITS = [
    (sent(*(str(NOW - seconds * 1000) for seconds in (3, 9, 1))), ["orders wait", 9000]),
    (sent("", "x", None, {}, "-1", "\u0663", str(NOW - 1000)), ["orders wait", 1000]),
    (sent(str(NOW - 1000), eventSourceARN=5), ["wait", 1000]),
    (requested(NOW - 1000), ["HTTP wait", 1000]),
    (published("2026-09-21T14:13:19Z"), ["shop wait", 1000]),
]
ODD = [
    sent("9" * 5000),
    *map(requested, (True, "x", [], None, -1, 1e300, NOW + 10**6, NOW - 10**9)),
    *map(published, ("x", "Z", 5, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z")),
    *(
        None,
        5,
        [],
        [5],
        {"Records": []},
        {"Records": [5]},
        {"Records": [{"eventSource": {}}]},
        {"Records": {}},
        {"eventSource": ["aws:kafka"], "records": 5},
    ),
    *(
        {"eventSource": "aws:kafka", "records": records}
        for records in (None, {"a": 5}, {"a": [5, None, {"headers": "x", "value": "\u0663"}]})
    ),
    {
        "Records": [
            {"eventSource": "aws:kinesis", "kinesis": {"data": "dHJhY2VwYXJlbnQ"}},
            {"kinesis": {"data": "dHJhY2VwYXJlbnQ="}},
        ]
    },
]


def test_waits_are_measured_and_odd_events_are_harmless():
    events = [event for event, _ in WAITS] + ODD
    command = [function_python() / "python3", "-c", PROGRAM, str(NOW), str(LAYER)]
    environ = {"PYTHONPATH": str(packages("opentelemetry-api==1.45.1"))}
    done = subprocess.run(command, input=json.dumps(events), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = [each for _, wait in WAITS for each in (None, wait)] + [None] * len(ODD)
    assert json.loads(done.stdout) == expected
