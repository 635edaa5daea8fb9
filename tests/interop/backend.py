"""A backend that takes OTLP requests, for functions in direct mode."""

import base64
import json
import subprocess
from collections import Counter, defaultdict

from local_lambda import PROGRAMS, attributes_of
from stand_in import StandIn, serve

SIGNALS = (
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceMetrics", "scopeMetrics", "metrics"),
)


class Backend:
    """Takes OTLP requests."""

    def __init__(self):
        backend = self
        self.lines = []

        class Handler(StandIn):
            def do_POST(self):
                body = self.read()
                backend.lines.append(
                    {
                        "__otel_otlp_stdout": "0.1.0",
                        "source": "shop",
                        "endpoint": "http://localhost:4318" + self.path,
                        "method": "POST",
                        "content-type": self.headers.get("content-type"),
                        "content-encoding": self.headers.get("content-encoding", ""),
                        "payload": base64.b64encode(body).decode(),
                        "base64": True,
                    }
                )
                self.answer(headers={"content-type": self.headers.get("content-type")})

        self.server = serve(Handler)
        self.url = self.server.url

    def decoded(self):
        """Returns spans, log records and metrics."""
        self.server.shutdown()
        lines = "".join(json.dumps(line) + "\n" for line in self.lines)
        ran = subprocess.run([PROGRAMS / "lambda-otlp", "decode"], input=lines, capture_output=True, text=True, check=True)
        items = defaultdict(list)
        for request in map(json.loads, ran.stdout.splitlines()):
            for signal, scopes, name in SIGNALS:
                for resource in request.get(signal, []):
                    for scope in resource[scopes]:
                        items[name] += scope[name]
        return items["spans"], items["logRecords"], items["metrics"]


def sums(metrics, name):
    """Returns the sum of a metric by its error type."""
    sums = Counter()
    for metric in metrics:
        if metric["name"] == name:
            for point in metric["sum"]["dataPoints"]:
                sums[attributes_of(point).get("error.type")] += int(point["asInt"])
    return sums
