"""The function cannot see the layer: in its threads, its objects, its errors and the results of its calls."""

import pytest
from local_lambda import run

# Handlers by what they do, each with the result that it has without the layer.
HANDLERS = {
    "joins all threads": """
    for _ in range(3): threading.Thread(target=time.sleep, args=(0.05,)).start()
    for thread in threading.enumerate():
        if thread is not threading.current_thread(): thread.join()
    return "done"
""",
    "waits until one thread is left": """
    threading.Thread(target=time.sleep, args=(0.05,)).start()
    while threading.active_count() > 1: time.sleep(0.01)
    return [thread.name for thread in threading.enumerate()]
""",
    "replaces the class of threads": """
    names, own = [], threading.Thread
    class Noted(own):
        def __init__(self, *arguments, **named):
            names.append(str(named.get("name")))
            super().__init__(*arguments, **named)
    threading.Thread = Noted
    try:
        with trace_span(): pass
        thread = threading.Thread(target=time.sleep, args=(0,), name="mine")
        thread.start(); thread.join()
    finally: threading.Thread = own
    return names
""",
    "names arguments like the layer": """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = [pool.submit(lambda **named: sorted(named), **{name: 1}) for name in ("function", "carried", "arguments", "named", "fn", "start", "run")]
        return [future.result() for future in futures]
""",
    "has strict threads": """
    class Strict(threading.Thread):
        def __setattr__(self, name, value):
            if name == "_otel_context": raise AttributeError(name)
            super().__setattr__(name, value)
        def __getattr__(self, name): raise RuntimeError(name)
        def run(self):
            super().run()
            done.append(1)
    done = []
    threads = [Strict(target=done.append, args=(0,)) for _ in range(2)]
    for thread in threads: thread.start(); thread.join()
    return done
""",
    "raises an error with its own methods": """
    class Strict(Exception):
        def with_traceback(self, frames): raise TypeError("no")
    raise Strict("a")
""",
}
APP = """
import concurrent.futures, contextlib, threading, time
def trace_span():
    try:
        from opentelemetry import trace
        return trace.get_tracer("a").start_as_current_span("own")
    except ImportError: return contextlib.nullcontext()
def handler(event, context):BODY
"""


@pytest.mark.parametrize("kind", HANDLERS)
def test_results_are_those_without_the_layer(tmp_path, kind):
    files = {"app.py": APP.replace("BODY", HANDLERS[kind])}
    without = run(tmp_path, [{}, {}], files=files, wrapper=False, timeout="4s")
    ran = run(tmp_path, [{}, {}], files=files, timeout="4s")
    assert ran.results == without.results, ran.text
    assert len(ran.kind("SERVER")) == 2, ran.text


def test_a_durable_function_that_reports_its_failure_has_a_failed_span(tmp_path):
    app = 'def handler(event, context): return {"Status": "FAILED", "Error": {"ErrorType": "CardRefused", "ErrorMessage": "no money"}}'
    event = {"DurableExecutionArn": "arn:aws:lambda:eu-west-1:123456789012:function:shop:1/durable-execution/a/b"}
    ran = run(tmp_path, [event, {}], files={"app.py": app})
    durable, other = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    assert durable["status"] == {"code": 2, "message": "no money"}, ran.text
    assert durable["attributes"]["error.type"] == "CardRefused"
    assert other.get("status", {}).get("code") != 2
