"""Spans that the extension does not accept in time are counted in a line."""

import socket
import threading

from local_lambda import run

APP = """
from opentelemetry import trace
def handler(event, context):
    for number in range(3): trace.get_tracer("shop").start_span("own").end()
"""


def test_spans_that_wait_are_counted(tmp_path):
    # A receiver that accepts connections and never answers.
    listener = socket.create_server(("127.0.0.1", 0))
    accepted = []
    threading.Thread(target=lambda: [accepted.append(listener.accept()) for _ in range(9)], daemon=True).start()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}", "OTEL_LAMBDA_RECEIVER_PORT": "0"}
    ran = run(tmp_path, [{}, {}, {}], files={"app.py": APP}, env=env)
    assert ran.text.count("4 spans wait for a later invocation") == 1, ran.text
