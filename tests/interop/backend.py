"""A backend that takes OTLP requests, for functions in direct mode."""

import base64
import json
import subprocess
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local_lambda import PROGRAMS, attributes_of

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

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
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
                self.send_response(200)
                self.send_header("content-type", self.headers.get("content-type"))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

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
